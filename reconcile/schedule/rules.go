package schedule

import "sort"

// Rule is one kind of fault that this package reports.
type Rule struct {
	// ID is stable: R300 to R339.
	ID string
	// Title says what is wrong, in a few words.
	Title string
	// Explanation says why it matters.
	Explanation string
	// Mend says what to do, as an imperative sentence.
	Mend string
}

// Rules returns every Rule of this package, by id.
func Rules() []Rule {
	all := make([]Rule, 0, len(rules))
	for id, r := range rules {
		r.ID = id
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all
}

var rules = map[string]Rule{
	"R300": {
		Title:       "schedule cannot be read",
		Explanation: "A schedule has five fields (minute, hour, day of month, month, day of week), or is a descriptor such as @hourly, or @every with a duration. Seconds, years, L, W, # and day 7 are not part of batch/v1.",
		Mend:        "Write five fields, such as `30 2 * * *`, or a descriptor such as @hourly.",
	},
	"R301": {
		Title:       "time zone is unknown",
		Explanation: "The zone is looked up in the IANA database; `Local` is refused, for it would mean the zone of whatever machine rota runs on. The schedule is looked at again every five minutes, so that a new database is noticed.",
		Mend:        "Use an IANA name such as Europe/Berlin, spelled with its capitals.",
	},
	"R302": {
		Title:       "time zone inside the schedule",
		Explanation: "Kubernetes refuses TZ= and CRON_TZ= inside spec.schedule on new objects.",
		Mend:        "Take it out of the schedule and set spec.timeZone.",
	},
	"R303": {
		Title:       "schedule never fires",
		Explanation: "No date has all of these fields, such as 30 February, or a field is an empty list. Kubernetes accepts it and stays silent.",
		Mend:        "Choose a day that the month has, or remove the CronJob; to switch it off use spec.suspend.",
	},
	"R304": {
		Title:       "startingDeadlineSeconds is too short to be met",
		Explanation: "A run starts a moment after its slot. With a deadline of zero it is always late, and every slot is skipped.",
		Mend:        "Set startingDeadlineSeconds to 10 or more, or leave it out.",
	},
	"R305": {
		Title:       "@every is shorter than a minute",
		Explanation: "A run's name has the minute of its slot, so that there is at most one run a minute; the other slots of the minute are skipped as SameMinute.",
		Mend:        "Use an interval of a minute or more.",
	},
	"R306": {
		Title:       "more than 100 slots were missed",
		Explanation: "The scheduler was down, or the CronJob was suspended or blocked, for more than 100 slots. The latest one runs, the others are recorded as skipped.",
		Mend:        "Set startingDeadlineSeconds if late runs are of no use.",
	},
	"R307": {
		Title:       "pause cannot be read",
		Explanation: "The annotation rota.dev/pause is the emergency brake. If it cannot be read, the schedule is paused until it can.",
		Mend:        "Write it as `until=2026-12-01T08:00:00Z reason=\"…\"`, or remove the annotation.",
	},
	"R308": {
		Title:       "cursor cannot be read",
		Explanation: "The annotation rota.dev/cursor was changed by something else. The schedule goes on from status.lastScheduleTime, so that no run happens twice, but the record of skipped slots is lost.",
		Mend:        "Nothing; find out what changed the annotation.",
	},
	"R309": {
		Title:       "cursor is in the future",
		Explanation: "The last resolved slot lies ahead of the clock: the clock of this or an earlier leader was or is wrong. Nothing fires until the clock has passed it, for a slot would run twice.",
		Mend:        "Set the clock. If the cursor is wrong, remove the annotation rota.dev/cursor and set status.lastScheduleTime back.",
	},
	"R310": {
		Title:       "CronJob is not suspended",
		Explanation: "Somebody set spec.suspend to false by hand, so the cluster's own controller runs this CronJob. rota stands back, or a slot would run twice, until the drift is corrected.",
		Mend:        "Set spec.suspend to true again, or let the Sync correct drift.",
	},
	"R311": {
		Title:       "a stranger's Job has the run's name",
		Explanation: "A Job of the name that the slot's run must have exists and does not belong to this CronJob. It is not touched; the slot is recorded as skipped, and the next one runs.",
		Mend:        "Delete or rename the other Job.",
	},
	"R312": {
		Title:       "the API server refused the run",
		Explanation: "The Job could not be created, for instance because of a quota, an admission policy or a template that is not valid. It is tried again until the next slot or the deadline.",
		Mend:        "Read the reason, and mend the template, the quota or the policy.",
	},
	"R313": {
		Title:       "concurrencyPolicy is unknown",
		Explanation: "batch/v1 has Allow, Forbid and Replace.",
		Mend:        "Use Allow, Forbid or Replace.",
	},
	"R314": {
		Title:       "name is too long",
		Explanation: "A run's name is the CronJob's name, a dash and the minute since the epoch, and must fit 63 characters.",
		Mend:        "Use a name of at most 52 characters.",
	},
	"R315": {
		Title:       "rota.dev/suspended cannot be read",
		Explanation: "The annotation says what git wants of suspend; it must be true or false. Nothing fires until it can be read.",
		Mend:        "Set it to \"true\" or \"false\", or apply the repository again.",
	},
	"R316": {
		Title:       "policy cannot be read",
		Explanation: "The annotation rota.dev/policy holds the rules of the SchedulePolicies that select this CronJob. It was changed by hand, or is of a newer rota. Nothing fires until it can be read, for a rule might forbid it.",
		Mend:        "Apply the repository again, or use a rota that knows the rule.",
	},
	"R317": {
		Title:       "schedule has not succeeded in time",
		Explanation: "The policy's expectWithin says how long after a slot, at most, a run has succeeded. None has since the slot named: it has not started, still runs, or failed.",
		Mend:        "Look at the last run's log, and at why the slot did not run if there is none.",
	},
	"R318": {
		Title:       "calendar runs out",
		Explanation: "Calendars are carried out for a year from when the repository is rendered, which happens at every commit. This schedule's are known for less than a month more; after that no day is excluded.",
		Mend:        "Make any commit, or restart rota.",
	},
	"R330": {
		Title:       "concurrency group with two limits",
		Explanation: "Each run goes by the limit that the policy of its own schedule gives, so that of two limits the larger one would hold.",
		Mend:        "Give the group one limit, or make two groups of it.",
	},
	"R331": {
		Title:       "name is too long for retries",
		Explanation: "The name of a retry is that of the run, -r and its number, and must fit 63 characters.",
		Mend:        "Use a name of at most 49 characters, or no retries.",
	},
	"R332": {
		Title:       "every retry failed",
		Explanation: "The policy's retries say how often a run that failed is tried again; the last one failed too. It is said until a later slot is resolved.",
		Mend:        "Read the log of the last one.",
	},
	"R333": {
		Title:       "places of a concurrency group cannot be read",
		Explanation: "The ConfigMap that holds the places of the group was changed by something else. No run of the group starts until it can be read, for there might be too many.",
		Mend:        "Delete the ConfigMap; its places are then taken from the Jobs that are labelled rota.dev/group.",
	},
}

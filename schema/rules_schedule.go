package schema

// scheduleRules are those of the scheduler.
var scheduleRules = []Rule{
	{"R300", "Schedule cannot be read", "A schedule has five fields (minute, hour, day of month, month, day of week), or is a descriptor such as @hourly, or @every with a duration. Seconds, years, L, W, # and day 7 are not part of batch/v1. Write five fields, such as `30 2 * * *`, or a descriptor such as @hourly."},
	{"R301", "Time zone is unknown", "The zone is looked up in the IANA database; `Local` is refused, for it would mean the zone of whatever machine rota runs on. The schedule is looked at again every five minutes, so that a new database is noticed. Use an IANA name such as Europe/Berlin, spelled with its capitals."},
	{"R302", "Time zone inside the schedule", "Kubernetes refuses TZ= and CRON_TZ= inside spec.schedule on new objects. Take it out of the schedule and set spec.timeZone."},
	{"R303", "Schedule never fires", "No date has all of these fields, such as 30 February, or a field is an empty list. Kubernetes accepts it and stays silent. Choose a day that the month has, or remove the CronJob; to switch it off use spec.suspend."},
	{"R304", "StartingDeadlineSeconds is too short to be met", "A run starts a moment after its slot. With a deadline of zero it is always late, and every slot is skipped. Set startingDeadlineSeconds to 10 or more, or leave it out."},
	{"R305", "@every is shorter than a minute", "A run's name has the minute of its slot, so that there is at most one run a minute; the other slots of the minute are skipped as SameMinute. Use an interval of a minute or more."},
	{"R306", "More than 100 slots were missed", "The scheduler was down, or the CronJob was suspended or blocked, for more than 100 slots. The latest one runs, the others are recorded as skipped. Set startingDeadlineSeconds if late runs are of no use."},
	{"R307", "Pause cannot be read", "The annotation rota.dev/pause is the emergency brake. If it cannot be read, the schedule is paused until it can. Write it as `until=2026-12-01T08:00:00Z reason=\"…\"`, or remove the annotation."},
	{"R308", "Cursor cannot be read", "The annotation rota.dev/cursor was changed by something else. The schedule goes on from status.lastScheduleTime, so that no run happens twice, but the record of skipped slots is lost. Nothing; find out what changed the annotation."},
	{"R309", "Cursor is in the future", "The last resolved slot lies ahead of the clock: the clock of this or an earlier leader was or is wrong. Nothing fires until the clock has passed it, for a slot would run twice. Set the clock. If the cursor is wrong, remove the annotation rota.dev/cursor and set status.lastScheduleTime back."},
	{"R310", "CronJob is not suspended", "Somebody set spec.suspend to false by hand, so the cluster's own controller runs this CronJob. rota stands back, or a slot would run twice, until the drift is corrected. Set spec.suspend to true again, or let the Sync correct drift."},
	{"R311", "A stranger's Job has the run's name", "A Job of the name that the slot's run must have exists and does not belong to this CronJob. It is not touched; the slot is recorded as skipped, and the next one runs. Delete or rename the other Job."},
	{"R312", "The API server refused the run", "The Job could not be created, for instance because of a quota, an admission policy or a template that is not valid. It is tried again until the next slot or the deadline. Read the reason, and mend the template, the quota or the policy."},
	{"R313", "ConcurrencyPolicy is unknown", "batch/v1 has Allow, Forbid and Replace. Use Allow, Forbid or Replace."},
	{"R314", "Name is too long", "A run's name is the CronJob's name, a dash and the minute since the epoch, and must fit 63 characters. Use a name of at most 52 characters."},
	{"R315", "Rota.dev/suspended cannot be read", "The annotation says what git wants of suspend; it must be true or false. Nothing fires until it can be read. Set it to \"true\" or \"false\", or apply the repository again."},
}

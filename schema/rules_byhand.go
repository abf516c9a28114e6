package schema

// byHandRules are those of what people do with schedules by hand (R340-R349).
var byHandRules = []Rule{
	{"R340", "A run is active that a run by hand would overlap", "The CronJob's policy allows one run at a time, and one is active, of the schedule or triggered by hand. A Job that is triggered by hand stands outside of the policy: nothing waits for it or replaces it. So it is not started beside another unless you say so. Wait for the run that is named, or pass --overlap."},
	{"R341", "A paused schedule cannot be handed back", "The cluster's own controller knows no pause: it would start at once what the pause holds back. Resume the schedule first, or suspend it in the repository."},
	{"R342", "The schedule is not rota's", "The cluster's own controller runs this CronJob: it has no annotation rota.dev/scheduler=rota, so that rota.dev/pause has no effect on it. Suspend it with kubectl patch cronjob NAME -p '{\"spec\":{\"suspend\":true}}', or let a Sync with scheduler: Embedded apply it."},
	{"R343", "What a schedule asks for could not be carried out", "The API server refused or did not answer a request that a run needs: creating its Job, recording it, releasing it, clearing away. It is tried again with growing pauses, up to half a minute, and no run is lost or doubled by it; a slot whose starting deadline goes by meanwhile is skipped. Often a quota or an admission policy is in the way; the message is the server's."},
}

package schema

// Names that rota writes on objects of a cluster. Everything under rota.dev/
// is rota's; the ApplySet names are of KEP-3659.
const (
	// FieldManager is the manager of every server-side apply.
	FieldManager = "rota"

	// AnnotationApplied holds the digest of the object as it was last applied.
	AnnotationApplied = "rota.dev/applied"
	// AnnotationRevision holds the revision that was applied last.
	AnnotationRevision = "rota.dev/revision"
	// AnnotationOrigin holds file:line of the object in the repository.
	AnnotationOrigin = "rota.dev/origin"
	// AnnotationRerun says when a Job of the repository runs again.
	AnnotationRerun = "rota.dev/rerun"
	// AnnotationWhileActive says what happens to a run in the way.
	AnnotationWhileActive = "rota.dev/while-active"
	// AnnotationDigest holds the digest of what a Job runs (d1:...).
	AnnotationDigest = "rota.dev/digest"
	// AnnotationPrepared marks a Job that is not released yet; its value is
	// the template's own suspend, "true" or "false".
	AnnotationPrepared = "rota.dev/prepared"

	// AnnotationScheduler is "rota" on a CronJob that rota schedules.
	AnnotationScheduler = "rota.dev/scheduler"
	// AnnotationSuspended holds the suspend that git asks for.
	AnnotationSuspended = "rota.dev/suspended"
	// AnnotationCursor holds the last resolved slot and its outcome.
	AnnotationCursor = "rota.dev/cursor"
	// AnnotationPolicy holds the rules of the SchedulePolicies that select a
	// CronJob, as JSON.
	AnnotationPolicy = "rota.dev/policy"
	// AnnotationPause is the emergency brake: `until=… reason=…`.
	AnnotationPause = "rota.dev/pause"

	// AnnotationRetry is on a Job that retries a run which failed: which retry
	// of the slot it is, from 1.
	AnnotationRetry = "rota.dev/retry"

	// LabelGroup names the concurrency group that a run was prepared for.
	LabelGroup = "rota.dev/group"
	// AnnotationParameters, on a Job that was triggered by hand, has the names
	// of the variables that were set.
	AnnotationParameters = "rota.dev/parameters"

	// LabelSchedule is on every run of a schedule: the CronJob's name.
	LabelSchedule = "rota.dev/schedule"
	// LabelManual is on every Job that was triggered by hand: the CronJob's name.
	LabelManual = "rota.dev/manual"
	// LabelSync names the Sync that owns a run, a ledger or a parent.
	LabelSync = "rota.dev/sync"

	// LabelHistory is on the ConfigMaps with what became of the slots of a
	// Sync's schedules: the Sync's name.
	LabelHistory = "rota.dev/history"

	// ApplySetPartOf is the membership label of KEP-3659.
	ApplySetPartOf = "applyset.kubernetes.io/part-of"
	// ApplySetID is the label on the parent that carries the set's id.
	ApplySetID = "applyset.kubernetes.io/id"
	// ApplySetTooling names the tool that owns the set.
	ApplySetTooling = "applyset.kubernetes.io/tooling"
	// ApplySetGroupKinds lists the kinds of the set's members.
	ApplySetGroupKinds = "applyset.kubernetes.io/contains-group-kinds"
	// ApplySetNamespaces lists the members' namespaces beyond the parent's.
	ApplySetNamespaces = "applyset.kubernetes.io/additional-namespaces"
)

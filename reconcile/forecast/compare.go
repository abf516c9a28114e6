package forecast

import "time"

// Comparison is what a change of a repository does to the times of its
// CronJobs, all of them together.
type Comparison struct {
	// Changes has an entry for each CronJob that comes, goes, or whose
	// schedule, zone, suspension or rules change, in order of namespace and name.
	Changes []Change
	// Before and After are the busiest minutes of the week that follows,
	// without the change and with it, the busiest first.
	Before, After []Minute
	// Limits are those of concurrency groups that the runs of one minute exceed
	// with the change and did not without it.
	Limits []Exceeded
}

// Change is what happens to the times of one CronJob.
type Change struct {
	// Namespace and Name are the CronJob's.
	Namespace, Name string
	// Before and After are the two sides; nil for a CronJob that comes or goes.
	Before, After *Side
	// First is the first run after the change; zero if there is none.
	First time.Time
	// Lost are slots of Before, and Gained slots of After, in the time around
	// the change in which the two do not fire alike: up to the first slot that
	// both have, a day at most.
	Lost, Gained []time.Time
	// Surprises are local times of After that clock changes of the year that
	// follows leave out or bring twice, in order.
	Surprises []Surprise
}

// Side is a CronJob as one of two revisions has it.
type Side struct {
	Schedule *Schedule
	// Words say the cron text in English.
	Words string
	// Rules are those of its SchedulePolicies, a phrase each.
	Rules []string
	// Next are the first five runs after the moment of the comparison, in the
	// schedule's zone.
	Next []Fire
	// PerDay is how many runs start on a day, over the year that follows.
	PerDay float64
	// Silent says why no run comes; empty if one does.
	Silent string
}

// Surprise is a local time that a change of the clocks leaves out or repeats.
type Surprise struct {
	// At is the moment of the clock change, in the schedule's zone.
	At time.Time
	// Text says what happens then, and what rota does: a sentence.
	Text string
}

// Exceeded is a limit that too many runs want at once.
type Exceeded struct {
	// Group names the concurrency group, Limit is how many of it run at once.
	Group string
	Limit int
	// At is the first minute in which more start, Runs how many do.
	At   time.Time
	Runs int
}

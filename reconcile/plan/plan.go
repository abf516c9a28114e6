// Package plan decides what a sync does: desired objects, live objects and the
// ledger of runs go in as values, a Plan of Changes that carry their reasons
// comes out. It is pure: it reads no clock, talks to no server and logs
// nothing; package cluster carries a Plan out.
package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// Input is everything that Compute looks at.
type Input struct {
	// Desired are the rendered, validated and resolved objects of one revision,
	// as Intend made them.
	Desired []Intended
	// Live holds every object of the inventory, and every object that has the
	// key of a desired one whoever owns it. A key that is missing here is
	// absent from the cluster: that must have been read live, not guessed.
	Live map[schema.Key]*unstructured.Unstructured
	// Refused holds the desired objects that cannot be applied whatever the
	// plan says, for instance because the server does not know their kind.
	Refused map[schema.Key]*schema.Problem
	// Applied holds what this process saw applied, so
	// that a deletion by hand differs from an object that is new.
	Applied map[schema.Key]Intended
	// Verified holds what an earlier plan found whole: an object that is still
	// at that resourceVersion, and wanted as then, is not looked through again.
	Verified map[schema.Key]Verified
	// Corrected says how often the drift of each object was corrected within
	// the last minute.
	Corrected map[schema.Key]int
	// Ledger is what is known of the runs of Jobs.
	Ledger Ledger
	// Options are the Sync's choices.
	Options Options
	// Now is when the plan is made; effects speak of times after it.
	Now time.Time
}

// Observation is what package cluster reads for a plan.
type Observation struct {
	// Live is as Input has it.
	Live map[schema.Key]*unstructured.Unstructured
	// Vanished holds the last state of members that were deleted since the
	// last observation.
	Vanished map[schema.Key]*unstructured.Unstructured
	// Owners names the parents of other ApplySets by id.
	Owners map[string]string
	// Ledger is what is known of the runs of Jobs.
	Ledger Ledger
	// Refused holds the desired objects whose live state could not be read.
	Refused map[schema.Key]*schema.Problem
	// Incomplete says why Live may lack members of the inventory; empty if it
	// has them all.
	Incomplete string
}

// Options are the choices of a Sync that change what a plan decides.
type Options struct {
	// Sync is the Sync's name.
	Sync string
	// SetID is the id of the Sync's ApplySet: the value of its members' label.
	SetID string
	// Owners names the parents of other ApplySets by id, for messages.
	Owners map[string]string
	// Revision is what Desired was rendered from.
	Revision string
	// Namespace is that of CronJobs that name none, which jitter hangs on; only
	// without a cluster is there such a CronJob.
	Namespace string
	// EmbeddedScheduler borrows CronJobs (DESIGN: suspended in the cluster,
	// fired by rota); without it the cluster's own controller fires them.
	EmbeddedScheduler bool
	// HandedBack are CronJobs that somebody gave back to the cluster's own
	// controller: they are not borrowed whatever EmbeddedScheduler says.
	HandedBack map[schema.Key]bool
	// ReportDrift leaves drift as it is and says so; otherwise it is corrected.
	ReportDrift bool
	// ForceConflicts takes fields that other managers own on first contact.
	ForceConflicts bool
	// Prune deletes what left the repository.
	Prune bool
	// MaxPrunePercent refuses to prune more than this share of an inventory of
	// ten objects or more.
	MaxPrunePercent int
	// AsOf is the time that effects speak of times after; the present if zero. A
	// saved plan is made again as of its first making, so that time alone does
	// not change what it says.
	AsOf time.Time
	// Incomplete says that Desired is not all that the repository asks for, so
	// that nothing may be pruned; its text is the reason.
	Incomplete string
}

// Verified names a state of an object in which no field of ours was lost.
type Verified struct {
	// ResourceVersion is the live object's.
	ResourceVersion string
	// Digest is of what is wanted, see Intended.
	Digest string
}

// Op is what happens to an object.
type Op string

// The ops of a Change.
const (
	Create  Op = "Create"  // absent, will be applied
	Update  Op = "Update"  // present, will be applied over
	Replace Op = "Replace" // deleted, then created: a Job that runs again
	Delete  Op = "Delete"  // pruned
	Keep    Op = "Keep"    // nothing to do
	Wait    Op = "Wait"    // not now; the loop comes back to it
	Refuse  Op = "Refuse"  // will not be done; Problem says why
)

// Reason says in a word of the field why a Change has its Op.
type Reason string

// The reasons of a Change.
const (
	ReasonNew           Reason = "New"           // never seen
	ReasonChanged       Reason = "Changed"       // the repository asks for something else
	ReasonUnchanged     Reason = "Unchanged"     // as applied
	ReasonDrifted       Reason = "Drifted"       // somebody changed owned fields
	ReasonDeletedByHand Reason = "DeletedByHand" // was applied, is gone
	ReasonAdopted       Reason = "Adopted"       // exists, is nobody's yet
	ReasonPrepared      Reason = "Prepared"      // a Job that was not released
	ReasonAlreadyRan    Reason = "AlreadyRan"    // the ledger has this very run
	ReasonRunsAgain     Reason = "RunsAgain"     // the digest differs from the last run's
	ReasonIgnored       Reason = "ChangeIgnored" // rerun: Never
	ReasonActive        Reason = "Active"        // a run is in the way
	ReasonTerminating   Reason = "Terminating"   // is being deleted
	ReasonLeft          Reason = "LeftRepository"
	ReasonPruneGuard    Reason = "PruneGuard"    // too much would go
	ReasonPruneSkipped  Reason = "PruneSkipped"  // prune is off or unsafe now
	ReasonOwned         Reason = "OwnedByOther"  // another Sync's or tool's
	ReasonInvalid       Reason = "Invalid"       // see Problem
	ReasonServerRefuses Reason = "ServerRefuses" // a dry run says so, see Problem
	ReasonNoLedger      Reason = "LedgerUnreadable"
	ReasonFought        Reason = "Fought"       // somebody undoes every correction
	ReasonHandBack      Reason = "HandBack"     // a CronJob that rota gives to the cluster's own controller first
	ReasonDriftedFirst  Reason = "DriftedFirst" // drift is corrected before a change
	ReasonAwaitsKind    Reason = "AwaitsKind"   // its CRD is in the same plan
)

// Change is what happens to one object, and why.
type Change struct {
	// Key names the object.
	Key schema.Key
	// Op and Reason are for programs, Effect is the sentence for people.
	Op     Op
	Reason Reason
	Effect string
	// Object is what will be applied, complete with rota's own labels and
	// annotations; nil for Delete, and for Keep and Wait of what left.
	Object *schema.Object
	// Before is the live object that the decision was made on; nil if absent.
	Before *unstructured.Unstructured
	// Lost are the owned fields that somebody else took or removed.
	Lost []LostField
	// Force lets the apply take fields back from other managers.
	Force bool
	// Prepare creates a Job suspended, records it, then releases it, because
	// it can vanish before the ledger has it otherwise.
	Prepare bool
	// Retire stops a CronJob that left the repository from firing while the
	// prune waits for its active run.
	Retire bool
	// Problem explains a Refuse, and a Wait for what the server would refuse now.
	Problem *schema.Problem
}

// LostField is a field that was applied and is no longer rota's.
type LostField struct {
	// Path is the field as people write it: spec.template.spec.containers[name="c"].image.
	Path string
	// Manager has it now; empty if the field is gone.
	Manager string
	// Operation and Time are of Manager's entry in managedFields.
	Operation string
	Time      time.Time
}

// Plan is what a sync would do, in the order it would be done.
type Plan struct {
	// Revision is what the desired objects were rendered from.
	Revision string
	// Changes has one entry for every desired object and for every object of
	// the inventory: supporting kinds first, Jobs and CronJobs after them,
	// deletions last.
	Changes []Change
	// PruneProblem says why nothing is pruned though something left; nil if
	// nothing left or all of it goes.
	PruneProblem *schema.Problem
}

// Writes reports whether carrying p out changes the cluster.
func (p Plan) Writes() bool {
	for _, c := range p.Changes {
		switch c.Op {
		case Create, Update, Replace, Delete:
			return true
		case Wait, Refuse:
			if c.Retire {
				return true
			}
		}
	}
	return false
}

// Outcome is what became of one Change.
type Outcome struct {
	// Change is what was planned.
	Change Change
	// Object is the object as the server has it afterwards; nil if deleted,
	// failed or untouched.
	Object *unstructured.Unstructured
	// Problem is why it failed; nil if it did not.
	Problem *schema.Problem
	// Done is set when the change was carried out; a change that a newer
	// revision superseded before its turn is neither done nor a problem.
	Done bool
}

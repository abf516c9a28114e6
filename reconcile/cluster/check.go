package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/schema"
)

// Checked is what a Check found out. Objects have the keys that they were given
// with.
type Checked struct {
	// Problems are what the server refuses, in the order of the objects: one for
	// each field, at its place.
	Problems []*schema.Problem
	// Taken are the objects that the server takes as they are.
	Taken map[schema.Key]bool
}

// Check asks the server about every object as it would be applied under o, in a
// dry run, several at a time. A Job that exists is asked
// about as a new one, since it would run again; who owns a field is not asked.
// Objects that cannot be judged before others of the same repository are in the
// cluster (their namespace, their kind, an account) are named in one warning,
// for each thing that they wait for. The error is for what says nothing about
// an object: the server does not answer, or not to this account.
func (s *Set) Check(ctx context.Context, objects []schema.Object, o plan.Options) (Checked, error) {
	resolved, refused, err := s.Resolve(ctx, objects)
	if err != nil {
		return Checked{}, err
	}
	intended, err := plan.Intend(resolved, o)
	if err != nil {
		return Checked{}, err
	}
	c := checking{set: s, given: namesOf(resolved), defined: definedKinds(resolved), verdicts: make([]verdict, len(intended))}
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(s.cluster.options.Workers)
	for i, in := range intended {
		if p := refused[in.Key()]; p != nil {
			c.refuse(i, in.Object, p)
			continue
		}
		group.Go(func() error { return c.ask(asking, i, in.Object) })
	}
	err = group.Wait()
	return c.result(objects), errors.Join(append([]error{err}, c.failures()...)...)
}

// checking is one Check.
type checking struct {
	set *Set
	// given are the objects of the repository by kind and name.
	given    map[thing]bool
	defined  map[k8sschema.GroupKind]bool
	verdicts []verdict

	mu     sync.Mutex
	failed map[string]*schema.Problem
}

// verdict is what the server has to say of one object: what is wrong, or what
// of the same repository it waits for.
type verdict struct {
	problems []*schema.Problem
	awaits   string
	taken    bool
}

// thing is a kind in lower case and a name, as errors of the server have them.
type thing struct{ kind, name string }

func namesOf(objects []schema.Object) map[thing]bool {
	names := make(map[thing]bool, len(objects))
	for _, o := range objects {
		names[thing{strings.ToLower(o.GetKind()), o.GetName()}] = true
	}
	return names
}

// refuse notes what is wrong with an object that the server need not be asked
// about.
func (c *checking) refuse(i int, o schema.Object, p *schema.Problem) {
	switch gk := o.Key().GroupKind(); {
	case p.Rule == "R202" && c.defined[gk]:
		c.verdicts[i].awaits = fmt.Sprintf("the kind %s, which the repository defines", kindName(gk))
	case p.Rule == "R215":
		c.fail(p)
	default:
		c.verdicts[i].problems = []*schema.Problem{p}
	}
}

// fail notes what says nothing about an object, once.
func (c *checking) fail(p *schema.Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]*schema.Problem{}
	}
	if c.failed[p.Message] == nil {
		c.failed[p.Message] = &schema.Problem{Rule: p.Rule, Severity: schema.SeverityError, Message: p.Message, Mend: p.Mend, Cause: p.Cause}
	}
}

func (c *checking) failures() []error {
	var all []error
	for _, message := range slices.Sorted(maps.Keys(c.failed)) {
		all = append(all, c.failed[message])
	}
	return all
}

// ask asks about one object. The error ends the whole check: no other object
// would be answered either.
func (c *checking) ask(ctx context.Context, i int, o schema.Object) error {
	err := c.set.tryApply(ctx, o)
	if o.Key().IsJob() && immutableField(err) {
		renamed := o.DeepCopy()
		renamed.SetName(standInName(o.GetName()))
		err = c.set.tryApply(ctx, renamed)
	}
	if err == nil {
		c.verdicts[i].taken = true
		return nil
	}
	if what, name, ok := absent(err); ok && c.given[thing{what, name}] {
		c.verdicts[i].awaits = fmt.Sprintf("the %s %s, which the repository brings", what, name)
		return nil
	}
	problems := explainEach(err, subject{object: o, account: c.set.options.ServiceAccount})
	switch p := problems[0]; {
	case p.Rule == "R200" || p.Rule == "R219":
		if ctx.Err() != nil {
			return ctx.Err() // of another object, or of the caller
		}
		return &schema.Problem{Rule: p.Rule, Severity: schema.SeverityError, Message: p.Message, Mend: p.Mend, Cause: p.Cause}
	case p.Rule == "R224" || p.Rule == "R207" && forbiddenText.MatchString(err.Error()):
		c.fail(p)
	default:
		c.verdicts[i].problems = problems
	}
	return nil
}

// tryApply has the server check o and forget it.
func (s *Set) tryApply(ctx context.Context, o schema.Object) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	client, err := s.clientOf(ctx, o.Unstructured)
	if err != nil {
		return err
	}
	_, err = client.Apply(ctx, o.GetName(), o.Unstructured, metav1.ApplyOptions{FieldManager: schema.FieldManager, Force: true, DryRun: []string{metav1.DryRunAll}})
	return err
}

// notFound is how the server words that something an object needs is missing.
var notFound = regexp.MustCompile(`\b(\w+) "([^"]+)" not found$`)

// absent returns the kind, in lower case, and the name of what err says is not
// in the cluster.
func absent(err error) (kind, name string, ok bool) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "", "", false
	}
	m := notFound.FindStringSubmatch(status.Status().Message)
	if m == nil {
		return "", "", false
	}
	return strings.TrimSuffix(m[1], "s"), m[2], true
}

// immutableField reports whether err says that a field of an existing object
// cannot change.
func immutableField(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && apierrors.IsInvalid(err) && cannotChange(status.Status().Message)
}

// result returns what was found out about objects; what waits for the same thing
// is one warning, at the first of it.
func (c *checking) result(objects []schema.Object) Checked {
	checked := Checked{Taken: map[schema.Key]bool{}}
	first, count := map[string]*schema.Problem{}, map[string]int{}
	for i, v := range c.verdicts {
		key := objects[i].Key()
		checked.Taken[key] = v.taken
		for _, p := range v.problems {
			p.Object = &key
			checked.Problems = append(checked.Problems, p)
		}
		if v.awaits == "" {
			continue
		}
		if count[v.awaits]++; count[v.awaits] > 1 {
			continue
		}
		first[v.awaits] = &schema.Problem{Rule: "R086", Severity: schema.SeverityWarning, Object: &key, Origin: objects[i].Origin,
			Message: "the server cannot judge it yet: it needs " + v.awaits,
			Mend:    "Nothing: the server judges it when it is applied, after what it needs. To ask before, apply that first."}
		checked.Problems = append(checked.Problems, first[v.awaits])
	}
	for what, p := range first {
		if n := count[what]; n > 1 {
			p.Message += fmt.Sprintf(" (so for %d objects)", n)
		}
	}
	return checked
}

// explainEach is explain with a Problem for every field that the server names.
func explainEach(err error, about subject) []*schema.Problem {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return []*schema.Problem{explain(err, about)}
	}
	var problems []*schema.Problem
	for _, one := range eachField(status.Status()) {
		problems = append(problems, explain(&apierrors.StatusError{ErrStatus: one}, about))
	}
	return problems
}

// eachField returns a status for every field that s names, s itself if it names
// none.
func eachField(s metav1.Status) []metav1.Status {
	var all []metav1.Status
	add := func(message string, causes []metav1.StatusCause) {
		one := s
		one.Message = message
		if s.Details != nil {
			details := *s.Details
			details.Causes = causes
			one.Details = &details
		}
		all = append(all, one)
	}
	if s.Reason == metav1.StatusReasonInvalid && s.Details != nil && !admissionDenied(s) {
		byField := map[string][]metav1.StatusCause{}
		var order []string
		for _, cause := range s.Details.Causes {
			if byField[cause.Field] == nil {
				order = append(order, cause.Field)
			}
			byField[cause.Field] = append(byField[cause.Field], cause)
		}
		for _, field := range order {
			add(s.Message, byField[field])
		}
	}
	if before, faults, ok := strings.Cut(s.Message, "errors:\n"); ok && undecodable(s) {
		for fault := range strings.SplitSeq(faults, "\n") {
			add(before+strings.TrimSpace(fault), nil)
		}
	}
	if len(all) == 0 {
		return []metav1.Status{s}
	}
	return all
}

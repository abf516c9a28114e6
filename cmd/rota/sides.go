package main

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/plan"
	"rota.dev/rota/reconcile/source"
	"rota.dev/rota/schema"
)

// sides are a working copy and another revision of the same repository, both
// rendered.
type sides struct {
	plan.Sides
	// revision names the working copy.
	revision string
	warnings []*schema.Problem
}

// against renders the working copy and the revision that it is compared with.
// Warnings are those of the working copy, and are not printed.
func (r *repository) against(c *cobra.Command, revision string) (sides, error) {
	var s sides
	tree, err := r.tree(c.Context())
	if err != nil {
		return s, r.broken(c, err)
	}
	s.revision = tree.Revision
	if s.After, s.warnings, err = r.render(c.Context(), tree); err != nil {
		r.warn(c, s.warnings)
		return s, r.broken(c, err)
	}
	then, err := source.Revision(c.Context(), r.path, revision, r.overlay, sourceLimits(r.limits.SyncLimits))
	if err != nil {
		return s, err
	}
	s.BeforeRevision = then.Revision
	if s.Before, _, err = r.render(c.Context(), then); err != nil {
		return s, fmt.Errorf("rendering %s: %w", revision, broken(err))
	}
	return s, nil
}

// diffs returns what differs of each object, by its key.
func (s sides) diffs() map[schema.Key]string {
	before := map[schema.Key]schema.Object{}
	for _, o := range s.Before {
		before[o.Key()] = o
	}
	diffs := map[schema.Key]string{}
	note := func(key schema.Key, text string) {
		if text != "" {
			diffs[key] = text
		}
	}
	for _, o := range s.After {
		if old := before[o.Key()].Unstructured; old == nil || !reflect.DeepEqual(old.Object, o.Object) {
			note(o.Key(), plan.Diff(old, o.Unstructured))
		}
		delete(before, o.Key())
	}
	for key, o := range before {
		note(key, plan.Diff(o.Unstructured, nil))
	}
	return diffs
}

// between returns the choices as a plan between two revisions takes them: what
// left is pruned unless somebody says otherwise, as by a Sync.
func (f *choices) between(c *cobra.Command, to *target, s sides) plan.Options {
	o := f.options(to.sync, "", s.revision)
	o.Prune = f.prune || !c.Flags().Changed("prune")
	o.Namespace = cmp.Or(to.namespace, "default")
	return o
}

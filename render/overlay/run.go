package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"rota.dev/rota/schema"
)

// Job is one run of kustomize: a value, so that it can be carried out in a
// process of its own.
type Job struct {
	// Files is all that kustomize sees, by path from the root of the
	// repository. [Load] has looked at them: nothing there leads elsewhere.
	Files map[string][]byte
	// Folder is the kustomization that is built.
	Folder string
	// Time bounds the run.
	Time time.Duration
}

// mostCopied bounds the bytes that the copy operations of one JSON patch make.
// Each may copy what those before it have made.
const mostCopied = 16 << 20

// gate lets one kustomize run at a time: it keeps its schema in globals. A
// channel and not a lock, so that waiting for it can be given up.
var gate = make(chan struct{}, 1)

// Run carries out a job in this process and returns each object as JSON, in
// kustomize's order. kustomize takes no context: a run that is too slow is
// abandoned, and keeps the gate until it ends by itself, so that no second one
// shares its globals. In a process of its own it can be killed instead.
func Run(job Job) ([]json.RawMessage, error) {
	type outcome struct {
		objects []json.RawMessage
		err     error
	}
	timer := time.NewTimer(job.Time)
	defer timer.Stop()
	tooSlow := &schema.Problem{Rule: "R004", Message: fmt.Sprintf("kustomize did not finish within %s", job.Time), Mend: "Split the kustomization into smaller ones, or raise spec.limits.overlayTime."}
	select {
	case gate <- struct{}{}:
	case <-timer.C:
		return nil, tooSlow
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-gate }()
		var out outcome
		defer func() {
			if r := recover(); r != nil {
				out.err = fmt.Errorf("kustomize failed on this input: %v", r)
			}
			done <- out
		}()
		out.objects, out.err = run(job)
	}()
	select {
	case out := <-done:
		return out.objects, out.err
	case <-timer.C:
		return nil, tooSlow
	}
}

func run(job Job) ([]json.RawMessage, error) {
	memory := filesys.MakeFsInMemory()
	var faults []error
	for file, data := range job.Files {
		faults = append(faults, memory.WriteFile(path.Join("/", file), data))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("giving kustomize its files: %w", err)
	}
	openapi.ResetOpenAPI()
	jsonpatch.AccumulatedCopySizeLimit = mostCopied
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	built, err := krusty.MakeKustomizer(options).Run(memory, path.Join("/", job.Folder))
	if err != nil {
		return nil, err
	}
	objects := make([]json.RawMessage, 0, built.Size())
	for _, res := range built.Resources() {
		data, err := res.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("reading what kustomize made of %s: %w", res.CurId(), err)
		}
		objects = append(objects, data)
	}
	return objects, nil
}

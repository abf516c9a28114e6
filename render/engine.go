package render

import (
	"encoding/json"
	"errors"

	"rota.dev/rota/render/expand"
	"rota.dev/rota/render/overlay"
)

// Engine runs what a repository can make endless or huge. It is given values
// and gives values, so that it may live in a process that can be killed. Both
// methods return each fault of the repository as a [*schema.Problem], and may
// be called by several goroutines.
type Engine interface {
	// Template does what [expand.Render] does; read is called only meanwhile.
	Template(job expand.Job, read func(file string) ([]byte, error)) (expand.Rendered, error)
	// Overlay does what [overlay.Run] does.
	Overlay(job overlay.Job) ([]json.RawMessage, error)
}

// ErrEngine is the cause of a [*schema.Problem] that is none of the repository:
// the Engine itself could not work. Rendering the same again may succeed.
var ErrEngine = errors.New("the renderer is not available")

// InProcess is the Engine that runs everything in this process. A template or
// a kustomization that is made to can exhaust the memory or the stack of it,
// so it is for repositories that are trusted, and for the process that is
// there to be killed.
type InProcess struct{}

// Template does what [expand.Render] does.
func (InProcess) Template(job expand.Job, read func(string) ([]byte, error)) (expand.Rendered, error) {
	return expand.Render(job, read)
}

// Overlay does what [overlay.Run] does.
func (InProcess) Overlay(job overlay.Job) ([]json.RawMessage, error) { return overlay.Run(job) }

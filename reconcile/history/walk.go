package history

import (
	"fmt"
	"time"

	"rota.dev/rota/schema"
)

// Walk is every minute of a span of time as the clocks of a zone show it. It
// finds slots the slow way, for tests to hold faster ones to.
type Walk struct{ walls walls }

// NewWalk looks at every minute from one time to the other. Each takes 16
// bytes. The error is for a zone that is not known.
func NewWalk(zone string, from, until time.Time) (Walk, error) {
	w, err := newWalls(zone, from, until)
	return Walk{w}, err
}

// Slots returns when a five-field schedule is due after the first and not after
// the second time, both within the walk. The error is for a schedule that it
// cannot read, or that is of another kind; it reads less than rota does.
func (w Walk) Slots(schedule string, saving schema.DaylightSaving, after, until time.Time) ([]time.Time, error) {
	f, err := read(schedule)
	if err == nil && f.every > 0 {
		err = fmt.Errorf("reading %q: an interval has no minutes", schedule)
	}
	if err != nil {
		return nil, err
	}
	return w.walls.slots(f, saving, after, until), nil
}

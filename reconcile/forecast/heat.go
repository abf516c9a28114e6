package forecast

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// mostHours is how long a heat map has a cell for each minute.
	mostHours = 26 * time.Hour
	// mostDays bounds one that has a cell for each hour.
	mostDays = 31 * 24 * time.Hour
)

// Heat is how many runs start when: in the minutes of some hours, a row for
// each hour, or in the hours of some days, a row for each day.
type Heat struct {
	// Hourly says that a cell is an hour; else it is a minute.
	Hourly bool
	Rows   []HeatRow
	// Busiest is the minute in which most runs start; zero if none does.
	Busiest Minute
	// Groups are the concurrency groups, by name.
	Groups []Crowding
}

// HeatRow is an hour or a day.
type HeatRow struct {
	// At is the beginning of the hour, or a moment of the day, in the zone of
	// the map.
	At time.Time
	// Cells are the runs that start in each minute or hour; -1 for one that is
	// not asked for, or that a change of the clocks leaves out.
	Cells []int
}

// Runs is how many runs start in the row.
func (r HeatRow) Runs() int {
	sum := 0
	for _, n := range r.Cells {
		sum += max(n, 0)
	}
	return sum
}

// Crowding is how often more runs of a concurrency group start in a minute than
// run at a time.
type Crowding struct {
	Group string
	Limit int
	// Minutes is in how many; First is the first of them, and Runs how many
	// start in it.
	Minutes int
	First   time.Time
	Runs    int
}

// HeatOf counts the runs of all that start after the first and before the
// second time, as clocks in zone show it. Up to 26 hours are shown by the
// minute, more by the hour; the error is for more than 31 days.
func HeatOf(all []Schedule, after, until time.Time, zone *time.Location) (Heat, error) {
	span := until.Sub(after)
	if span > mostDays {
		return Heat{}, fmt.Errorf("a heat map has 31 days at most: ask for an earlier --until")
	}
	until = until.Add(-time.Nanosecond)
	w := week{now: after, until: until, first: (after.Unix() + 1) / 60}
	runs := w.tally()
	groups := map[string][]*Schedule{}
	for i := range all {
		s := &all[i]
		w.add(s, runs)
		if g := s.Rules.ConcurrencyGroup; g != nil {
			groups[g.Name] = append(groups[g.Name], s)
		}
	}
	h := Heat{Hourly: span > mostHours}
	last := ""
	for i, n := range runs {
		at := w.minute(i).In(zone)
		row, cell, cells := at.Format("2006-01-02 15 -07:00"), at.Minute(), 60
		if h.Hourly {
			row, cell, cells = at.Format(time.DateOnly), at.Hour(), 24
		}
		if row != last {
			last = row
			h.Rows = append(h.Rows, HeatRow{At: at, Cells: slices.Repeat([]int{-1}, cells)})
		}
		counts := h.Rows[len(h.Rows)-1].Cells
		counts[cell] = max(counts[cell], 0) + int(n)
		if int(n) > h.Busiest.Runs {
			h.Busiest = Minute{At: at, Runs: int(n)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		h.Groups = append(h.Groups, w.crowding(name, groups[name], zone))
	}
	return h, nil
}

func (w week) crowding(name string, members []*Schedule, zone *time.Location) Crowding {
	c := Crowding{Group: name, Limit: int(limitOf(members))}
	runs := w.tally()
	for _, s := range members {
		w.add(s, runs)
	}
	for i, n := range runs {
		if int(n) <= c.Limit {
			continue
		}
		if c.Minutes++; c.Minutes == 1 {
			c.First, c.Runs = w.minute(i).In(zone), int(n)
		}
	}
	return c
}

package forecast

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"rota.dev/rota/schema"
)

// WriteConflicts writes conflicts as a table for people, at most so many.
func WriteConflicts(w io.Writer, conflicts []Conflict, most int, v View) error {
	if len(conflicts) == 0 {
		_, err := fmt.Fprintln(w, "no two runs start in the same minute")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "CONFLICT\tFIRST\tMINUTES\tRUNS\tCRONJOBS")
	for _, c := range conflicts[:min(len(conflicts), most)] {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\n", c.kind(), clock(v.in(c.First)), c.Times, c.Runs, shortened(c.CronJobs))
	}
	if n := len(conflicts) - most; n > 0 {
		fmt.Fprintf(t, "and %d more; --count shows them\n", n)
	}
	return t.Flush()
}

func (c Conflict) kind() string {
	switch {
	case c.Over():
		return fmt.Sprintf("more than the %d of group %s", c.Limit, c.Group)
	case c.Group != "":
		return "same group " + c.Group
	}
	return "same minute"
}

// shortened returns names in a line, not all of very many.
func shortened(names []string) string {
	if len(names) <= mostNames {
		return strings.Join(names, " ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], " "), len(names)-mostNames)
}

// WriteConflictsJSON writes conflicts as a ConflictList, at most so many.
func WriteConflictsJSON(w io.Writer, conflicts []Conflict, most int, v View) error {
	type conflict struct {
		Group    string   `json:"concurrencyGroup,omitempty"`
		Limit    int      `json:"limit,omitempty"`
		Exceeded bool     `json:"exceeded"`
		First    string   `json:"first"`
		Minutes  int      `json:"minutes"`
		Runs     int      `json:"runs"`
		CronJobs []string `json:"cronJobs"`
	}
	items := []conflict{}
	for _, c := range conflicts[:min(len(conflicts), most)] {
		items = append(items, conflict{c.Group, c.Limit, c.Over(), v.in(c.First).Format(time.RFC3339), c.Times, c.Runs, c.CronJobs})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"apiVersion": schema.APIVersion, "kind": "ConflictList", "items": items})
}

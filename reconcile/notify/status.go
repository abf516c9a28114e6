package notify

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// State is how a commit stands.
type State string

const (
	// Pending says that the work is not done yet.
	Pending State = "pending"
	// Success says that it was done, and well.
	Success State = "success"
	// Failure says that something is wrong with the commit.
	Failure State = "failure"
)

// States are all of them.
var States = []State{Pending, Success, Failure}

// Status is what a host shows beside a commit.
type Status struct {
	// State is one of States.
	State State
	// Context tells it from other statuses of the commit, and a later one of the
	// same context takes its place; rota/plan if empty.
	Context string
	// Description is a sentence; what the host has no room for is cut.
	Description string
	// URL is where to read more; the page of the job if empty.
	URL string
}

// Status sets a status of the commit. The error is a problem, or that of ctx.
func (c *Client) Status(ctx context.Context, s Status) error {
	if !slices.Contains(States, s.State) {
		return problem(rulePlace, fmt.Sprintf("there is no status %q", s.State), "Use pending, success or failure.", nil)
	}
	if c.place.Commit == "" {
		return problem(rulePlace, "nothing says which commit it is", "Run it in a job for a pull request, or say --commit.", nil)
	}
	word := string(s.State)
	if s.State == Failure {
		word = c.dialect.failure
	}
	body := map[string]string{"state": word, "context": cmp.Or(s.Context, "rota/plan"), "description": cut(s.Description, c.dialect.mostDescription)}
	if to := cmp.Or(s.URL, c.place.Run); to != "" {
		body["target_url"] = to
	}
	_, err := c.call(ctx, http.MethodPost, c.dialect.statuses(c.place), "", body, nil)
	if c.place.Host == GitLab && hostSaid(err, http.StatusBadRequest) && strings.Contains(err.Error(), "Cannot transition status") {
		// GitLab refuses to set what is set already, which is what was wanted.
		return nil
	}
	return err
}

// cut shortens text to so many characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

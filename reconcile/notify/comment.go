package notify

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Posted says what became of a comment.
type Posted struct {
	// Done is Created, Updated or Unchanged.
	Done string `json:"done"`
	// ID is the host's number of the comment.
	ID int64 `json:"id"`
	// URL is its page; empty where the host does not say it.
	URL string `json:"url,omitempty"`
	// Removed is how many doubles of the comment were deleted.
	Removed int `json:"removed,omitempty"`
}

// What became of a comment.
const (
	Created   = "Created"
	Updated   = "Updated"
	Unchanged = "Unchanged"
)

// mostRounds bounds how often the comments are read: each round but the last
// ends because somebody else changed them meanwhile.
const mostRounds = 5

// markerLine is a hidden marker of rota's own.
var markerLine = regexp.MustCompile(`^<!-- rota:[A-Za-z0-9._/-]+(?: [A-Za-z0-9._/-]+)* -->$`)

// Marker returns the hidden line that a comment begins with to be found again.
func Marker(name string) (string, error) {
	line := fmt.Sprintf("<!-- rota:%s -->", name)
	if !markerLine.MatchString(line) || strings.Contains(name, "--") {
		return "", problem(ruleMarker, fmt.Sprintf("%q cannot be the name of a marker", name), "Use letters, digits and . _ / - in words with one space between them.", nil)
	}
	return line, nil
}

// markerOf returns the marker that a text begins with, or nothing.
func markerOf(body string) string {
	line, _, _ := strings.Cut(body, "\n")
	line = strings.TrimRight(line, " \r")
	if !markerLine.MatchString(line) {
		return ""
	}
	return line
}

// comment is one of a pull request, as any of the hosts has it.
type comment struct {
	ID     int64  `json:"id"`
	Body   string `json:"body"`
	URL    string `json:"html_url"`
	System bool   `json:"system"`
	User   user   `json:"user"`
	// Author is GitLab's word for User.
	Author user `json:"author"`
}

func (c comment) by() user {
	if c.Author.ID != 0 {
		return c.Author
	}
	return c.User
}

// user is an account of a host.
type user struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
}

// Comment puts body, which begins with a marker, on the pull request: into the
// comment of ours that begins with the same marker, or else into a new one.
// Of several, which posters leave that run at the same time, the oldest stays.
// The error is a problem, or that of ctx.
func (c *Client) Comment(ctx context.Context, body string) (Posted, error) {
	marker := markerOf(body)
	switch {
	case marker == "":
		return Posted{}, problem(ruleMarker, "the text does not begin with a marker by which the comment is found again", "Post what rota plan -o markdown writes, or say --marker NAME.", nil)
	case c.place.PullRequest <= 0:
		return Posted{}, problem(rulePlace, "nothing says which pull request it is", "Run it in a job for a pull request, or say --pull-request.", nil)
	}
	if n, most := utf8.RuneCountInString(body), c.dialect.mostCharacters; most > 0 && n > most {
		return Posted{}, problem(ruleTooLong, fmt.Sprintf("the text has %d characters, and %s takes %d", n, c.dialect.name, most), "Let rota plan -o markdown write it, or post less.", nil)
	}
	me, err := c.whoAmI(ctx)
	if err != nil {
		return Posted{}, err
	}
	posted := Posted{}
	for range mostRounds {
		own, err := c.own(ctx, marker, me)
		if err != nil {
			return posted, err
		}
		if len(own) == 0 && posted.Done == Created {
			return posted, nil // a list that lags behind
		}
		if len(own) == 0 {
			made, err := c.create(ctx, body)
			if err != nil {
				return posted, err
			}
			// Whoever posts at this moment has not seen it, so look once more; by
			// now it is known who we are.
			posted = Posted{Done: Created, ID: made.ID, URL: made.URL}
			if author := made.by(); author.ID != 0 {
				me = &author
			}
			continue
		}
		settled, err := c.settle(ctx, own, body, me, &posted)
		if settled || err != nil {
			return posted, err
		}
	}
	return posted, problem(ruleHost, "somebody else deletes the comment again and again", "See what else posts with the same marker.", nil)
}

// settle makes the oldest of our comments say body, and deletes the others. It
// reports false if the oldest was deleted meanwhile.
func (c *Client) settle(ctx context.Context, own []comment, body string, me *user, posted *Posted) (bool, error) {
	oldest := own[0]
	// The oldest may be another poster's of this moment, whose text is not newer.
	if posted.Done != Created || posted.ID != oldest.ID {
		posted.Done = Unchanged
	}
	posted.ID, posted.URL = oldest.ID, oldest.URL
	if alike(oldest.Body) != alike(body) {
		err := c.update(ctx, oldest.ID, body)
		if hostSaid(err, http.StatusNotFound, http.StatusGone) {
			return false, nil
		}
		if err != nil {
			return true, err
		}
		posted.Done = Updated
	}
	if me == nil {
		// What only looks like ours may be somebody else's, and is not deleted.
		return true, nil
	}
	for _, double := range own[1:] {
		_, err := c.call(ctx, http.MethodDelete, c.dialect.comment(c.place, double.ID), "", nil, nil)
		if err != nil && !hostSaid(err, http.StatusNotFound, http.StatusGone) {
			return true, err
		}
		posted.Removed++
	}
	return true, nil
}

// alike is a text but for what hosts change in it.
func alike(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
}

// whoAmI returns the account of the token; nil if the host does not tell. The
// token of a GitHub workflow may not ask, and stands for an app.
func (c *Client) whoAmI(ctx context.Context) (*user, error) {
	var me user
	_, err := c.call(ctx, http.MethodGet, "/user", "", nil, &me)
	if hostSaid(err, http.StatusForbidden, http.StatusNotFound) || err == nil && me.ID == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &me, nil
}

// own returns the comments that begin with marker and are ours, the oldest
// first. Anybody can write a marker, so its author counts: the account of the
// token, or on GitHub, where a workflow's token does not know its own, an app.
func (c *Client) own(ctx context.Context, marker string, me *user) ([]comment, error) {
	var own []comment
	query := c.dialect.query
	for page := 0; ; page++ {
		var some []comment
		more, err := c.call(ctx, http.MethodGet, c.dialect.comments(c.place), query, nil, &some)
		if err != nil {
			return nil, err
		}
		for _, one := range some {
			author := one.by()
			ours := me != nil && author.ID == me.ID || me == nil && (c.place.Host != GitHub || author.Type == "Bot")
			if !one.System && ours && markerOf(one.Body) == marker {
				own = append(own, one)
			}
		}
		if more == "" || more == query {
			break
		}
		if query = more; page == mostPages {
			return nil, problem(ruleHost, fmt.Sprintf("the pull request has more than %d pages of comments", mostPages), "Post to another pull request.", nil)
		}
	}
	slices.SortFunc(own, func(a, b comment) int { return cmp.Compare(a.ID, b.ID) })
	return own, nil
}

func (c *Client) create(ctx context.Context, body string) (comment, error) {
	var made comment
	_, err := c.call(ctx, http.MethodPost, c.dialect.comments(c.place), "", map[string]string{"body": body}, &made)
	return made, err
}

func (c *Client) update(ctx context.Context, id int64, body string) error {
	_, err := c.call(ctx, c.dialect.update, c.dialect.comment(c.place, id), "", map[string]string{"body": body}, nil)
	return err
}

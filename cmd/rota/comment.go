package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rota.dev/rota/reconcile/notify"
	"rota.dev/rota/schema"
)

// mostComment bounds what is read to be posted: more than any host takes.
const mostComment = 8 << 20

// commenting is what the flags of `rota comment` say.
type commenting struct {
	host, api, repository, commit, marker, output string
	pullRequest                                   int
	status                                        notify.Status
	state                                         string
}

func newComment() *cobra.Command {
	var f commenting
	c := &cobra.Command{
		Use:   "comment [FILE | -]",
		Short: "Post a plan on a pull request, or a status on its commit",
		Long: `Post FILE, or standard input with -, as a comment on a pull request of GitHub,
GitLab, Gitea or Forgejo; with --status, also or only, set a status of its head
commit. The comment is updated in place: it is found again by the hidden marker
in its first line, as rota plan -o markdown writes it, and by its author. What
posters leave behind that run at the same time is reduced to one comment.

Where to post is read from the environment of the job (GitHub Actions, GitLab
CI, Gitea and Forgejo Actions), or said by flags. The token is read from
GITHUB_TOKEN, GITLAB_TOKEN or GITEA_TOKEN and from nowhere else. Certificates
are the system's, or those of SSL_CERT_FILE.

No cluster is needed. Exit status: 0, or 2 if something was not posted.`,
		Example: `  rota plan --against origin/main -o markdown | rota comment -
  rota comment plan.md --status success --description "2 run now, 3 schedules change"
  rota comment --status pending`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: first(func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.run(c, args); err != nil {
				return exit(2, err)
			}
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.host, "host", "", "github, gitlab or gitea (also for Forgejo)")
	flags.StringVar(&f.api, "api", "", "address of the host's API, such as https://git.example.com/api/v1")
	flags.StringVar(&f.repository, "repository", "", "owner/name; for GitLab the path or number of the project")
	flags.IntVar(&f.pullRequest, "pull-request", 0, "number of the pull request or merge request")
	flags.StringVar(&f.commit, "commit", "", "head commit of the pull request, for --status")
	flags.StringVar(&f.marker, "marker", "", "put the hidden marker of this name before the text")
	flags.StringVar(&f.state, "status", "", "set this status of the commit: pending, success or failure")
	flags.StringVar(&f.status.Context, "status-context", "rota/plan", "with --status: what tells it from other statuses")
	flags.StringVar(&f.status.Description, "description", "", "with --status: a sentence")
	flags.StringVar(&f.status.URL, "target-url", "", "with --status: where to read more (default the page of the job)")
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
	return c
}

func (f *commenting) run(c *cobra.Command, args []string) error {
	if err := textOrJSON(f.output); err != nil {
		return err
	}
	if len(args) == 0 && f.state == "" {
		return errors.New("say what to post: FILE, - for standard input, or --status")
	}
	place, err := f.place()
	if err != nil {
		return err
	}
	client, err := notify.New(place, os.Getenv(place.Host.TokenName()), notify.Options{Version: version()})
	if err != nil {
		return err
	}
	fields := map[string]any{}
	var done []string
	// The status last: a merge may wait for it, and then the plan must be there.
	if len(args) == 1 {
		body, err := f.text(c, args[0])
		if err != nil {
			return err
		}
		posted, err := client.Comment(c.Context(), body)
		if err != nil {
			return err
		}
		fields["comment"] = posted
		done = append(done, strings.TrimSpace(fmt.Sprintf("comment %s: %s %s", place, strings.ToLower(posted.Done), posted.URL)))
	}
	if f.state != "" {
		f.status.State = notify.State(f.state)
		if err := client.Status(c.Context(), f.status); err != nil {
			return err
		}
		fields["status"] = map[string]any{"state": f.state, "context": f.status.Context, "commit": place.Commit}
		done = append(done, fmt.Sprintf("status %s of %.12s: %s", f.status.Context, place.Commit, f.state))
	}
	if f.output == "json" {
		return document(c.OutOrStdout(), "PostedReview", fields)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(done, "\n"))
	return err
}

// place is where the job is, unless flags say otherwise.
func (f *commenting) place() (notify.Place, error) {
	p, err := notify.Here(os.Getenv, os.ReadFile)
	if err != nil && f.pullRequest == 0 {
		return p, err
	}
	if f.host != "" && notify.Host(f.host) != p.Host {
		// Nothing of the job's own host is true of another.
		p = notify.Place{Host: notify.Host(f.host)}
	}
	if f.repository != "" && f.repository != p.Repository {
		p = notify.Place{Host: p.Host, API: p.API, Repository: f.repository, Run: p.Run}
	}
	if f.api != "" {
		p.API = f.api
	}
	if f.pullRequest != 0 && f.pullRequest != p.PullRequest {
		p.PullRequest, p.Commit = f.pullRequest, ""
	}
	if f.commit != "" {
		p.Commit = f.commit
	}
	return p, nil
}

// text reads what is posted, with a marker before it if one is named.
func (f *commenting) text(c *cobra.Command, file string) (string, error) {
	in := c.InOrStdin()
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("reading what to post: %w", err)
		}
		defer opened.Close()
		in = opened
	}
	text, err := io.ReadAll(io.LimitReader(in, mostComment+1))
	if err != nil {
		return "", fmt.Errorf("reading what to post: %w", err)
	}
	if len(text) > mostComment {
		return "", &schema.Problem{Rule: "R405", Severity: schema.SeverityError, Message: fmt.Sprintf("%s is longer than any host takes", file), Mend: "Post less."}
	}
	if f.marker == "" {
		return string(text), nil
	}
	line, err := notify.Marker(f.marker)
	return line + "\n" + string(text), err
}

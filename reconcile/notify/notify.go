// Package notify tells the people who review a change what rota makes of it:
// one comment on their pull request, which is updated in place, and a status
// of its commit. It speaks to GitHub, GitLab, and Gitea or Forgejo.
//
// The three APIs are a list, a create, an update and a delete of comments, and
// a create of statuses, with other paths and words; a client library for each
// would be many times the size of this package, and none of them does what is
// the difficulty here: to find one's own comment and to leave no second one.
package notify

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Host is a kind of server that has pull requests.
type Host string

const (
	// GitHub is github.com or a GitHub Enterprise Server.
	GitHub Host = "github"
	// GitLab is gitlab.com or a server of one's own; its pull requests are merge
	// requests.
	GitLab Host = "gitlab"
	// Gitea is Gitea or Forgejo, which have the same API.
	Gitea Host = "gitea"
)

// Hosts are all of them.
var Hosts = []Host{GitHub, GitLab, Gitea}

// Place is a pull request.
type Place struct {
	Host Host
	// API is the base of the host's API, such as https://api.github.com; the
	// public server's if empty, for hosts that have one.
	API string
	// Repository is owner/name; for GitLab the project's path or number.
	Repository string
	// PullRequest is its number in the repository.
	PullRequest int
	// Commit is the head of the pull request, in full: not the merge that a job
	// may have checked out, on which nobody sees a status.
	Commit string
	// Run is the page of the job that runs now; may be empty.
	Run string
}

// dialect is how a host's API differs from the others'.
type dialect struct {
	name, api, token string
	// scheme is the word before the token. All hosts take the header
	// Authorization, which alone is withheld by net/http if it is redirected.
	scheme, accept string
	// mostCharacters of a comment, zero if the host names none; and
	// mostDescription of a status.
	mostCharacters, mostDescription int
	// update is the method that changes a comment.
	update string
	// comments is the path of all comments of a pull request, comment that of
	// one, statuses those of a commit.
	comments func(Place) string
	comment  func(Place, int64) string
	statuses func(Place) string
	// query lists the oldest first, as many as the host gives at a time.
	query string
	// failure is the host's word for it.
	failure string
}

var dialects = map[Host]dialect{
	// https://docs.github.com/rest/issues/comments, /rest/commits/statuses
	GitHub: {
		name: "GitHub", api: "https://api.github.com", token: "GITHUB_TOKEN", scheme: "Bearer", accept: "application/vnd.github+json",
		mostCharacters: 65_536, mostDescription: 140, update: http.MethodPatch, query: "per_page=100", failure: "failure",
		comments: issueComments, comment: issueComment, statuses: repositoryStatuses,
	},
	// https://docs.gitlab.com/api/notes, /api/commits
	GitLab: {
		name: "GitLab", api: "https://gitlab.com/api/v4", token: "GITLAB_TOKEN", scheme: "Bearer", accept: "application/json",
		mostCharacters: 1_000_000, mostDescription: 255, update: http.MethodPut, query: "order_by=created_at&per_page=100&sort=asc", failure: "failed",
		comments: func(p Place) string {
			return fmt.Sprintf("/projects/%s/merge_requests/%d/notes", url.PathEscape(p.Repository), p.PullRequest)
		},
		comment: func(p Place, id int64) string {
			return fmt.Sprintf("/projects/%s/merge_requests/%d/notes/%d", url.PathEscape(p.Repository), p.PullRequest, id)
		},
		statuses: func(p Place) string {
			return fmt.Sprintf("/projects/%s/statuses/%s", url.PathEscape(p.Repository), url.PathEscape(p.Commit))
		},
	},
	// /api/swagger of any server; Forgejo's is the same in this. It lists all
	// comments at once and knows no pages.
	Gitea: {
		name: "Gitea", token: "GITEA_TOKEN", scheme: "token", accept: "application/json",
		mostDescription: 255, update: http.MethodPatch, failure: "failure",
		comments: issueComments, comment: issueComment, statuses: repositoryStatuses,
	},
}

func issueComments(p Place) string {
	return fmt.Sprintf("/repos/%s/issues/%d/comments", p.Repository, p.PullRequest)
}

func issueComment(p Place, id int64) string {
	return fmt.Sprintf("/repos/%s/issues/comments/%d", p.Repository, id)
}

func repositoryStatuses(p Place) string {
	return fmt.Sprintf("/repos/%s/statuses/%s", p.Repository, url.PathEscape(p.Commit))
}

// TokenName is the variable of the environment that has a host's token.
func (h Host) TokenName() string { return dialects[h].token }

// String names the pull request as people of its host write it.
func (p Place) String() string {
	sign := "#"
	if p.Host == GitLab {
		sign = "!"
	}
	return fmt.Sprintf("%s%s%d", p.Repository, sign, p.PullRequest)
}

// check returns the base of the API. What a Place must have beyond that
// depends on what is done with it.
func (p Place) check() (*url.URL, error) {
	const mend = "Run it in a job for a pull request, or say --host, --api, --repository and --pull-request."
	if !slices.Contains(Hosts, p.Host) {
		if p.Host == "" {
			return nil, problem(rulePlace, "nothing says on which host the pull request is", mend, nil)
		}
		return nil, problem(rulePlace, fmt.Sprintf("the host %q is not known", p.Host), "Use github, gitlab or gitea (also for Forgejo).", nil)
	}
	base, err := url.Parse(strings.TrimRight(cmp.Or(p.API, dialects[p.Host].api), "/"))
	switch {
	case err != nil || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, problem(rulePlace, "the address of the host's API is missing or cannot be used", "Say it with --api, such as https://git.example.com/api/v1.", nil)
	case base.Scheme != "https" && (base.Scheme != "http" || !onThisMachine(base.Hostname())):
		return nil, problem(rulePlace, fmt.Sprintf("the API %s has no https:// address, and a token must not be sent to it", base.Redacted()), "Use its https:// address.", nil)
	}
	// The parts of owner/name are parts of a path, and GitLab's are escaped.
	owner, name, ok := strings.Cut(p.Repository, "/")
	if p.Repository == "" || p.Host != GitLab && (!ok || !plain(owner) || !plain(name)) {
		return nil, problem(rulePlace, fmt.Sprintf("%q is not the name of a repository", p.Repository), "Say it with --repository, as owner/name.", nil)
	}
	return base, nil
}

// plain reports whether name is one that stands for itself in a path.
func plain(name string) bool {
	return name != "" && name != "." && name != ".." && url.PathEscape(name) == name && !strings.Contains(name, "/")
}

func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

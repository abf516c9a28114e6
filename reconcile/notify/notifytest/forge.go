// Package notifytest gives tests a host of pull requests.
package notifytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"rota.dev/rota/reconcile/notify"
)

// What a Forge knows.
const (
	// Token is the only one that it takes.
	Token = "s3cret-token"
	// Repository, PullRequest and Commit are the only ones that it has.
	Repository = "acme/jobs"
	// Project is GitLab's number of Repository.
	Project     = "12"
	PullRequest = 7
	Commit      = "0123456789abcdef0123456789abcdef01234567"
	// Me is the account of Token, Stranger somebody else's.
	Me       = 42
	Stranger = 666
)

// Comment is one of the pull request.
type Comment struct {
	ID     int64
	Author int64
	Body   string
	// System is for what GitLab writes itself among the notes.
	System bool
}

// Forge is the part of a host's API that rota uses, as the host documents it:
// it fails the test on a path, method, header or field that the host does not
// have. Its fields may be set before it serves.
type Forge struct {
	// Host says whose API it has.
	Host notify.Host
	// PageSize is how many comments it gives at most at a time.
	PageSize int
	// Before sees every request, with its number from 1, and may answer it.
	Before func(n int, w http.ResponseWriter, r *http.Request) (answered bool)

	t        testing.TB
	mu       sync.Mutex
	workflow atomic.Bool
	last     int64
	comments []Comment
	statuses []map[string]string
	requests []string
}

// NewForge returns a Forge without comments.
func NewForge(t testing.TB, host notify.Host) *Forge {
	return &Forge{Host: host, PageSize: 100, t: t}
}

// ForWorkflow makes Token that of a GitHub workflow, which may not ask who it
// is, or not.
func (f *Forge) ForWorkflow(workflow bool) {
	f.workflow.Store(workflow)
}

// Base is the path of its API.
func (f *Forge) Base() string {
	return map[notify.Host]string{notify.GitLab: "/api/v4", notify.Gitea: "/api/v1"}[f.Host]
}

// Place returns the pull request on a Forge that serves at an address.
func (f *Forge) Place(address string) notify.Place {
	return notify.Place{Host: f.Host, API: address + f.Base(), Repository: Repository, PullRequest: PullRequest, Commit: Commit}
}

// Add puts a comment on the pull request and returns its number.
func (f *Forge) Add(author int64, body string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.add(Comment{Author: author, Body: body})
}

// AddSystem puts a note there that the host itself wrote in somebody's name.
func (f *Forge) AddSystem(author int64, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(Comment{Author: author, Body: body, System: true})
}

func (f *Forge) add(c Comment) int64 {
	f.last++
	c.ID = f.last
	f.comments = append(f.comments, c)
	return c.ID
}

// Comments returns those of the pull request, the oldest first.
func (f *Forge) Comments() []Comment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.comments)
}

// Statuses returns those of the commit, the oldest first.
func (f *Forge) Statuses() []map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.statuses)
}

// Requests returns what it was asked, as METHOD PATH.
func (f *Forge) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// routes are the paths of each host's documentation, escaped as they are sent.
var routes = map[notify.Host]struct {
	comments, comment, statuses, update string
}{
	notify.GitHub: {`^/repos/acme/jobs/issues/7/comments$`, `^/repos/acme/jobs/issues/comments/(\d+)$`, `^/repos/acme/jobs/statuses/` + Commit + `$`, "PATCH"},
	notify.GitLab: {`^/projects/(?:acme%2Fjobs|12)/merge_requests/7/notes$`, `^/projects/(?:acme%2Fjobs|12)/merge_requests/7/notes/(\d+)$`, `^/projects/(?:acme%2Fjobs|12)/statuses/` + Commit + `$`, "PUT"},
	notify.Gitea:  {`^/repos/acme/jobs/issues/7/comments$`, `^/repos/acme/jobs/issues/comments/(\d+)$`, `^/repos/acme/jobs/statuses/` + Commit + `$`, "PATCH"},
}

// ServeHTTP implements http.Handler.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r.Method+" "+r.URL.EscapedPath())
	n := len(f.requests)
	f.mu.Unlock()
	f.checkHeaders(r)
	if f.Before != nil && f.Before(n, w, r) {
		return
	}
	scheme := "Bearer "
	if f.Host == notify.Gitea {
		scheme = "token "
	}
	if r.Header.Get("Authorization") != scheme+Token {
		f.refuse(w, http.StatusUnauthorized, "Bad credentials")
		return
	}
	route := routes[f.Host]
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), f.Base())
	one := regexp.MustCompile(route.comment).FindStringSubmatch(path)
	switch {
	case ok && path == "/user" && r.Method == http.MethodGet:
		f.user(w)
	case ok && regexp.MustCompile(route.comments).MatchString(path) && r.Method == http.MethodGet:
		f.list(w, r)
	case ok && regexp.MustCompile(route.comments).MatchString(path) && r.Method == http.MethodPost:
		f.create(w, r)
	case ok && one != nil && r.Method == route.update:
		f.change(w, one[1], f.read(r, "body")["body"])
	case ok && one != nil && r.Method == http.MethodDelete:
		f.remove(w, one[1])
	case ok && regexp.MustCompile(route.statuses).MatchString(path) && r.Method == http.MethodPost:
		f.status(w, r)
	case strings.Contains(path, "/nowhere/"):
		f.refuse(w, http.StatusNotFound, "Not Found")
	default:
		f.t.Errorf("%s has no %s %s", f.Host, r.Method, r.URL)
		f.refuse(w, http.StatusNotFound, "Not Found")
	}
}

func (f *Forge) checkHeaders(r *http.Request) {
	accept := "application/json"
	if f.Host == notify.GitHub {
		accept = "application/vnd.github+json"
		if got := r.Header.Get("X-GitHub-Api-Version"); got != "2022-11-28" {
			f.t.Errorf("%s: X-GitHub-Api-Version is %q", r.URL, got)
		}
	}
	if got := r.Header.Get("Accept"); got != accept {
		f.t.Errorf("%s: Accept is %q", r.URL, got)
	}
	// GitHub refuses requests without one.
	if got := r.Header.Get("User-Agent"); !strings.HasPrefix(got, "rota/") {
		f.t.Errorf("%s: User-Agent is %q", r.URL, got)
	}
	if strings.Contains(r.URL.String(), Token) {
		f.t.Errorf("the token is in the address %s", r.URL)
	}
}

// read decodes a body that may have no other fields.
func (f *Forge) read(r *http.Request, fields ...string) map[string]string {
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		f.t.Errorf("%s: Content-Type is %q", r.URL, got)
	}
	var body map[string]string
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		f.t.Errorf("%s: the body cannot be read: %v", r.URL, err)
	}
	for field := range body {
		if !slices.Contains(fields, field) {
			f.t.Errorf("%s: %s has no field %q here", r.URL, f.Host, field)
		}
	}
	return body
}

func (f *Forge) refuse(w http.ResponseWriter, status int, message string) {
	f.write(w, status, map[string]any{"message": message, "documentation_url": "https://docs.example.com"})
}

func (f *Forge) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	var text bytes.Buffer
	if err := json.NewEncoder(&text).Encode(body); err != nil {
		f.t.Error(err)
	}
	_, _ = w.Write(text.Bytes()) // a client that is gone wants no answer
}

func (f *Forge) user(w http.ResponseWriter) {
	if f.workflow.Load() {
		f.refuse(w, http.StatusForbidden, "Resource not accessible by integration")
		return
	}
	f.write(w, http.StatusOK, map[string]any{"id": Me, "login": "rota", "username": "rota"})
}

// list gives a page, with the headers that the host gives.
func (f *Forge) list(w http.ResponseWriter, r *http.Request) {
	known := map[notify.Host][]string{notify.GitHub: {"page", "per_page"}, notify.GitLab: {"page", "per_page", "sort", "order_by"}, notify.Gitea: nil}[f.Host]
	for _, name := range slices.Sorted(maps.Keys(r.URL.Query())) {
		if !slices.Contains(known, name) {
			f.t.Errorf("%s has no parameter %q here", f.Host, name)
		}
	}
	all := f.Comments()
	page, size := 1, f.PageSize
	if f.Host == notify.Gitea {
		size = len(all) + 1
	}
	if text := r.URL.Query().Get("page"); text != "" {
		page, _ = strconv.Atoi(text)
	}
	from, to := min((page-1)*size, len(all)), min(page*size, len(all))
	if to < len(all) {
		next := *r.URL
		query := next.Query()
		query.Set("page", strconv.Itoa(page+1))
		next.RawQuery = query.Encode()
		query.Set("page", "99")
		// The host's address as the world knows it is not always ours.
		w.Header().Set("Link", fmt.Sprintf(`<https://elsewhere.example.com/first>; rel="first", <https://elsewhere.example.com%s>; rel="next", <https://elsewhere.example.com/?%s>; rel="last"`, next.RequestURI(), query.Encode()))
	}
	items := []any{}
	for _, c := range all[from:to] {
		items = append(items, f.show(c))
	}
	f.write(w, http.StatusOK, items)
}

// show is a comment as the host has it.
func (f *Forge) show(c Comment) map[string]any {
	if f.Host == notify.GitLab {
		return map[string]any{"id": c.ID, "body": c.Body, "system": c.System, "noteable_iid": PullRequest, "author": map[string]any{"id": c.Author, "username": "u"}}
	}
	user := map[string]any{"id": c.Author, "login": "u", "type": "User"}
	if c.Author == Me && f.workflow.Load() {
		user["login"], user["type"] = "github-actions[bot]", "Bot"
	}
	if f.Host == notify.Gitea {
		delete(user, "type")
	}
	return map[string]any{"id": c.ID, "body": c.Body, "html_url": fmt.Sprintf("https://git.example.com/acme/jobs/pull/7#c%d", c.ID), "user": user}
}

func (f *Forge) create(w http.ResponseWriter, r *http.Request) {
	body := f.read(r, "body")["body"]
	if most := map[notify.Host]int{notify.GitHub: 65_536, notify.GitLab: 1_000_000}[f.Host]; body == "" || most > 0 && utf8.RuneCountInString(body) > most {
		f.refuse(w, http.StatusUnprocessableEntity, "Validation Failed")
		return
	}
	f.mu.Lock()
	id := f.add(Comment{Author: Me, Body: body})
	made := f.comments[len(f.comments)-1]
	f.mu.Unlock()
	w.Header().Set("Location", fmt.Sprintf("https://git.example.com/comments/%d", id))
	f.write(w, http.StatusCreated, f.show(made))
}

// find returns the index of a comment, or answers that there is none, or that
// it is somebody else's.
func (f *Forge) find(w http.ResponseWriter, id string) (int, bool) {
	i := slices.IndexFunc(f.comments, func(c Comment) bool { return strconv.FormatInt(c.ID, 10) == id })
	if i < 0 {
		f.refuse(w, http.StatusNotFound, "Not Found")
		return i, false
	}
	if f.comments[i].Author != Me {
		f.t.Errorf("the comment %s is somebody else's", id)
		f.refuse(w, http.StatusForbidden, "Forbidden")
		return i, false
	}
	return i, true
}

func (f *Forge) change(w http.ResponseWriter, id, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.find(w, id); ok {
		f.comments[i].Body = body
		f.write(w, http.StatusOK, f.show(f.comments[i]))
	}
}

func (f *Forge) remove(w http.ResponseWriter, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, ok := f.find(w, id); ok {
		f.comments = slices.Delete(f.comments, i, i+1)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *Forge) status(w http.ResponseWriter, r *http.Request) {
	body := f.read(r, "state", "context", "description", "target_url")
	states := map[notify.Host][]string{
		notify.GitHub: {"error", "failure", "pending", "success"}, notify.GitLab: {"pending", "running", "success", "failed", "canceled", "skipped"},
		notify.Gitea: {"pending", "success", "error", "failure", "warning"},
	}
	if !slices.Contains(states[f.Host], body["state"]) {
		f.t.Errorf("%s has no state %q", f.Host, body["state"])
	}
	if n := utf8.RuneCountInString(body["description"]); n > 255 || f.Host == notify.GitHub && n > 140 {
		f.t.Errorf("%s takes no description of %d characters", f.Host, n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.statuses); f.Host == notify.GitLab && n > 0 && body["state"] == "pending" && f.statuses[n-1]["state"] == "pending" {
		f.refuse(w, http.StatusBadRequest, `Cannot transition status via :enqueue from :pending (Reason(s): Status cannot transition via "enqueue")`)
		return
	}
	f.statuses = append(f.statuses, body)
	f.write(w, http.StatusCreated, map[string]any{"id": len(f.statuses), "state": body["state"]})
}

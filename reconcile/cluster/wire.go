package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"
)

// DryRun returns a configuration whose every write the server checks, answers
// and forgets (dryRun=All). A Set over it carries a whole plan out without
// effect: its outcomes have the objects as the server would have them. Three
// things cannot be had from the server, so they are as intended: an object in
// a namespace that the same plan creates, one that names what the same plan
// creates (a Pod its account), and the release of a prepared Job.
// Such a Set is for one Apply: what it wrote is nowhere to be observed.
func DryRun(cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return dryRun{next} })
	return cfg
}

type dryRun struct{ next http.RoundTripper }

func (d dryRun) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return d.next.RoundTrip(r)
	}
	if a, ok := r.Context().Value(answerKey{}).(*answer); ok {
		a.dropped.Store(true)
	}
	r = r.Clone(r.Context())
	query := r.URL.Query()
	query.Set("dryRun", "All")
	r.URL.RawQuery = query.Encode()
	if r.Method == http.MethodDelete && r.Body != nil {
		if err := dryDelete(r); err != nil {
			return nil, err
		}
	}
	return d.next.RoundTrip(r)
}

// dryDelete puts dryRun into the options of a deletion: the server does not
// look at the query when it finds options in the body.
func dryDelete(r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return fmt.Errorf("reading the options of a deletion: %w", err)
	}
	if len(body) > 0 {
		var options map[string]any
		if err := json.Unmarshal(body, &options); err != nil {
			// Sent on as it is, it would delete.
			return fmt.Errorf("reading the options of a deletion in a dry run: they are not JSON: %w", err)
		}
		options["dryRun"] = []string{"All"}
		if body, err = json.Marshal(options); err != nil {
			return fmt.Errorf("writing the options of a deletion: %w", err)
		}
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return nil
}

type answerKey struct{}

// answer learns whether the writes of a context were kept by the server. The
// transport knows; nobody above it is told by a flag.
type answer struct{ dropped atomic.Bool }

// await returns a context whose writes report to the answer.
func await(ctx context.Context) (context.Context, *answer) {
	if a, ok := ctx.Value(answerKey{}).(*answer); ok {
		return ctx, a
	}
	a := &answer{}
	return context.WithValue(ctx, answerKey{}, a), a
}

// dry reports whether a write of the context was checked and forgotten.
func (a *answer) dry() bool { return a.dropped.Load() }

// Counts has the number of requests by what they did: a verb as RBAC has it,
// a space, and the resource with its subresource, such as `patch jobs` or
// `watch configmaps`.
type Counts struct {
	mu     sync.Mutex
	counts map[string]int
}

// Count returns a configuration whose requests are counted.
func Count(cfg *rest.Config) (*rest.Config, *Counts) {
	cfg = rest.CopyConfig(cfg)
	c := &Counts{counts: map[string]int{}}
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{c, next} })
	return cfg, c
}

type counting struct {
	counts *Counts
	next   http.RoundTripper
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	what := describeRequest(r)
	c.counts.mu.Lock()
	c.counts.counts[what]++
	c.counts.mu.Unlock()
	return c.next.RoundTrip(r)
}

// Take returns the counts since the last Take, and their sum.
func (c *Counts) Take() (counts map[string]int, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts, c.counts = c.counts, map[string]int{}
	for _, n := range counts {
		total += n
	}
	return counts, total
}

// describeRequest says what r does; paths are as the API conventions have them:
// /api/v1 or /apis/GROUP/VERSION, then [namespaces/NS/]RESOURCE[/NAME[/SUB]].
func describeRequest(r *http.Request) string {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		parts = parts[3:]
	default:
		return strings.ToLower(r.Method) + " " + r.URL.Path
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	resource := parts[0]
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch {
	case verb != "":
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	case len(parts) > 1:
		verb = "get"
	default:
		verb = "list"
	}
	return verb + " " + resource
}

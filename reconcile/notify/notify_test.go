package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/reconcile/notify"
	"rota.dev/rota/reconcile/notify/notifytest"
	"rota.dev/rota/schema"
)

const marker = "<!-- rota:plan batch -->"

// onEachHost runs a test against the API of each host.
func onEachHost(t *testing.T, test func(t *testing.T, f *notifytest.Forge)) {
	for _, host := range notify.Hosts {
		t.Run(string(host), func(t *testing.T) { test(t, notifytest.NewForge(t, host)) })
	}
}

// serve returns a client of f over the network of this machine.
func serve(t *testing.T, f *notifytest.Forge) *notify.Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	client, err := notify.New(f.Place(server.URL), notifytest.Token, notify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func post(t *testing.T, c *notify.Client, body string) notify.Posted {
	t.Helper()
	posted, err := c.Comment(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	return posted
}

func bodies(f *notifytest.Forge) []string {
	var all []string
	for _, c := range f.Comments() {
		all = append(all, c.Body)
	}
	return all
}

// refused checks that err is a problem of a rule that says all of wants, with a
// way to mend it, and does not tell the token.
func refused(t *testing.T, err error, rule string, wants ...string) {
	t.Helper()
	var p *schema.Problem
	if !errors.As(err, &p) || p.Rule != rule || p.Mend == "" {
		t.Errorf("%v is not a problem of %s", err, rule)
		return
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v", err, p.Cause), notifytest.Token) {
		t.Errorf("the token is in %v", err)
	}
}

func TestOneCommentIsPostedAndThenUpdatedInPlace(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		f.Add(notifytest.Stranger, "Looks good")
		c := serve(t, f)
		first := post(t, c, marker+"\nPlan: 1 runs now\n")
		again := post(t, c, marker+"\nPlan: 1 runs now\n")
		second := post(t, c, marker+"\nPlan: nothing\n")
		other := post(t, c, "<!-- rota:plan reports -->\nPlan: 2 run now\n")
		if diff := cmp.Diff([]string{"Looks good", marker + "\nPlan: nothing\n", "<!-- rota:plan reports -->\nPlan: 2 run now\n"}, bodies(f)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := []string{first.Done, again.Done, second.Done, other.Done}; !slices.Equal(got, []string{"Created", "Unchanged", "Updated", "Created"}) {
			t.Errorf("it says %v", got)
		}
		if first.ID != second.ID || first.ID == other.ID {
			t.Errorf("the comments are %d, %d and %d", first.ID, second.ID, other.ID)
		}
		if f.Host != notify.GitLab && !strings.HasSuffix(first.URL, fmt.Sprintf("#c%d", first.ID)) {
			t.Errorf("the page is %q", first.URL)
		}
	})
}

func TestOurCommentIsFoundOnALaterPage(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		f.PageSize = 2
		for i := range 5 {
			f.Add(notifytest.Stranger, fmt.Sprint("comment ", i))
		}
		ours := f.Add(notifytest.Me, marker+"\r\nold, as a browser sends it")
		f.Add(notifytest.Stranger, "the last")
		if posted := post(t, serve(t, f), marker+"\nnew"); posted.ID != ours || posted.Done != notify.Updated {
			t.Errorf("posted %+v, ours is %d", posted, ours)
		}
		if n := len(f.Comments()); n != 7 {
			t.Errorf("there are %d comments", n)
		}
	})
}

func TestACommentThatOnlyLooksLikeOursIsLeftAlone(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		f.Add(notifytest.Stranger, marker+"\nPlan: nothing to see here")
		f.Add(notifytest.Me, "> "+marker+"\nquoted")
		f.Add(notifytest.Me, marker+" <b>\nno marker")
		f.Add(notifytest.Me, "<!-- rota:plan batch2 -->\nanother Sync")
		if f.Host == notify.GitLab {
			f.AddSystem(notifytest.Me, marker+"\nadded 1 commit")
		}
		before := bodies(f)
		posted := post(t, serve(t, f), marker+"\nours")
		if diff := cmp.Diff(append(before, marker+"\nours"), bodies(f)); diff != "" || posted.Done != notify.Created {
			t.Errorf("%+v (-want +got):\n%s", posted, diff)
		}
	})
}

// The token of a GitHub workflow may not ask who it is; its comments are an
// app's.
func TestAWorkflowFindsItsCommentAmongThoseOfPeople(t *testing.T) {
	f := notifytest.NewForge(t, notify.GitHub)
	f.ForWorkflow(true)
	f.Add(notifytest.Stranger, marker+"\nby a person")
	c := serve(t, f)
	post(t, c, marker+"\none")
	post(t, c, marker+"\ntwo")
	if diff := cmp.Diff([]string{marker + "\nby a person", marker + "\ntwo"}, bodies(f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Two of an app are perhaps not both of this one: nothing is deleted.
	f.Add(notifytest.Me, marker+"\nperhaps of another app")
	post(t, c, marker+"\nthree")
	if diff := cmp.Diff([]string{marker + "\nby a person", marker + "\nthree", marker + "\nperhaps of another app"}, bodies(f)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// All posters read the comments before any of them writes one.
func TestPostersAtTheSameTimeLeaveOneComment(t *testing.T) {
	for _, workflow := range []bool{false, true} {
		onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
			if workflow && f.Host != notify.GitHub {
				t.Skip("only GitHub has such tokens")
			}
			f.ForWorkflow(workflow)
			const posters = 8
			var mu sync.Mutex
			var listed int
			all := make(chan struct{})
			f.Before = func(_ int, _ http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				// Every poster has its empty list when the last one arrives here.
				mu.Lock()
				if listed++; listed == posters {
					close(all)
				}
				mu.Unlock()
				<-all
				return false
			}
			c := serve(t, f)
			var group sync.WaitGroup
			for i := range posters {
				group.Go(func() {
					if _, err := c.Comment(t.Context(), fmt.Sprintf("%s\nof poster %d", marker, i)); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if got := bodies(f); len(got) != 1 || !strings.HasPrefix(got[0], marker+"\nof poster ") {
				t.Errorf("they leave %q", got)
			}
		})
	}
}

func TestACommentThatIsDeletedMeanwhileIsPostedAnew(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		f.Add(notifytest.Me, marker+"\nold")
		gone := false
		f.Before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if gone || r.Method != http.MethodPatch && r.Method != http.MethodPut {
				return false
			}
			gone = true
			again, err := http.NewRequestWithContext(r.Context(), http.MethodDelete, r.URL.String(), nil)
			if err != nil {
				t.Error(err)
			}
			again.Header = r.Header
			f.ServeHTTP(httptest.NewRecorder(), again)
			return false
		}
		posted := post(t, serve(t, f), marker+"\nnew")
		if diff := cmp.Diff([]string{marker + "\nnew"}, bodies(f)); diff != "" || posted.Done != notify.Created {
			t.Errorf("%+v (-want +got):\n%s", posted, diff)
		}
	})
}

// inMemory carries requests to a handler without a network, which a bubble of
// synctest cannot wait for.
type inMemory struct{ handler http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

func TestAHostThatFailsForAWhileIsAskedAgain(t *testing.T) {
	reset := func(d time.Duration) map[string]string {
		return map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(time.Now().Add(d).Unix())}
	}
	for _, test := range []struct {
		name   string
		status int
		header func() map[string]string
		tries  int
		// least and most bound what all tries wait for together.
		least, most time.Duration
	}{
		{"a rate limit that says how long", 429, func() map[string]string { return map[string]string{"Retry-After": "7"} }, 2, 14 * time.Second, 14 * time.Second},
		{"GitHub's secondary rate limit", 403, func() map[string]string { return map[string]string{"Retry-After": "60"} }, 1, time.Minute, time.Minute},
		{"GitHub's primary rate limit", 403, func() map[string]string { return reset(90 * time.Second) }, 1, 90 * time.Second, 92 * time.Second},
		{"a server behind a proxy that restarts", 502, nil, 3, 7 * time.Second, 7 * time.Second},
		{"maintenance", 503, func() map[string]string { return map[string]string{"Retry-After": "20"} }, 1, 20 * time.Second, 20 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := notifytest.NewForge(t, notify.GitHub)
				begun := time.Now()
				f.Before = func(n int, w http.ResponseWriter, r *http.Request) bool {
					if n > test.tries {
						return false
					}
					if test.header != nil {
						for name, value := range test.header() {
							w.Header().Set(name, value)
						}
					}
					w.WriteHeader(test.status)
					return true
				}
				c, err := notify.New(f.Place("https://api.example.com"), notifytest.Token, notify.Options{Transport: inMemory{f}})
				if err != nil {
					t.Fatal(err)
				}
				if posted := post(t, c, marker+"\nplan"); posted.Done != notify.Created {
					t.Errorf("posted %+v", posted)
				}
				if waited := time.Since(begun); waited < test.least || waited > test.most {
					t.Errorf("it waited for %s", waited)
				}
			})
		})
	}
}

func TestAHostThatGoesOnFailingIsGivenUp(t *testing.T) {
	for _, test := range []struct {
		name, retryAfter string
		status           int
		says             []string
		requests         int
		most             time.Duration
	}{
		{"it fails", "", 500, []string{"GitHub answers 500: database is down"}, 5, time.Minute},
		{"it asks to wait for an hour", "3600", 429, []string{"429", "it asks to wait for 1h0m0s"}, 1, 0},
		{"a secondary rate limit of an hour", "3600", 403, []string{"403", "it asks to wait for 1h0m0s"}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := notifytest.NewForge(t, notify.GitHub)
				begun := time.Now()
				f.Before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if test.retryAfter != "" {
						w.Header().Set("Retry-After", test.retryAfter)
					}
					w.WriteHeader(test.status)
					fmt.Fprintf(w, `{"message": "database is down, %s"}`, r.Header.Get("Authorization"))
					return true
				}
				c, err := notify.New(f.Place("https://api.example.com"), notifytest.Token, notify.Options{Transport: inMemory{f}})
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.Comment(t.Context(), marker+"\nplan")
				refused(t, err, "R406", test.says...)
				if n, waited := len(f.Requests()), time.Since(begun); n != test.requests || waited > test.most {
					t.Errorf("%d requests in %s", n, waited)
				}
			})
		})
	}
}

// A create that fails may have been carried out, and is then tried again.
func TestACreateThatFailsAfterItWasDoneLeavesOneComment(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		synctest.Test(t, func(t *testing.T) {
			failed := false
			f.Before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
				if failed || r.Method != http.MethodPost {
					return false
				}
				failed = true
				again := r.Clone(r.Context())
				f.ServeHTTP(httptest.NewRecorder(), again)
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			c, err := notify.New(f.Place("https://api.example.com"), notifytest.Token, notify.Options{Transport: inMemory{f}})
			if err != nil {
				t.Fatal(err)
			}
			post(t, c, marker+"\nplan")
			if diff := cmp.Diff([]string{marker + "\nplan"}, bodies(f)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	})
}

func TestAnEndedContextEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := notifytest.NewForge(t, notify.GitHub)
		f.Before = func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		c, err := notify.New(f.Place("https://api.example.com"), notifytest.Token, notify.Options{Transport: inMemory{f}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := c.Comment(ctx, marker); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

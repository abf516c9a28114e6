package cluster

import (
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

const (
	// leastPace, firstPace and mostPace are how many requests of a scheduler
	// may be in flight: at least, at first and at most.
	leastPace, firstPace, mostPace = 4, 16, 64
	// longestRefusal bounds how long one answer may take a place away.
	longestRefusal = 30 * time.Second
)

// pace bounds how many requests are in flight at a time, and finds that bound
// by the answers: while more of them make each slower and the whole no faster,
// they only wait in the API server, in front of everybody else's. A place
// whose request was refused for now (429, 503) is not used again before the
// time that the server asked for, and counts as that slow.
//
// Watches are not counted, for they stay open; nor are events, which are sent
// one after the other and must not stand before a run.
type pace struct {
	limiter adaptivelimiter.AdaptiveLimiter[any]
}

func newPace() *pace {
	limiter := adaptivelimiter.NewBuilder[any]().
		WithLimits(leastPace, mostPace, firstPace).
		WithMaxLimitFactor(2).
		// A crowded minute lasts a second or so, and the bound must be found in it.
		WithRecentWindow(100*time.Millisecond, 10*time.Second, 50).
		Build()
	return &pace{limiter: limiter}
}

// crowded reports whether requests wait for their turn.
func (p *pace) crowded() bool { return p.limiter.Queued() > 0 }

// over returns next at this pace.
func (p *pace) over(next http.RoundTripper) http.RoundTripper { return paced{p, next} }

type paced struct {
	*pace
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (p paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if unpaced(r) {
		return p.next.RoundTrip(r)
	}
	permit, err := p.limiter.AcquirePermit(r.Context())
	if err != nil {
		return nil, err
	}
	response, err := p.next.RoundTrip(r)
	switch {
	case err != nil:
		permit.Drop() // how long it took to fail says nothing of the server's speed
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable:
		time.AfterFunc(refusedFor(response), permit.Record)
	default:
		permit.Record()
	}
	return response, err
}

// refusedFor reads Retry-After, which the API server gives in seconds.
func refusedFor(response *http.Response) time.Duration {
	seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return time.Second
	}
	return min(time.Duration(seconds)*time.Second, longestRefusal)
}

func unpaced(r *http.Request) bool {
	return r.URL.Query().Has("watch") || path.Base(r.URL.Path) == "events"
}

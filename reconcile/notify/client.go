package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/failsafehttp"

	"rota.dev/rota/schema"
)

const (
	// mostRetries and longestWait bound what a host that fails, or asks to come
	// back later, costs a job.
	mostRetries = 4
	longestWait = 2 * time.Minute
	// requestTime bounds one try.
	requestTime = 30 * time.Second
	// mostAnswer bounds what is read of an answer: a page of a hundred comments
	// as long as GitHub takes them, and their frame.
	mostAnswer = 64 << 20
	// mostSaid bounds how much of a host's own message is passed on.
	mostSaid = 300
	// mostPages bounds how many pages of comments are read.
	mostPages = 100
)

// Options are how a Client speaks.
type Options struct {
	// Version is rota's own, for the host's log.
	Version string
	// Transport carries the requests; http.DefaultTransport if nil.
	Transport http.RoundTripper
}

// Client speaks to the host of one pull request.
type Client struct {
	place   Place
	dialect dialect
	base    *url.URL
	token   string
	agent   string
	http    *http.Client
}

// New returns a Client of a place. It sends nothing yet. The error is a
// problem: the place cannot be, or the token is empty.
func New(p Place, token string, o Options) (*Client, error) {
	base, err := p.check()
	if err != nil {
		return nil, err
	}
	d := dialects[p.Host]
	token = strings.TrimSpace(token)
	if token == "" {
		return nil, problem(ruleToken, d.token+" is not set", "Give the job a token; one for a pull request from a fork has none, and cannot post.", nil)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, problem(ruleToken, d.token+" has characters that no token has", "Set it to the token alone.", nil)
	}
	next := o.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	return &Client{
		place: p, dialect: d, base: base, token: token, agent: "rota/" + cmp.Or(o.Version, "devel"),
		http: &http.Client{
			Transport: failsafehttp.NewRoundTripper(limited{next}, retries()),
			CheckRedirect: func(r *http.Request, via []*http.Request) error {
				if r.URL.Host != base.Host || r.URL.Scheme != base.Scheme || len(via) > 5 {
					return errors.New("it redirects to another address")
				}
				return nil
			},
		},
	}, nil
}

// limited bounds the time of one try.
type limited struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	answer, err := l.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	answer.Body = &closing{answer.Body, cancel}
	return answer, nil
}

// closing ends the time of a try when its answer is read.
type closing struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (c *closing) Close() error {
	c.cancel()
	return c.ReadCloser.Close()
}

// retries tries again what fails for a while: connections, 429 and 5xx, as the
// library has it, and GitHub's rate limits, which are 403. It waits as long as
// the host asks, unless that is too long for a job.
func retries() failsafe.Policy[*http.Response] {
	return failsafehttp.NewRetryPolicyBuilder().
		HandleIf(func(r *http.Response, _ error) bool { return r != nil && rateLimited(r) }).
		AbortIf(func(r *http.Response, err error) bool {
			var untrusted *tls.CertificateVerificationError
			return errors.As(err, &untrusted) || r != nil && asked(r, time.Now()) > longestWait
		}).
		WithMaxRetries(mostRetries).
		WithBackoff(time.Second, 16*time.Second).
		WithDelayFunc(func(e failsafe.ExecutionAttempt[*http.Response]) time.Duration {
			if r := e.LastResult(); r != nil {
				if wait := asked(r, time.Now()); wait > 0 {
					return wait
				}
			}
			return -1 // the backoff's
		}).
		ReturnLastFailure().
		Build()
}

// rateLimited reports whether an answer is no verdict but a rate limit:
// https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
func rateLimited(r *http.Response) bool {
	return r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode == http.StatusForbidden && (r.Header.Get("Retry-After") != "" || r.Header.Get("X-RateLimit-Remaining") == "0")
}

// asked is how long an answer asks to wait; zero if it does not say.
func asked(r *http.Response, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(r.Header.Get("Retry-After")); err == nil {
		return at.Sub(now)
	}
	if reset, err := strconv.ParseInt(r.Header.Get("X-RateLimit-Reset"), 10, 64); err == nil && rateLimited(r) {
		return time.Unix(reset, 0).Sub(now) + time.Second
	}
	return 0
}

// answer is what a host said with a status that it asks nobody to retry.
type answer struct {
	status int
	body   []byte
	// more is the query of the next page; empty on the last.
	more string
}

// call sends one request and decodes a good answer into result, unless that is
// nil. The error is a problem, of which hostSaid knows the status.
func (c *Client) call(ctx context.Context, method, path, query string, body, result any) (string, error) {
	got, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return "", err
	}
	if got.status < 200 || got.status > 299 {
		return "", c.refusal(got, method, path)
	}
	if result != nil {
		if err := json.Unmarshal(got.body, result); err != nil {
			return "", problem(ruleHost, fmt.Sprintf("%s answers %s %s with what its API does not have", c.dialect.name, method, path),
				"See that --api is the address of the API, not of the pages.", err)
		}
	}
	return got.more, nil
}

func (c *Client) send(ctx context.Context, method, path, query string, body any) (answer, error) {
	u, err := url.Parse(c.base.String() + path)
	if err != nil {
		return answer{}, problem(rulePlace, "the names of the place make no address", "Correct --api, --repository or --commit.", err)
	}
	u.RawQuery = query
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, fmt.Errorf("writing the request: %w", err)
		}
		payload = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), payload)
	if err != nil {
		return answer{}, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("Accept", c.dialect.accept)
	r.Header.Set("Authorization", c.dialect.scheme+" "+c.token)
	r.Header.Set("User-Agent", c.agent)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.place.Host == GitHub {
		r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	}
	got, err := c.http.Do(r)
	if err != nil {
		return answer{}, c.unreached(ctx, err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, mostAnswer+1))
	if err == nil && len(text) > mostAnswer {
		err = errors.New("its answer is too long")
	}
	if err != nil {
		return answer{}, c.unreached(ctx, err)
	}
	if got.StatusCode >= 500 || rateLimited(got) {
		return answer{}, c.busy(got, text)
	}
	return answer{status: got.StatusCode, body: text, more: nextPage(got.Header)}, nil
}

// nextLink is the relation of a Link header (RFC 8288) that all hosts give.
var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,<]*\brel="?next\b`)

// nextPage returns the query of the next page. Its address is left, for it may
// be one that is not ours to send a token to, or that is known only inside.
func nextPage(h http.Header) string {
	match := nextLink.FindStringSubmatch(strings.Join(h.Values("Link"), ", "))
	if match == nil {
		return ""
	}
	u, err := url.Parse(match[1])
	if err != nil {
		return ""
	}
	return u.RawQuery
}

func (c *Client) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The address is in the message anyhow, and a query could be a secret.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return problem(ruleHost, fmt.Sprintf("%s at %s cannot be reached: %s", c.dialect.name, c.base.Host, c.said(err.Error())),
		"See that --api is right; a certificate of one's own is named by SSL_CERT_FILE.", nil)
}

func (c *Client) busy(r *http.Response, body []byte) error {
	message := fmt.Sprintf("%s answers %d: %s", c.dialect.name, r.StatusCode, c.said(messageOf(body)))
	if wait := asked(r, time.Now()); wait > 0 {
		message += fmt.Sprintf("; it asks to wait for %s", wait.Round(time.Second))
	}
	return problem(ruleHost, message, "Run it again later; nothing is posted twice.", nil)
}

// refused is a verdict of the host.
type refused struct{ status int }

// Error implements error.
func (r *refused) Error() string { return fmt.Sprintf("status %d", r.status) }

// hostSaid reports whether err is the host's answer with one of the statuses.
func hostSaid(err error, statuses ...int) bool {
	var r *refused
	if !errors.As(err, &r) {
		return false
	}
	for _, s := range statuses {
		if r.status == s {
			return true
		}
	}
	return false
}

func (c *Client) refusal(got answer, method, path string) *schema.Problem {
	message := fmt.Sprintf("%s answers %s %s with %d: %s", c.dialect.name, method, path, got.status, c.said(messageOf(got.body)))
	cause := &refused{got.status}
	switch got.status {
	case http.StatusUnauthorized:
		return problem(ruleToken, message, fmt.Sprintf("Renew the token in %s; see that it is one of this host.", c.dialect.token), cause)
	case http.StatusForbidden:
		return problem(ruleForbidden, message, "Give the token of the job the permission; `rota explain R403` has what each host calls it.", cause)
	case http.StatusNotFound, http.StatusGone:
		return problem(ruleNotFound, message, "Correct the repository, the number or the commit, or give the token access to the repository.", cause)
	}
	return problem(ruleHost, message, "See that --api is the address of the API, and that the host is one of a version that is maintained.", cause)
}

// messageOf returns what an answer says in words.
func messageOf(body []byte) string {
	var said struct {
		// GitLab's message may be of any form.
		Message json.RawMessage `json:"message"`
		Error   string          `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == nil && said.Error == "" {
		return "no message"
	}
	var text string
	if json.Unmarshal(said.Message, &text) == nil {
		return text
	}
	return cmp.Or(string(said.Message), said.Error)
}

// said returns a message of a host or a library in one line, without the token
// and no longer than a message should be.
func (c *Client) said(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, c.token, "***")), " ")
	if runes := []rune(text); len(runes) > mostSaid {
		text = string(runes[:mostSaid]) + "..."
	}
	return text
}

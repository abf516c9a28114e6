package source

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"rota.dev/rota/schema"
)

// clean checks that no way of printing any of the values shows the secret.
func clean(t *testing.T, secret string, values ...any) {
	t.Helper()
	for _, v := range values {
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
			slog.New(h).Info("x", "value", v)
		}
		encoded, _ := json.Marshal(v)
		texts := []string{log.String(), string(encoded)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		if err, ok := v.(error); ok {
			for _, p := range schema.Problems(err) {
				texts = append(texts, fmt.Sprintf("%+v %v", *p, p.Cause))
			}
			for ; err != nil; err = errors.Unwrap(err) {
				texts = append(texts, err.Error())
			}
		}
		for _, text := range texts {
			for _, spelling := range []string{
				secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), url.PathEscape(secret), url.QueryEscape(secret),
				strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(":"+secret)), "="),
				base64.StdEncoding.EncodeToString([]byte("ann:" + secret)), base64.StdEncoding.EncodeToString([]byte("git:" + secret)),
			} {
				if strings.Contains(text, spelling) {
					t.Errorf("%T shows the secret: %s", v, text)
				}
			}
		}
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	const secret = "hunter2hunter2"
	s := NewSecret(secret)
	auth := Auth{Username: "ann", Password: s}
	g := newGit(t, GitOptions{URL: "https://git.example.com/x.git", Auth: auth})
	type holder struct {
		open   Secret
		hidden *Auth
		any    any
	}
	clean(t, secret, s, &s, auth, &auth, GitOptions{Auth: auth}, g, *g, holder{s, &auth, s}, []Secret{s}, map[string]Secret{"x": s}, g.auth.header())
	if s.reveal() != secret || s.String() == "" || s.IsZero() {
		t.Error("the secret is lost")
	}
	if !NewSecret("").IsZero() || NewSecret("").String() != "" {
		t.Error("an empty secret is none")
	}
	if got := g.String(); got != "https://git.example.com/x.git" {
		t.Errorf("String: %s", got)
	}
	if got := NewSecret(" ").redact("a b"); got != "a b" {
		t.Errorf("a blank secret is hidden: %q", got)
	}
}

func TestCredentialsAreBoundToTheirOrigin(t *testing.T) {
	b := bound{"https://git.example.com:443", NewSecret("Bearer x")}
	for target, want := range map[string]bool{
		"https://git.example.com/x":      true,
		"https://git.example.com:443/y":  true,
		"http://git.example.com/x":       false,
		"https://git.example.com:8443/x": false,
		"https://example.com/x":          false,
		"https://git.example.com.evil/x": false,
	} {
		r, err := http.NewRequest(http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.SetAuth(r)
		if got := r.Header.Get("Authorization") != ""; got != want {
			t.Errorf("%s: sent %v, want %v", target, got, want)
		}
	}
	if fmt.Sprintf("%v %+v %s", b, b, b) == "" || strings.Contains(fmt.Sprintf("%v %+v %#v", b, b, b), "Bearer") {
		t.Error("the header is printed")
	}
}

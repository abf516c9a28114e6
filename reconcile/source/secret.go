package source

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

const redacted = "[redacted]"

// Secret holds a credential that no printing reveals: not fmt with any verb,
// not JSON or text marshalling, not slog, and not the printing of a struct
// that holds it in an unexported field.
type Secret struct {
	// fmt calls no methods on what it reaches through unexported fields, but
	// it prints a nested pointer as an address.
	text *string
}

// NewSecret returns a Secret that holds text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// IsZero reports whether s holds nothing.
func (s Secret) IsZero() bool { return s.text == nil }

// String returns a fixed mark, never the secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format writes the mark of String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue returns the mark of String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns the mark of String; JSON and YAML encoders use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) reveal() string {
	if s.IsZero() {
		return ""
	}
	return *s.text
}

// redact returns text without the secret in any of the spellings in which a
// server or a library might echo it.
func (s Secret) redact(text string) string {
	plain := s.reveal()
	// A blank secret is in every text, and hiding it would hide nothing.
	if strings.TrimSpace(plain) == "" {
		return text
	}
	for _, spelling := range []string{
		plain, url.QueryEscape(plain), url.PathEscape(plain),
		base64.StdEncoding.EncodeToString([]byte(plain)),
	} {
		text = strings.ReplaceAll(text, spelling, redacted)
	}
	return text
}

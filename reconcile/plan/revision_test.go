package plan

import "testing"

func TestShortRevisions(t *testing.T) {
	for in, want := range map[string]string{
		"main@sha1:0123456789012345678901234567890123456789": "0123456",
		"feature/a@b@sha1:0123456789":                        "0123456",
		"sha1:0123456789":                                    "0123456",
		"sha256:abcdef0123":                                  "abcdef0",
		"":                                                   "",
		"odd":                                                "odd",
	} {
		if got := ShortRevision(in); got != want {
			t.Errorf("ShortRevision(%q) = %q, want %q", in, got, want)
		}
	}
}

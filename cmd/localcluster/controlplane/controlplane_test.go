package controlplane

import (
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/cert"
)

func TestSelectControllers(t *testing.T) {
	all := controllerNames()
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == name })
	}
	for name, test := range map[string]struct {
		selection []string
		want      []string
		wantErr   string
	}{
		"all":                          {[]string{"*"}, all, ""},
		"all but one":                  {[]string{"*", "-cronjob-controller"}, without("cronjob-controller"), ""},
		"all but one by its old name":  {[]string{"-cronjob", "*"}, without("cronjob-controller"), ""},
		"one":                          {[]string{"job-controller"}, []string{"job-controller"}, ""},
		"none":                         {nil, nil, ""},
		"the first mention counts":     {[]string{"-job", "job"}, nil, ""},
		"without one that is not here": {[]string{"*", "-node-lifecycle-controller"}, all, ""},
		"one that is not here":         {[]string{"node-lifecycle-controller"}, nil, "is not part of localcluster"},
		"one that nobody has":          {[]string{"*", "-cron"}, nil, `"-cron" is not a controller`},
	} {
		t.Run(name, func(t *testing.T) {
			selected, err := selectControllers(test.selection)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got %v, want an error with %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range selected {
				got = append(got, c.name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("controllers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryControllerIsNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range controllers {
		for _, name := range []string{c.name, c.alias} {
			if seen[name] {
				t.Errorf("%s is named twice", name)
			}
			seen[name] = true
		}
	}
	for _, name := range leftOut {
		if seen[name] {
			t.Errorf("%s is both here and left out", name)
		}
	}
}

func TestCredentialsAreKeptAndCertificatesRenewed(t *testing.T) {
	keys := pki{dir: t.TempDir(), now: time.Now()}
	first, err := keys.prepare()
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{"ca.crt": "", "front-proxy-ca.crt": "", "sa.key": "", "tokens.csv": ""}
	for name := range kept {
		kept[name] = content(t, keys.path(name))
	}
	serving := content(t, keys.path("apiserver.crt"))
	second, err := keys.prepare()
	if err != nil {
		t.Fatal(err)
	}
	if first != second {
		t.Error("tokens changed")
	}
	for name, before := range kept {
		if content(t, keys.path(name)) != before {
			t.Errorf("%s changed", name)
		}
	}
	if content(t, keys.path("apiserver.crt")) == serving {
		t.Error("the serving certificate was not renewed")
	}
	entries, err := os.ReadDir(keys.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: got mode %v and %v, want 0600", entry.Name(), info.Mode(), err)
		}
	}
}

func TestServingCertificateIsGoodForLoopback(t *testing.T) {
	keys := pki{dir: t.TempDir(), now: time.Now()}
	if _, err := keys.prepare(); err != nil {
		t.Fatal(err)
	}
	roots, err := cert.NewPool(keys.path("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := cert.CertsFromFile(keys.path("apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"127.0.0.1", "localhost", "kubernetes.default.svc"} {
		if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("for %s: %v", name, err)
		}
	}
}

func content(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

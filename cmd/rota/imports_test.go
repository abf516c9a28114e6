package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "rota.dev/rota"

// layers says which of rota's packages each may import, and why no more.
// "..." as an entry allows every one.
var layers = map[string]struct {
	may []string
	why string
}{
	"schema":                            {nil, "the words that everybody speaks depend on nobody"},
	"render":                            {[]string{"schema", "render/calendar", "render/expand", "render/overlay"}, "pure: a tree in, objects out"},
	"render/calendar":                   {[]string{"schema"}, "pure: isolates the reader and the writer of iCalendar"},
	"render/child":                      {[]string{"schema", "render", "render/expand", "render/overlay"}, "carries render's jobs out in a process that can be killed; nothing pure may depend on it"},
	"render/expand":                     {[]string{"schema"}, "pure: templates know nothing of trees and clusters"},
	"render/overlay":                    {[]string{"schema"}, "isolates kustomize, with its global state and its network"},
	"reconcile":                         {[]string{"schema", "render", "reconcile/plan", "reconcile/schedule", "reconcile/status"}, "the loops see edges only through interfaces; cmd wires them"},
	"reconcile/forecast":                {[]string{"schema", "render/calendar", "reconcile/plan", "reconcile/schedule"}, "pure: says when schedules will fire"},
	"reconcile/plan":                    {[]string{"schema", "reconcile/schedule"}, "pure: decides, so it must be testable without a cluster"},
	"reconcile/review":                  {[]string{"schema", "reconcile/forecast", "reconcile/plan", "reconcile/schedule"}, "pure: shows a plan, so it must not be able to change one"},
	"reconcile/schedule":                {[]string{"schema"}, "pure: decides, so it must be testable without a clock"},
	"reconcile/history":                 {[]string{"schema"}, "pure: judges what a scheduler did, so it must share no code with it"},
	"reconcile/notify":                  {[]string{"schema"}, "an edge: speaks to hosts of pull requests; nothing that writes to a cluster may import it"},
	"reconcile/notify/notifytest":       {[]string{"reconcile/notify"}, "gives tests a host of pull requests"},
	"reconcile/status":                  {[]string{"schema", "reconcile/plan", "reconcile/schedule"}, "pure: summarizes what the decisions and edges report"},
	"reconcile/source":                  {[]string{"schema", "render"}, "an edge: delivers the core's Tree, knows no other edge"},
	"reconcile/cluster":                 {[]string{"schema", "reconcile/plan", "reconcile/schedule", "reconcile/status"}, "an edge and the only writer: knows no other edge"},
	"reconcile/cluster/local/localtest": {[]string{"reconcile/cluster/local"}, "gives tests an API server"},
	"reconcile/cluster/local":           {nil, "starts the local cluster for the demo, for plans and for the tests; runs programs, so nothing else may import it"},
	"examples":                          {nil, "files, embedded for the demo"},
	"cmd/rota":                          {[]string{"..."}, "wires everything"},
}

// outside says which packages may import a dependency that must stay isolated.
var outside = []struct {
	prefix string
	only   []string
	why    string
}{
	{"os/exec", []string{"reconcile/cluster/local", "render/child"}, "the controller starts no process but itself, as the renderer (DESIGN §10)"},
	{"sigs.k8s.io/kustomize", []string{"render/overlay", "render", "render/expand"}, "kustomize can reach the network and has global state"},
	{"github.com/go-git/go-git", []string{"reconcile/source", "cmd/rota"}, "git is the source's business; the demo makes a repository"},
	{"k8s.io/client-go/dynamic", []string{"reconcile/cluster"}, "one package talks to the cluster"},
	{"k8s.io/client-go/kubernetes", []string{"reconcile/cluster", "cmd/rota"}, "one package writes to the cluster; the demo plays the user"},
	{"go.yaml.in/yaml/v4", []string{"schema"}, "it explains what v3 refuses, and accepts nothing"},
	{"github.com/arran4/golang-ical", []string{"render/calendar"}, "it can fetch calendars; only its parser and its writer are used"},
	{"github.com/nikolalohinski/gonja", []string{"render/expand"}, "Jinja stays behind the adapter"},
}

// pure packages decide; they must not be able to reach the world.
var pure = []string{"schema", "render", "render/calendar", "render/expand", "render/overlay", "reconcile/forecast", "reconcile/plan", "reconcile/schedule", "reconcile/history", "reconcile/review", "reconcile/status"}

// impure are the ways out that a pure package must not import itself.
var impure = []string{"net", "net/http", "os/exec", "log", "log/slog", "k8s.io/client-go", "k8s.io/klog"}

// reasons has one line for every direct dependency: what it is for.
var reasons = map[string]string{
	"github.com/arran4/golang-ical":            "calendars of policies",
	"github.com/teambition/rrule-go":           "repetitions in calendars",
	"github.com/aymanbagabas/go-udiff":         "unified diffs of objects",
	"github.com/fsnotify/fsnotify":             "watches a directory source",
	"github.com/go-git/go-billy/v5":            "go-git's file system interface",
	"github.com/go-git/go-git/v5":              "git without a git binary",
	"github.com/google/go-cmp":                 "readable differences in tests",
	"github.com/nikolalohinski/gonja/v2":       "Jinja2 templates",
	"github.com/robfig/cron/v3":                "the cron parser that Kubernetes itself uses",
	"github.com/rogpeppe/go-internal":          "command-line tests as txtar scripts",
	"github.com/santhosh-tekuri/jsonschema/v6": "holds our JSON Schemas, and our walk of one, to the drafts in tests",
	"github.com/skeema/knownhosts":             "known_hosts with the algorithms each host offers",
	"github.com/spf13/cobra":                   "the command line, as kubectl's",
	"github.com/spf13/pflag":                   "cobra's flags, walked for manual pages and completion",
	"github.com/yuin/goldmark":                 "reads our Markdown as GitHub does, in tests",
	"go.yaml.in/yaml/v3":                       "YAML nodes with positions",
	"go.yaml.in/yaml/v4":                       "exact places of what v3 cannot read; v3 stays the reader, for kustomize and kubectl are built on it",
	"github.com/go-logr/logr":                  "client-go's logger, which we hand it",
	"gopkg.in/evanphx/json-patch.v4":           "the limit on copies, which is a global in kustomize's JSON patches",
	"sigs.k8s.io/json":                         "decodes as the API server does, in tests",
	"golang.org/x/crypto":                      "ssh keys and known_hosts",
	"github.com/failsafe-go/failsafe-go":       "how many requests of the scheduler the API server takes at a time, found by its answers",
	"golang.org/x/sync":                        "errgroup",
	"golang.org/x/sys":                         "file locks and resource limits",
	"golang.org/x/term":                        "is this a terminal",
	"golang.org/x/text":                        "how wide a character is on a terminal",
	"golang.org/x/tools":                       "txtar archives as test repositories",
	"k8s.io/api":                               "the types of batch/v1",
	"k8s.io/apimachinery":                      "objects, names, quantities as Kubernetes reads them",
	"k8s.io/client-go":                         "the API server",
	"k8s.io/kube-openapi":                      "types of fields, for placeholders and for definitions of custom kinds; the validator that the API server has for those",
	"k8s.io/klog/v2":                           "client-go's logger, which we quieten",
	"k8s.io/utils":                             "pointers to literals",
	"sigs.k8s.io/cli-utils":                    "kstatus, the field's rules of health",
	"sigs.k8s.io/kustomize/api":                "overlays",
	"sigs.k8s.io/kustomize/kyaml":              "kustomize's file system and schema",
	"sigs.k8s.io/structured-merge-diff/v6":     "field sets as the API server keeps them",
	"sigs.k8s.io/yaml":                         "YAML as kubectl reads and writes it",
}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	for _, p := range goList(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		layer, ok := layers[name]
		if !ok {
			t.Errorf("package %s is in no layer: add it to the table, with the reason", name)
			continue
		}
		for _, imported := range p.Imports {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			if isOwn && !slices.Contains(layer.may, own) && !slices.Contains(layer.may, "...") {
				t.Errorf("%s imports %s: %s", name, own, layer.why)
			}
			for _, rule := range outside {
				if strings.HasPrefix(imported, rule.prefix) && !slices.Contains(rule.only, name) {
					t.Errorf("%s imports %s: %s", name, imported, rule.why)
				}
			}
			if slices.Contains(pure, name) && slices.ContainsFunc(impure, func(bad string) bool {
				return imported == bad || strings.HasPrefix(imported, bad+"/") && imported != "net/url" && imported != "net/netip" // these reach nothing
			}) {
				t.Errorf("%s is pure and imports %s", name, imported)
			}
		}
	}
}

func TestEveryDirectDependencyHasAReason(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) != 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		seen[fields[0]] = true
		if reasons[fields[0]] == "" {
			t.Errorf("dependency %s has no reason in this test", fields[0])
		}
	}
	if len(seen) < 10 {
		t.Fatalf("read only %d dependencies from go.mod", len(seen))
	}
}

func TestTopLevelHasOnlyWhatTheDesignNames(t *testing.T) {
	allowed := []string{"cmd", "reconcile", "render", "schema", "examples", "docs", "deploy", "go.mod", "go.sum", "Dockerfile", "README.md", "LICENSE"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s has no place at the top level", e.Name())
		}
	}
}

func goList(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

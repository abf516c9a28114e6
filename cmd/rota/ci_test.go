package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"rota.dev/rota/reconcile/notify"
	"rota.dev/rota/reconcile/notify/notifytest"
)

// documented returns the YAML of docs/ci.md whose first line is a comment with
// a name, decoded strictly into v.
func documented(t *testing.T, name string, v any) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root(t), "docs", "ci.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```yaml\n# "+name+"\n")
	text, _, closed := strings.Cut(text, "```\n")
	if !found || !closed {
		t.Fatalf("docs/ci.md has no block %s", name)
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// step is one of a workflow of GitHub, Gitea or Forgejo, with the keys that the
// documentation uses.
type step struct {
	ID   string            `yaml:"id"`
	If   string            `yaml:"if"`
	Uses string            `yaml:"uses"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
	Run  string            `yaml:"run"`
}

// workflow is such a file.
type workflow struct {
	Name        string            `yaml:"name"`
	On          []string          `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency struct {
		Group  string `yaml:"group"`
		Cancel bool   `yaml:"cancel-in-progress"`
	} `yaml:"concurrency"`
	Defaults struct {
		Run struct {
			Shell string `yaml:"shell"`
		} `yaml:"run"`
	} `yaml:"defaults"`
	Jobs map[string]struct {
		RunsOn string `yaml:"runs-on"`
		Steps  []step `yaml:"steps"`
	} `yaml:"jobs"`
}

// request is a pull request that a documented job runs for.
type request struct {
	// broken has a file that is no YAML, fork comes from elsewhere.
	broken, fork bool

	dir, base, head string
	env             []string
	forge           *notifytest.Forge
}

// hostileBranch is a name that git takes, and a shell had better not.
const hostileBranch = "later$(touch${IFS}pwned)"

const cronJob = `apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 %d * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}}
`

// prepare makes the clone that the host would make, with merge set of the merge
// into main, and a host that the commands can reach.
func (r *request) prepare(t *testing.T, host notify.Host, merge bool) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	// Of the environment only what is here: the tests may run in a CI.
	r.dir = t.TempDir()
	r.forge = notifytest.NewForge(t, host)
	address, certificate := secure(t, r.forge)
	bin := programs(t)
	// What cannot be had here is the release; a wrong name of it can be seen.
	install := "#!/bin/sh\n[ \"$*\" = 'install rota.dev/rota/cmd/rota@VERSION' ] || { echo \"go $*\" >&2; exit 1; }\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(install), 0o755); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + t.TempDir(), "SSL_CERT_FILE=" + certificate, "CI=true", "SERVER=" + address}

	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com", "-C", r.dir}, args...)...)
		cmd.Env = append(r.env, "GIT_CONFIG_NOSYSTEM=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	write("cron.yaml", fmt.Sprintf(cronJob, 2))
	git("add", ".")
	git("commit", "-q", "-m", "one")
	r.base = git("rev-parse", "HEAD")
	git("checkout", "-q", "-b", hostileBranch)
	write("cron.yaml", fmt.Sprintf(cronJob, 3))
	if r.broken {
		write("broken.yaml", "a: [\n")
	}
	git("add", ".")
	git("commit", "-q", "-m", "two")
	r.head = git("rev-parse", "HEAD")
	if merge {
		git("checkout", "-q", "--detach", "main")
		git("merge", "-q", "--no-ff", "-m", "merge", r.head)
	}
}

// variable returns what the job's environment has under a name.
func (r *request) variable(name string) string {
	for _, v := range slices.Backward(r.env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// bash runs a script as the host's runner does, and returns what it printed.
func (r *request) bash(t *testing.T, script string, env map[string]string) (string, bool) {
	t.Helper()
	cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = r.dir, r.env
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

// actions sets the variables and writes the event of Actions.
func (r *request) actions(t *testing.T) {
	t.Helper()
	from := notifytest.Repository
	if r.fork {
		from = "stranger/jobs"
	}
	temp := t.TempDir()
	event := fmt.Sprintf(`{"pull_request": {"number": 7, "title": "$(touch pwned)", "merge_base": %q, "head": {"sha": %q, "ref": %q, "repo": {"full_name": %q}}}}`, r.base, notifytest.Commit, hostileBranch, from)
	for name, text := range map[string]string{"event.json": event, "summary.md": ""} {
		if err := os.WriteFile(filepath.Join(temp, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.env = append(r.env, "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY="+notifytest.Repository, "GITHUB_SERVER_URL="+r.variable("SERVER"), "GITHUB_API_URL="+r.variable("SERVER")+r.forge.Base(),
		"GITHUB_RUN_ID=5", "GITHUB_SHA=merge", "GITHUB_EVENT_PATH="+filepath.Join(temp, "event.json"), "GITHUB_STEP_SUMMARY="+filepath.Join(temp, "summary.md"))
	if r.forge.Host == notify.Gitea {
		r.env = append(r.env, "GITEA_ACTIONS=true")
	}
}

// expression is what a runner replaces.
var expression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)

// job carries the steps out as a runner does, and returns what they printed
// and whether all of them succeeded. Expressions and actions that the
// documentation does not use now fail the test, so that a new one is looked at.
func (r *request) job(t *testing.T, steps []step) (string, bool) {
	t.Helper()
	var log strings.Builder
	success := true
	outcome := map[string]string{}
	for _, s := range steps {
		if s.ID != "" {
			outcome[s.ID] = "skipped"
		}
		if !r.holds(t, s.If, success, outcome) {
			continue
		}
		switch {
		case s.Uses != "":
			if !slices.Contains([]string{"actions/checkout@v4", "actions/setup-go@v5"}, s.Uses) {
				t.Errorf("the action %s is new: see what it does", s.Uses)
			}
			continue
		case expression.MatchString(s.Run):
			t.Errorf("a stranger's text could become a command: %s", s.Run)
		}
		env := map[string]string{}
		for name, text := range s.Env {
			env[name] = expression.ReplaceAllStringFunc(text, func(e string) string {
				return r.value(t, expression.FindStringSubmatch(e)[1], success)
			})
		}
		out, ok := r.bash(t, s.Run, env)
		fmt.Fprintf(&log, "$ %s\n%s", s.Run, out)
		success = success && ok
		if s.ID != "" {
			outcome[s.ID] = map[bool]string{true: "success", false: "failure"}[ok]
		}
	}
	return log.String(), success
}

func (r *request) value(t *testing.T, name string, success bool) string {
	t.Helper()
	switch name {
	case "github.token":
		return notifytest.Token
	case "github.event.pull_request.merge_base":
		return r.base
	case "job.status":
		return map[bool]string{true: "success", false: "failure"}[success]
	}
	t.Errorf("the expression %s is new: see whether it is a stranger's text", name)
	return ""
}

func (r *request) holds(t *testing.T, condition string, success bool, outcome map[string]string) bool {
	t.Helper()
	if condition == "" {
		return success
	}
	always := false
	for part := range strings.SplitSeq(expression.FindStringSubmatch(condition)[1], " && ") {
		holds := true
		switch part {
		case "!cancelled()":
			always = true
		case "steps.plan.outcome != 'skipped'":
			holds = outcome["plan"] != "skipped"
		case "github.event.pull_request.head.repo.full_name == github.repository":
			holds = !r.fork
		default:
			t.Errorf("the condition %s is new", part)
		}
		if !holds {
			return false
		}
	}
	return success || always
}

// posted checks that the pull request has the plan as its one comment, or, of a
// fork, none and no question to the host.
func (r *request) posted(t *testing.T, log string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.dir, "pwned")); err == nil {
		t.Error("a stranger's text was run")
	}
	if r.fork {
		if asked := r.forge.Requests(); len(asked) > 0 {
			t.Errorf("the job of a fork asked %v", asked)
		}
		return
	}
	plan, err := os.ReadFile(filepath.Join(r.dir, "plan.md"))
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	got := r.forge.Comments()
	if len(got) != 1 || got[0].Body != string(plan) || !strings.HasPrefix(got[0].Body, "<!-- rota:plan ") || !strings.Contains(got[0].Body, "nightly") {
		t.Errorf("the comments are %+v\n%s", got, log)
	}
}

func TestDocumentedCIForGitHub(t *testing.T) {
	var file workflow
	documented(t, ".github/workflows/rota.yaml", &file)
	if file.Permissions["contents"] != "read" || file.Permissions["pull-requests"] != "write" || len(file.Permissions) != 2 {
		t.Errorf("the permissions are %v", file.Permissions)
	}
	if !slices.Equal(file.On, []string{"pull_request"}) || file.Defaults.Run.Shell != "bash" {
		t.Errorf("it runs on %v in %q", file.On, file.Defaults.Run.Shell)
	}
	var more []step
	documented(t, "status", &more)
	steps := append(slices.Clone(file.Jobs["plan"].Steps), more...)

	t.Run("a good pull request, twice", func(t *testing.T) {
		var r request
		r.prepare(t, notify.GitHub, true)
		r.actions(t)
		r.forge.ForWorkflow(true)
		for range 2 {
			log, ok := r.job(t, steps)
			if !ok {
				t.Errorf("the job fails:\n%s", log)
			}
			r.posted(t, log)
		}
		if got := r.forge.Statuses(); len(got) != 2 || got[0]["state"] != "success" || !strings.HasSuffix(got[0]["target_url"], "/acme/jobs/actions/runs/5") {
			t.Errorf("the statuses are %v", got)
		}
	})
	t.Run("a pull request from a fork", func(t *testing.T) {
		r := request{fork: true}
		r.prepare(t, notify.GitHub, true)
		r.actions(t)
		log, ok := r.job(t, steps)
		if !ok {
			t.Errorf("the job fails:\n%s", log)
		}
		r.posted(t, log)
		if summary, err := os.ReadFile(r.variable("GITHUB_STEP_SUMMARY")); err != nil || !bytes.Contains(summary, []byte("nightly")) {
			t.Errorf("the page of the job has %q, %v", summary, err)
		}
	})
	t.Run("a broken pull request", func(t *testing.T) {
		r := request{broken: true}
		r.prepare(t, notify.GitHub, true)
		r.actions(t)
		log, ok := r.job(t, steps)
		if ok || !strings.Contains(log, "file=broken.yaml,line=1,col=4::") {
			t.Errorf("the job succeeds or does not say why:\n%s", log)
		}
		if n, got := len(r.forge.Comments()), r.forge.Statuses(); n != 0 || len(got) != 1 || got[0]["state"] != "failure" {
			t.Errorf("%d comments, the statuses are %v", n, got)
		}
	})
}

func TestDocumentedCIForGitea(t *testing.T) {
	var file workflow
	documented(t, ".gitea/workflows/rota.yaml", &file)
	for _, fork := range []bool{false, true} {
		r := request{fork: fork}
		r.prepare(t, notify.Gitea, false)
		r.actions(t)
		for range 2 {
			log, ok := r.job(t, file.Jobs["plan"].Steps)
			if !ok {
				t.Errorf("the job fails:\n%s", log)
			}
			r.posted(t, log)
		}
	}
}

func TestDocumentedCIForGitLab(t *testing.T) {
	var file struct {
		Rota struct {
			Image     string              `yaml:"image"`
			Rules     []map[string]string `yaml:"rules"`
			Variables map[string]string   `yaml:"variables"`
			Script    []string            `yaml:"script"`
			Artifacts struct {
				When    string            `yaml:"when"`
				Paths   []string          `yaml:"paths"`
				Reports map[string]string `yaml:"reports"`
			} `yaml:"artifacts"`
		} `yaml:"rota"`
	}
	documented(t, ".gitlab-ci.yml", &file)
	for name, r := range map[string]request{"good": {}, "of a fork": {fork: true}, "broken": {broken: true}} {
		t.Run(name, func(t *testing.T) {
			r.prepare(t, notify.GitLab, false)
			r.env = append(r.env, "GITLAB_CI=true", "CI_API_V4_URL="+r.variable("SERVER")+r.forge.Base(), "CI_PROJECT_ID=99", "CI_MERGE_REQUEST_PROJECT_ID="+notifytest.Project,
				"CI_MERGE_REQUEST_IID=7", "CI_COMMIT_SHA="+r.head, "CI_MERGE_REQUEST_DIFF_BASE_SHA="+r.base, "CI_JOB_URL=https://gitlab.example.com/j/1")
			if !r.fork {
				r.env = append(r.env, "GITLAB_TOKEN="+notifytest.Token)
			}
			// A runner makes one script of the lines, which ends with the first that fails.
			log, ok := r.bash(t, strings.Join(file.Rota.Script, "\n"), nil)
			report, err := os.ReadFile(filepath.Join(r.dir, file.Rota.Artifacts.Reports["junit"]))
			if err != nil || ok == r.broken || bytes.Contains(report, []byte("<failure")) != r.broken {
				t.Errorf("%v, %v\n%s\n%s", ok, err, log, report)
			}
			if r.broken {
				if !strings.Contains(log, "broken.yaml:1:4") || len(r.forge.Requests()) > 0 {
					t.Errorf("it asks %v and says\n%s", r.forge.Requests(), log)
				}
				return
			}
			r.posted(t, log)
			if r.fork && !strings.Contains(log, "nightly") {
				t.Errorf("the log of a fork's job lacks the plan:\n%s", log)
			}
		})
	}
}

var hook = flag.Bool("hook", false, "build rota as pre-commit does, and let its hook refuse a commit")

// TestDocumentedPreCommit builds rota as pre-commit does, of the commit that is
// checked out, and lets it refuse a commit.
func TestDocumentedPreCommit(t *testing.T) {
	if !*hook {
		t.Skip("builds rota anew, which takes a minute: run it with -hook")
	}
	if _, err := exec.LookPath("pre-commit"); err != nil {
		t.Skip("pre-commit is not installed")
	}
	var file yaml.Node
	documented(t, ".pre-commit-config.yaml", &file)
	text, err := yaml.Marshal(&file)
	if err != nil {
		t.Fatal(err)
	}
	command := func(dir string, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	version, err := command(root(t), "git", "rev-parse", "HEAD")
	if err != nil {
		t.Skipf("the source is no git repository: %s", version)
	}
	// Where Go keeps what it needs; pre-commit gives it another home.
	for _, name := range []string{"GOMODCACHE", "GOCACHE"} {
		value, err := command(root(t), "go", "env", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv(name, value)
	}
	t.Setenv("PRE_COMMIT_HOME", t.TempDir())
	config := strings.NewReplacer("REPOSITORY", root(t), "VERSION", version).Replace(string(text))

	dir := t.TempDir()
	for name, text := range map[string]string{".pre-commit-config.yaml": config, "jobs/cron.yaml": fmt.Sprintf(cronJob, 2)} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}} {
		if out, err := command(dir, "git", args...); err != nil {
			t.Fatalf("git %v: %s", args, out)
		}
	}
	if out, err := command(dir, "pre-commit", "run", "--color=never"); err != nil || !strings.Contains(out, "Passed") {
		t.Fatalf("it refuses a good repository: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "jobs", "cron.yaml"), []byte(fmt.Sprintf(cronJob, 25)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := command(dir, "git", "add", "."); err != nil {
		t.Fatal(out)
	}
	if out, err := command(dir, "pre-commit", "run", "--color=never"); err == nil || !strings.Contains(out, "jobs/cron.yaml:5:13") {
		t.Errorf("it takes a schedule of 25 o'clock: %v\n%s", err, out)
	}
}

package notify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rota.dev/rota/reconcile/notify"
	"rota.dev/rota/reconcile/notify/notifytest"
)

func TestRefusalsSayWhatToDo(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		for _, test := range []struct {
			name string
			// what the host answers to the request of a method
			method, answer string
			status         int
			rule           string
			says           string
		}{
			{"a token that it does not know", "GET", `{"message": "401 Unauthorized %s"}`, 401, "R401", "mend: Renew the token in " + f.Host.TokenName()},
			{"a token that may only read", "POST", `{"message": "Resource not accessible by integration"}`, 403, "R403", "rota explain R403"},
			{"a pull request that it has not", "GET", `{"message": {"base": ["404 Not Found"]}}`, 404, "R404", `{"base": ["404 Not Found"]}`},
			{"a text that it does not take", "POST", `{"error": "body is invalid"}`, 422, "R406", "422: body is invalid"},
			{"a page instead of the API", "GET", `<html>Sign in</html>`, 200, "R406", "the address of the API"},
			{"a terminal's commands in its words", "GET", "{\"message\": \"\\u001b[2J\\r\\n::error::%s\"}", 400, "R406", "400"},
		} {
			t.Run(test.name, func(t *testing.T) {
				f.Before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
					if r.Method != test.method || strings.HasSuffix(r.URL.Path, "/user") && test.status != 401 {
						return false
					}
					w.WriteHeader(test.status)
					fmt.Fprint(w, strings.ReplaceAll(test.answer, "%s", r.Header.Get("Authorization")))
					return true
				}
				_, err := serve(t, f).Comment(t.Context(), marker+"\nplan")
				refused(t, err, test.rule, test.says)
				if err != nil && strings.ContainsAny(err.Error(), "\x1b\r") {
					t.Errorf("a terminal would act on %q", err)
				}
			})
		}
	})
}

func TestATextThatTheHostDoesNotTakeIsNotSent(t *testing.T) {
	fill := func(n int) string { return marker + "\n" + strings.Repeat("é", n-len(marker)-1) }
	for _, test := range []struct {
		host      notify.Host
		most      int
		unlimited bool
	}{{notify.GitHub, 65_536, false}, {notify.GitLab, 1_000_000, false}, {notify.Gitea, 1_000_000, true}} {
		f := notifytest.NewForge(t, test.host)
		c := serve(t, f)
		if posted := post(t, c, fill(test.most)); posted.Done != notify.Created {
			t.Errorf("%s: %+v", test.host, posted)
		}
		asked := len(f.Requests())
		_, err := c.Comment(t.Context(), fill(test.most+1))
		if test.unlimited {
			if err != nil {
				t.Errorf("%s: %v", test.host, err)
			}
			continue
		}
		refused(t, err, "R405", fmt.Sprintf("%d characters", test.most+1), fmt.Sprintf("takes %d", test.most))
		if len(f.Requests()) != asked {
			t.Errorf("%s was asked %v", test.host, f.Requests()[asked:])
		}
	}
}

func TestMarkersAreHiddenLines(t *testing.T) {
	for name, want := range map[string]string{
		"plan batch": "<!-- rota:plan batch -->", "x": "<!-- rota:x -->", "a/b-c_d.e": "<!-- rota:a/b-c_d.e -->",
		"": "", " a": "", "a  b": "", "a --> <script>": "", "a--b": "", "a\nb": "", "ä": "",
	} {
		got, err := notify.Marker(name)
		if want == "" {
			refused(t, err, "R402")
		} else if got != want || err != nil {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	f := notifytest.NewForge(t, notify.GitHub)
	for _, body := range []string{"", "Plan: nothing", "\n" + marker, "<!-- plan -->\n", "<!-- rota:plan --> text\n", "<!-- rota:plan\n-->"} {
		_, err := serve(t, f).Comment(t.Context(), body)
		refused(t, err, "R402", "marker")
	}
	if len(f.Requests()) != 0 {
		t.Errorf("the host was asked %v", f.Requests())
	}
}

func TestATokenGoesToTheHostAlone(t *testing.T) {
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked = append(leaked, r.Header.Get("Authorization")+r.URL.String())
	}))
	t.Cleanup(other.Close)
	f := notifytest.NewForge(t, notify.GitHub)
	f.Before = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	_, err := serve(t, f).Comment(t.Context(), marker)
	refused(t, err, "R406", "redirects to another address")
	if len(leaked) > 0 {
		t.Errorf("another host was asked %q", leaked)
	}
}

func TestAServerWithAnUnknownCertificateIsRefusedAtOnce(t *testing.T) {
	f := notifytest.NewForge(t, notify.Gitea)
	server := httptest.NewTLSServer(f)
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	tries := 0
	c, err := notify.New(f.Place(server.URL), notifytest.Token, notify.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		tries++
		return http.DefaultTransport.RoundTrip(r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Comment(t.Context(), marker)
	refused(t, err, "R406", "certificate", "SSL_CERT_FILE")
	if tries != 1 {
		t.Errorf("it is asked %d times", tries)
	}
}

// roundTrip carries a request.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestPlacesThatCannotBe(t *testing.T) {
	good := notify.Place{Host: notify.Gitea, API: "https://git.example.com/api/v1", Repository: "acme/jobs", PullRequest: 7}
	with := func(change func(*notify.Place)) notify.Place {
		p := good
		change(&p)
		return p
	}
	for name, test := range map[string]struct {
		place notify.Place
		token string
		rule  string
		says  string
	}{
		"nothing is known":          {notify.Place{}, "t", "R400", "on which host"},
		"another host":              {with(func(p *notify.Place) { p.Host = "bitbucket" }), "t", "R400", `"bitbucket" is not known`},
		"no address":                {with(func(p *notify.Place) { p.API = "" }), "t", "R400", "--api"},
		"an address without a host": {with(func(p *notify.Place) { p.API = "/api/v1" }), "t", "R400", "--api"},
		"an address that is none":   {with(func(p *notify.Place) { p.API = "https://a b/" }), "t", "R400", "--api"},
		"a password in the address": {with(func(p *notify.Place) { p.API = "https://u:" + notifytest.Token + "@git.example.com" }), "t", "R400", "--api"},
		"no encryption":             {with(func(p *notify.Place) { p.API = "http://git.example.com/api/v1" }), "t", "R400", "a token must not be sent"},
		"another scheme":            {with(func(p *notify.Place) { p.API = "file://git/api" }), "t", "R400", "https://"},
		"no repository":             {with(func(p *notify.Place) { p.Repository = "" }), "t", "R400", "owner/name"},
		"a repository of one word":  {with(func(p *notify.Place) { p.Repository = "jobs" }), "t", "R400", "owner/name"},
		"a repository of a path":    {with(func(p *notify.Place) { p.Repository = "acme/jobs/../x" }), "t", "R400", "owner/name"},
		"dots for an owner":         {with(func(p *notify.Place) { p.Repository = "../x" }), "t", "R400", "owner/name"},
		"a query in the name":       {with(func(p *notify.Place) { p.Repository = "acme/jobs?x" }), "t", "R400", "owner/name"},
		"no token":                  {good, " \n", "R401", "GITEA_TOKEN is not set"},
		"two lines for a token":     {good, notifytest.Token + "\nX-Other: y", "R401", "GITEA_TOKEN has characters"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := notify.New(test.place, test.token, notify.Options{})
			refused(t, err, test.rule, test.says)
		})
	}
	if _, err := notify.New(good, "t\n", notify.Options{}); err != nil {
		t.Errorf("a token from a file, with its line end: %v", err)
	}
	c, err := notify.New(with(func(p *notify.Place) { p.PullRequest = 0 }), "t", notify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Comment(t.Context(), marker)
	refused(t, err, "R400", "which pull request")
	refused(t, c.Status(t.Context(), notify.Status{State: notify.Success}), "R400", "which commit")
	refused(t, c.Status(t.Context(), notify.Status{State: "fine"}), "R400", `no status "fine"`)
}

func TestAStatusIsSetInTheWordsOfTheHost(t *testing.T) {
	onEachHost(t, func(t *testing.T, f *notifytest.Forge) {
		c := serve(t, f)
		long := strings.Repeat("ä", 300)
		for _, s := range []notify.Status{
			{State: notify.Pending},
			{State: notify.Pending}, // which GitLab refuses to set twice
			{State: notify.Failure, Context: "rota/validate", Description: long, URL: "https://ci.example.com/1"},
			{State: notify.Success, Description: "Plan: nothing"},
		} {
			if err := c.Status(t.Context(), s); err != nil {
				t.Errorf("%+v: %v", s, err)
			}
		}
		failure, most := "failure", map[notify.Host]int{notify.GitHub: 140, notify.GitLab: 255, notify.Gitea: 255}[f.Host]
		want := []map[string]string{
			{"state": "pending", "context": "rota/plan", "description": ""},
			{"state": "pending", "context": "rota/plan", "description": ""},
			{"state": failure, "context": "rota/validate", "description": long[:2*(most-1)] + "…", "target_url": "https://ci.example.com/1"},
			{"state": "success", "context": "rota/plan", "description": "Plan: nothing"},
		}
		if f.Host == notify.GitLab {
			want = append(want[:1], want[2:]...)
			want[1]["state"] = "failed"
		}
		if diff := cmp.Diff(want, f.Statuses()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestHereIsWhereTheJobRuns(t *testing.T) {
	const head = "abcdef0123456789abcdef0123456789abcdef01"
	events := map[string]string{
		"pull":    `{"action": "opened", "pull_request": {"number": 7, "head": {"sha": "` + head + `", "ref": "$(id)"}}}`,
		"push":    `{"ref": "refs/heads/main"}`,
		"comment": `{"issue": {"number": 9, "pull_request": {"url": "x"}}}`,
		"issue":   `{"issue": {"number": 9}}`,
		"broken":  `{`,
	}
	read := func(name string) ([]byte, error) {
		if text, ok := events[name]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("no such file")
	}
	actions := func(event string, more ...string) map[string]string {
		env := map[string]string{"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_API_URL": "https://api.github.com", "GITHUB_SERVER_URL": "https://github.com",
			"GITHUB_REPOSITORY": "acme/jobs", "GITHUB_RUN_ID": "5", "GITHUB_SHA": "merge", "GITHUB_EVENT_PATH": event}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	gitlab := map[string]string{"GITLAB_CI": "true", "CI_API_V4_URL": "https://gitlab.example.com/api/v4", "CI_PROJECT_ID": "11", "CI_COMMIT_SHA": "merged",
		"CI_JOB_URL": "https://gitlab.example.com/j/1"}
	request := map[string]string{"CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_PROJECT_ID": "12", "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": head}
	for k, v := range gitlab {
		request[k] = v
	}
	run := "https://github.com/acme/jobs/actions/runs/5"
	for name, test := range map[string]struct {
		env  map[string]string
		want notify.Place
		rule string
	}{
		"on a laptop":                 {nil, notify.Place{}, ""},
		"a pull request on GitHub":    {actions("pull"), notify.Place{Host: notify.GitHub, API: "https://api.github.com", Repository: "acme/jobs", PullRequest: 7, Commit: head, Run: run}, ""},
		"a push":                      {actions("push"), notify.Place{Host: notify.GitHub, API: "https://api.github.com", Repository: "acme/jobs", Commit: "merge", Run: run}, ""},
		"a comment on a pull request": {actions("comment"), notify.Place{Host: notify.GitHub, API: "https://api.github.com", Repository: "acme/jobs", PullRequest: 9, Run: run}, ""},
		"an issue":                    {actions("issue"), notify.Place{Host: notify.GitHub, API: "https://api.github.com", Repository: "acme/jobs", Commit: "merge", Run: run}, ""},
		"an event that is gone":       {actions("gone"), notify.Place{}, "R400"},
		"an event that is broken":     {actions("broken"), notify.Place{}, "R400"},
		"Gitea": {actions("pull", "GITEA_ACTIONS", "true", "GITHUB_API_URL", "https://git.example.com/api/v1", "GITHUB_SERVER_URL", "https://git.example.com"),
			notify.Place{Host: notify.Gitea, API: "https://git.example.com/api/v1", Repository: "acme/jobs", PullRequest: 7, Commit: head, Run: "https://git.example.com/acme/jobs/actions/runs/5"}, ""},
		"Forgejo, that does not say its API": {actions("pull", "FORGEJO_ACTIONS", "true", "GITHUB_API_URL", "", "GITHUB_SERVER_URL", "https://git.example.com", "GITHUB_RUN_ID", ""),
			notify.Place{Host: notify.Gitea, API: "https://git.example.com/api/v1", Repository: "acme/jobs", PullRequest: 7, Commit: head}, ""},
		"a merge request":    {request, notify.Place{Host: notify.GitLab, API: "https://gitlab.example.com/api/v4", Repository: "12", PullRequest: 7, Commit: head, Run: "https://gitlab.example.com/j/1"}, ""},
		"a branch on GitLab": {gitlab, notify.Place{Host: notify.GitLab, API: "https://gitlab.example.com/api/v4", Repository: "11", Commit: "merged", Run: "https://gitlab.example.com/j/1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := notify.Here(func(name string) string { return test.env[name] }, read)
			if test.rule != "" {
				refused(t, err, test.rule)
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("%v, (-want +got):\n%s", err, diff)
			}
		})
	}
}

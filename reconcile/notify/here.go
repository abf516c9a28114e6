package notify

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
)

// Here returns what the environment of a job says of the pull request that it
// runs for: in GitHub Actions, GitLab CI, and Gitea or Forgejo Actions.
// Elsewhere, and in a job that runs for no pull request, parts or all of the
// Place are empty. read reads a file; its error, or that of a file that is no
// event, is a problem.
func Here(env func(string) string, read func(string) ([]byte, error)) (Place, error) {
	switch {
	case env("GITLAB_CI") == "true":
		return inGitLab(env), nil
	// Both also say that they are GitHub Actions.
	case env("GITEA_ACTIONS") == "true" || env("FORGEJO_ACTIONS") == "true":
		p, err := inActions(Gitea, env, read)
		if p.API == "" && env("GITHUB_SERVER_URL") != "" {
			p.API = env("GITHUB_SERVER_URL") + "/api/v1"
		}
		return p, err
	case env("GITHUB_ACTIONS") == "true":
		return inActions(GitHub, env, read)
	}
	return Place{}, nil
}

// inGitLab reads the variables that GitLab documents for merge request
// pipelines. The project of the merge request is its target, also where the
// pipeline runs in a fork.
func inGitLab(env func(string) string) Place {
	number, _ := strconv.Atoi(env("CI_MERGE_REQUEST_IID")) // empty in other pipelines
	return Place{
		Host: GitLab, API: env("CI_API_V4_URL"), PullRequest: number, Run: env("CI_JOB_URL"),
		Repository: cmp.Or(env("CI_MERGE_REQUEST_PROJECT_ID"), env("CI_PROJECT_ID")),
		// It is set only where the pipeline runs on the merge of both branches.
		Commit: cmp.Or(env("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA"), env("CI_COMMIT_SHA")),
	}
}

func inActions(host Host, env func(string) string, read func(string) ([]byte, error)) (Place, error) {
	p := Place{Host: host, API: env("GITHUB_API_URL"), Repository: env("GITHUB_REPOSITORY"), Commit: env("GITHUB_SHA")}
	if server, id := env("GITHUB_SERVER_URL"), env("GITHUB_RUN_ID"); server != "" && id != "" {
		p.Run = fmt.Sprintf("%s/%s/actions/runs/%s", server, p.Repository, id)
	}
	file := env("GITHUB_EVENT_PATH")
	if file == "" {
		return p, nil
	}
	text, err := read(file)
	if err != nil {
		return p, problem(rulePlace, "the event of the job (GITHUB_EVENT_PATH) cannot be read", "Say --pull-request and --commit.", err)
	}
	var event struct {
		PullRequest struct {
			Number int                  `json:"number"`
			Head   struct{ SHA string } `json:"head"`
		} `json:"pull_request"`
		// A comment on a pull request is one on an issue that has this.
		Issue struct {
			Number      int              `json:"number"`
			PullRequest *json.RawMessage `json:"pull_request"`
		} `json:"issue"`
	}
	if err := json.Unmarshal(text, &event); err != nil {
		return p, problem(rulePlace, "the event of the job (GITHUB_EVENT_PATH) is not what a pull request gives", "Say --pull-request and --commit.", err)
	}
	p.PullRequest = event.PullRequest.Number
	if p.PullRequest == 0 && event.Issue.PullRequest != nil {
		p.PullRequest = event.Issue.Number
		// The job runs on the default branch then, not on what is reviewed.
		p.Commit = ""
	}
	p.Commit = cmp.Or(event.PullRequest.Head.SHA, p.Commit)
	return p, nil
}

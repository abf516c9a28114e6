package reconcile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// step is one line of a story. A target is RESOURCE/NAME; names that begin with
// "in-" are in the story's second namespace.
type honestStep struct{ do, target, arg string }

func (s honestStep) String() string {
	return strings.TrimSpace(fmt.Sprintf("%-8s %s %s", s.do, s.target, s.arg))
}

// What somebody can commit or touch.
var honestTargets = []string{
	"jobs/job-1", "jobs/job-2", "jobs/job-3", "jobs/each-1", "jobs/each-2", "jobs/each-3",
	"cronjobs/cron-1", "cronjobs/cron-2", "configmaps/cm-1", "configmaps/cm-2", "configmaps/in-1", "secrets/secret-1",
	"serviceaccounts/sa-1", "widgets/widget-1", "namespaces/second",
}

// honestStory is a random story: commits, what people and controllers do to the
// cluster, other options, restarts, and syncs.
func honestStory(r *rand.Rand) []honestStep {
	story := []honestStep{{do: "options", arg: randomOptions(r)}}
	for round := range 2 + r.IntN(4) {
		commits := 1 + r.IntN(6)
		if round == 0 {
			commits += 5
		}
		for range commits {
			target := pick(r, honestTargets...)
			if round > 0 && often(r, 25) {
				story = append(story, honestStep{do: "remove", target: target})
				continue
			}
			story = append(story, honestStep{"commit", target, randomManifest(r, target)})
		}
		if often(r, 3) {
			story = append(story, honestStep{"commit", "configmaps/bad-1", `{"metadata":{"labels":{"l":"not a value!"}}}`})
		}
		for range r.IntN(8) {
			story = append(story, byHand(r)...)
		}
		if round > 0 && often(r, 60) {
			story = append(story, runInTheWay(r)...)
		}
		if round > 0 && often(r, 40) {
			target := pick(r, honestTargets...)
			mark := pick(r, honestStep{do: "own"}, honestStep{do: "hold"}, honestStep{do: "patch", arg: foreignLabel}, honestStep{do: "patch", arg: noLabel})
			mark.target = target
			story = append(story, mark, honestStep{do: "remove", target: target})
		}
		switch {
		case often(r, 15):
			story = append(story, honestStep{do: "options", arg: randomOptions(r)})
		case often(r, 30):
			story = append(story, honestStep{do: "restart"})
		}
		if often(r, 5) {
			story = append(story, honestStep{do: "lose"})
		}
		story = append(story, honestStep{do: "sync"})
		if often(r, 25) {
			story = append(story, honestStep{do: "anew"})
		}
	}
	return story
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func often(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // it is made of maps and texts here
	}
	return string(text)
}

// honestOptions are the choices of a Sync that a story makes.
type honestOptions struct {
	Report, Prune, Force, Embedded bool
	MaxPrune                       int
}

func randomOptions(r *rand.Rand) string {
	return compact(honestOptions{Report: often(r, 25), Prune: often(r, 80), Force: often(r, 20), Embedded: often(r, 70), MaxPrune: pick(r, 30, 100, 100)})
}

type object = map[string]any

// randomManifest is an object without its identity. Its values are as the API
// server stores them, so that they can be compared.
func randomManifest(r *rand.Rand, target string) string {
	metadata := object{}
	if often(r, 30) {
		metadata["labels"] = object{"team": pick(r, "a", "b")}
	}
	resource, name, _ := strings.Cut(target, "/")
	out := object{"metadata": metadata}
	switch resource {
	case "jobs":
		annotations := object{}
		if rerun := pick(r, "", "", "OnChange", "Never", "Ensure"); rerun != "" {
			annotations["rota.dev/rerun"] = rerun
		}
		if active := pick(r, "", "Wait", "Replace", "Refuse"); active != "" {
			annotations["rota.dev/while-active"] = active
		}
		metadata["annotations"] = annotations
		out["spec"] = randomJobSpec(r)
	case "cronjobs":
		if active := pick(r, "", "", "Replace", "Refuse"); active != "" {
			metadata["annotations"] = object{"rota.dev/while-active": active}
		}
		out["spec"] = object{"schedule": pick(r, "0 2 1 1 *", "30 3 1 2 *"), "concurrencyPolicy": pick(r, "Allow", "Forbid", "Replace"), "suspend": often(r, 25),
			"jobTemplate": object{"spec": object{"template": randomPod(r)}}}
		if often(r, 30) {
			out["spec"].(object)["timeZone"] = pick(r, "Europe/Berlin", "Etc/UTC")
		}
	case "configmaps":
		out["data"] = object{"k": pick(r, "1", "2")}
		if often(r, 30) {
			out["data"].(object)["l"] = pick(r, "1", "2")
		}
		if name == "cm-2" && often(r, 30) {
			out["immutable"] = true
		}
	case "secrets":
		out["stringData"] = object{"password": pick(r, "geheim", "verschlossen")}
	case "serviceaccounts":
		out["automountServiceAccountToken"] = often(r, 50)
	case "widgets":
		out["spec"] = object{"size": pick(r, 1, 2), "parts": []string{pick(r, "a", "b"), "c"}}
	}
	return compact(out)
}

func randomPod(r *rand.Rand) object {
	return object{"spec": object{"restartPolicy": "Never", "containers": []object{{"name": "c", "image": pick(r, "example.com/c:1", "example.com/c:2")}}}}
}

func randomJobSpec(r *rand.Rand) object {
	spec := object{"template": randomPod(r), "backoffLimit": 0}
	if often(r, 40) {
		spec["parallelism"] = pick(r, 1, 2)
	}
	if often(r, 25) {
		spec["ttlSecondsAfterFinished"] = pick(r, 600, 1200)
	}
	if often(r, 25) {
		spec["suspend"] = often(r, 60)
	}
	if often(r, 20) {
		spec["completionMode"], spec["completions"] = "Indexed", pick(r, 2, 3)
		if often(r, 50) {
			spec["backoffLimitPerIndex"] = pick(r, 1, 2)
		}
	}
	return spec
}

const (
	cronJobActive = `{"status":{"active":[{"apiVersion":"batch/v1","kind":"Job","name":"x-1","uid":"1"}]}}`

	foreignLabel = `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":"applyset-foreign-v1"}}}`
	noLabel      = `{"metadata":{"labels":{"applyset.kubernetes.io/part-of":null}}}`

	jobStarted  = `{"status":{"startTime":"2026-11-20T00:00:00Z","active":1}}`
	jobComplete = `{"status":{"startTime":"2026-11-20T00:00:00Z","completionTime":"2026-11-20T00:05:00Z","active":0,"succeeded":1,"conditions":[` +
		`{"type":"SuccessCriteriaMet","status":"True","lastTransitionTime":"2026-11-20T00:05:00Z"},{"type":"Complete","status":"True","lastTransitionTime":"2026-11-20T00:05:00Z"}]}}`
	jobFailed = `{"status":{"startTime":"2026-11-20T00:00:00Z","active":0,"failed":1,"conditions":[` +
		`{"type":"FailureTarget","status":"True","lastTransitionTime":"2026-11-20T00:05:00Z"},{"type":"Failed","status":"True","lastTransitionTime":"2026-11-20T00:05:00Z"}]}}`
)

// byHand is what a person, another tool or a controller does to one object.
func byHand(r *rand.Rand) []honestStep {
	target := pick(r, honestTargets...)
	if often(r, 30) {
		target = pick(r, honestTargets[:6]...) // Jobs have most states
	}
	resource, _, _ := strings.Cut(target, "/")
	one := func(do, arg string) []honestStep { return []honestStep{{do, target, arg}} }
	if resource == "namespaces" {
		return one("patch", `{"metadata":{"labels":{"team":"x"}}}`)
	}
	if resource == "jobs" && often(r, 55) {
		switch r.IntN(7) {
		case 0, 3, 4:
			return one("status", jobStarted)
		case 1:
			return one("status", jobFailed)
		case 2: // as by its TTL
			return []honestStep{{"status", target, jobComplete}, {do: "delete", target: target}}
		default:
			return one("status", jobComplete)
		}
	}
	if resource == "cronjobs" && often(r, 40) {
		return one("status", pick(r, cronJobActive, `{"status":{"active":null}}`))
	}
	switch r.IntN(12) {
	case 0, 1:
		return one("delete", "")
	case 2:
		return one("hold", "")
	case 3:
		return one("free", "")
	case 4:
		return one("patch", pick(r, foreignLabel, noLabel))
	case 5:
		return one("own", "")
	case 6:
		return one("patch", `{"metadata":{"managedFields":[{}]}}`)
	case 7:
		return one("patch", `{"metadata":{"annotations":{"rota.dev/applied":"o1:by-hand"}}}`)
	case 8:
		return one("create", randomManifest(r, target))
	case 9:
		return one("take", takenField(resource))
	default:
		return one("patch", changedField(r, resource))
	}
}

// runInTheWay has a run go on of something that changes, or goes.
func runInTheWay(r *rand.Rand) []honestStep {
	target := pick(r, honestTargets[:8]...)
	running := honestStep{"status", target, jobStarted}
	if strings.HasPrefix(target, "cronjobs/") {
		running.arg = cronJobActive
	}
	if often(r, 40) {
		return []honestStep{running, {do: "remove", target: target}}
	}
	return []honestStep{running, {"commit", target, randomManifest(r, target)}}
}

func takenField(resource string) string {
	switch resource {
	case "jobs":
		return `{"spec":{"parallelism":7}}`
	case "cronjobs":
		return `{"spec":{"schedule":"7 7 7 7 *"}}`
	case "configmaps":
		return `{"data":{"k":"taken"}}`
	case "secrets":
		return `{"data":{"password":"dGFrZW4="}}`
	case "serviceaccounts":
		return `{"automountServiceAccountToken":true}`
	}
	return `{"spec":{"size":7}}`
}

func changedField(r *rand.Rand, resource string) string {
	team := `{"metadata":{"labels":{"team":"x"}}}`
	switch resource {
	case "jobs":
		return pick(r, team, `{"spec":{"parallelism":5}}`, `{"spec":{"suspend":true}}`, `{"metadata":{"annotations":{"rota.dev/rerun":"Never"}}}`, `{"spec":{"ttlSecondsAfterFinished":5000}}`)
	case "cronjobs":
		return pick(r, team, `{"spec":{"suspend":true}}`, `{"spec":{"suspend":false}}`, `{"spec":{"schedule":"5 5 5 5 *"}}`,
			`{"metadata":{"annotations":{"rota.dev/pause":"until=2099-01-01T00:00:00Z"}}}`, `{"spec":{"timeZone":null}}`)
	case "configmaps":
		return pick(r, team, `{"data":{"k":"x"}}`, `{"data":{"k":null}}`, `{"data":{"more":"x"}}`)
	case "secrets":
		return pick(r, team, `{"data":{"password":"eA=="}}`, `{"data":{"more":"eA=="}}`)
	case "serviceaccounts":
		return pick(r, team, `{"automountServiceAccountToken":null}`)
	}
	return pick(r, team, `{"spec":{"size":9}}`, `{"spec":{"parts":["z"]}}`)
}

// shortest leaves out every step without which fails still says true, until
// none can go or stop says so. The syncs are steps as well.
func shortest(story []honestStep, stop func() bool, fails func([]honestStep) bool) []honestStep {
	for size := len(story) / 2; size > 0; {
		shrunk := false
		for at := 0; at+size <= len(story); {
			if stop() {
				return story
			}
			if less := slices.Delete(slices.Clone(story), at, at+size); fails(less) {
				story, shrunk = less, true
			} else {
				at += size
			}
		}
		if !shrunk || size > 1 {
			size /= 2
		}
	}
	return story
}

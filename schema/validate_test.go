package schema

import (
	"strings"
	"testing"
	"time"
)

func TestSchedulesAreJudgedAsKubernetesRunsThem(t *testing.T) {
	for text, rule := range map[string]string{
		"*/5 * * * *": "", "@hourly": "", "@every 1h30m": "", "? 4 * * ?": "", "0 0 29 2 *": "", "0 0 31 2 MON": "", "0 12 1 JAN *": "", "*/90 * * * *": "",
		"0 0 31 2 *": "R066", "0 0 30 2 *": "R066", "0 0 31 4,6,9,11 *": "R066",
		"0 0 * * 7": "R065", "* * * *": "R065", "0 0 0 * * *": "R065", "61 * * * *": "R065", ", * * * *": "R065", "": "R065", "@never": "R065", "* * , * *": "R065",
		"TZ=UTC": "R068", "TZ=UTC 0 0 * * *": "R068", "CRON_TZ=Europe/Berlin 0 0 * * *": "R068",
	} {
		if got, message, _ := checkSchedule(text); got != rule {
			t.Errorf("%q: got rule %q (%s), want %q", text, got, message, rule)
		}
	}
}

func TestWhatNeverFiresIsNeverFired(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, dom := range []string{"*", "?", "1", "29", "30", "31", "30,31", "*/31", "15-20"} {
		for _, month := range []string{"*", "2", "4", "2,4", "11", "*/2", "FEB"} {
			for _, dow := range []string{"*", "?", "MON", "0-6"} {
				text := "0 0 " + dom + " " + month + " " + dow
				s, err := parseSchedule(text)
				if err != nil {
					t.Fatal(err)
				}
				rule, _, _ := checkSchedule(text)
				if never := s.Next(now).IsZero(); never != (rule == "R066") {
					t.Errorf("%q: robfig says never=%v, we say %q", text, never, rule)
				}
			}
		}
	}
}

const goodCronJob = `apiVersion: batch/v1
kind: CronJob
metadata: {name: hello, labels: {app.kubernetes.io/name: hello}}
spec:
  schedule: "0 2 * * *"
  timeZone: Europe/Berlin
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: c
            image: busybox
            env: [{name: A, value: b}]
            resources: {limits: {cpu: 500m, memory: 128Mi}}
`

const goodJob = `apiVersion: batch/v1
kind: Job
metadata: {name: hello}
spec:
  completions: 8
  parallelism: 2
  template:
    spec:
      restartPolicy: OnFailure
      containers:
      - {name: c, image: busybox}
`

func object(t testing.TB, text string) Object {
	t.Helper()
	documents, err := ReadDocuments("job.yaml", []byte(text), DocumentLimits{})
	if err != nil {
		t.Fatal(err)
	}
	content, err := documents[0].Value()
	if err != nil {
		t.Fatal(err)
	}
	o := Object{Origin: documents[0].Origin(), Fields: NewSource("job.yaml", []byte(text)).Fields(0, false)}
	o.Unstructured = newUnstructured(content.(map[string]any))
	return o
}

func TestGoodObjectsHaveNoProblem(t *testing.T) {
	for _, text := range []string{goodCronJob, goodJob,
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: 'system:x:Y'}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: redis}\nspec: {ports: [{port: 6379}]}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}\n",
	} {
		for _, p := range Validate([]Object{object(t, text)}) {
			t.Errorf("%v", p)
		}
	}
}

func TestPlantedFaultsAreFoundWhereTheyStand(t *testing.T) {
	for _, test := range []struct {
		name, base, old, new, rule, at string
	}{
		{"a CronJob's name of 53 letters", goodCronJob, "name: hello,", "name: " + strings.Repeat("a", 53) + ",", "R061", "job.yaml:3:18"},
		{"a Job's name of 64 letters", goodJob, "name: hello", "name: " + strings.Repeat("a", 64), "R062", "job.yaml:3:18"},
		{"a name with capitals", goodJob, "name: hello", "name: Hello", "R060", "job.yaml:3:18"},
		{"a label that is too long", goodCronJob, "name: hello}}", "name: " + strings.Repeat("a", 64) + "}}", "R063", ""},
		{"a key of a label with a space", goodCronJob, "app.kubernetes.io/name", "'a b'", "R063", ""},
		{"no restart policy", goodJob, "      restartPolicy: OnFailure\n", "", "R064", "job.yaml:9:7"},
		{"restart policy Always", goodJob, "OnFailure", "Always", "R064", "job.yaml:9:22"},
		{"a restart policy that is misspelt", goodJob, "OnFailure", "OnFailiure", "R070", "job.yaml:9:22"},
		{"a schedule that never fires", goodCronJob, "0 2 * * *", "0 2 31 2 *", "R066", "job.yaml:5:13"},
		{"a schedule of six fields", goodCronJob, "0 2 * * *", "0 0 2 * * *", "R065", "job.yaml:5:13"},
		{"a zone in the schedule", goodCronJob, "0 2 * * *", "TZ=UTC 0 2 * * *", "R068", "job.yaml:5:13"},
		{"an unknown zone", goodCronJob, "Europe/Berlin", "Europe/Berlinn", "R067", "job.yaml:6:13"},
		{"the zone Local", goodCronJob, "Europe/Berlin", "Local", "R067", "job.yaml:6:13"},
		{"an unknown concurrency policy", goodCronJob, "spec:\n  schedule", "spec:\n  concurrencyPolicy: forbid\n  schedule", "R070", "job.yaml:5:22"},
		{"a deadline of 0", goodCronJob, "spec:\n  schedule", "spec:\n  startingDeadlineSeconds: 0\n  schedule", "R069", "job.yaml:5:28"},
		{"a negative deadline", goodCronJob, "spec:\n  schedule", "spec:\n  startingDeadlineSeconds: -1\n  schedule", "R073", "job.yaml:5:28"},
		{"a text for a number", goodJob, "parallelism: 2", `parallelism: "2"`, "R073", "job.yaml:6:16"},
		{"no containers", goodJob, "containers:\n      - {name: c, image: busybox}\n", "containers: []\n", "R071", "job.yaml:10:19"},
		{"a container without image", goodJob, ", image: busybox", "", "R071", "job.yaml:11:9"},
		{"two containers of one name", goodJob, "{name: c, image: busybox}", "{name: c, image: busybox}\n      - {name: c, image: busybox}", "R071", "job.yaml:12:16"},
		{"a variable whose value is a boolean to YAML", goodCronJob, "value: b", "value: yes", "R073", "job.yaml:15:36"},
		{"a variable whose name is a boolean to YAML", goodCronJob, "name: A", "name: N", "R073", "job.yaml:15:26"},
		{"a quantity that is none", goodCronJob, "128Mi", "128MB", "R073", "job.yaml:16:53"},
		{"an Indexed Job without completions", goodJob, "completions: 8", "completionMode: Indexed", "R072", "job.yaml:5:3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(test.base, test.old, test.new, 1)
			if text == test.base {
				t.Fatal("the fault was not planted")
			}
			problems := Validate([]Object{object(t, text)})
			if len(problems) != 1 || problems[0].Rule != test.rule {
				t.Fatalf("want exactly one problem of %s, got %v", test.rule, problems)
			}
			if got := problems[0].Origin.String(); test.at != "" && got != test.at {
				t.Errorf("found at %s, it stands at %s", got, test.at)
			}
			if problems[0].Message == "" || problems[0].Field == "" || problems[0].Object == nil {
				t.Errorf("the problem does not say enough: %+v", problems[0])
			}
		})
	}
}

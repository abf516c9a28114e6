package forecast

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"rota.dev/rota/reconcile/schedule"
)

func TestQuotasAreThoseThatCountJobs(t *testing.T) {
	for name, test := range map[string]struct {
		object string
		want   Quota
	}{
		"one of Jobs":                     {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: batch}\nspec: {hard: {count/jobs.batch: \"3\"}}", Quota{"batch", "q", 3}},
		"one without a namespace":         {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/jobs.batch: 1k}}", Quota{"fallback", "q", 1000}},
		"one of Pods":                     {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: \"3\"}}", Quota{}},
		"one with a scope":                {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/jobs.batch: \"3\"}, scopes: [BestEffort]}", Quota{}},
		"one that cannot be read":         {"apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: [3]}", Quota{}},
		"another kind of the same fields": {"apiVersion: example.com/v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {count/jobs.batch: \"3\"}}", Quota{}},
	} {
		t.Run(name, func(t *testing.T) {
			var u unstructured.Unstructured
			if err := yaml.Unmarshal([]byte(test.object), &u.Object); err != nil {
				t.Fatal(err)
			}
			if got, ok := QuotaOf(&u, "fallback"); got != test.want || ok != (test.want != Quota{}) {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

func TestAQuotaIsExceededByRunsOfItsNamespace(t *testing.T) {
	now := time.Date(2026, 10, 22, 0, 0, 30, 0, time.UTC)
	of := func(cron string, quotas ...Quota) func(i int) Schedule {
		parsed, err := schedule.Parse(cron, "")
		if err != nil {
			t.Fatal(err)
		}
		return func(i int) Schedule {
			return Schedule{Spec: schedule.Spec{Namespace: "n", Name: string(rune('a' + i)), Schedule: cron, Cron: parsed}, Quotas: quotas}
		}
	}
	two, five := Quota{"n", "q", 2}, Quota{"n", "q", 5}
	at := time.Date(2026, 10, 22, 1, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		before, after []Schedule
		want          []Exceeded
	}{
		"runs move into one minute": {
			append(many(2, of("0 1 * * *", two)), Schedule{Spec: of("0 2 * * *")(2).Spec, Quotas: []Quota{two}}), many(3, of("0 1 * * *", two)),
			[]Exceeded{{Quota: "n/q", Limit: 2, At: at, Runs: 3}},
		},
		"the quota is lowered":              {many(3, of("0 1 * * *", five)), many(3, of("0 1 * * *", two)), []Exceeded{{Quota: "n/q", Limit: 2, At: at, Runs: 3}}},
		"a quota comes":                     {many(3, of("0 1 * * *")), many(3, of("0 1 * * *", two)), []Exceeded{{Quota: "n/q", Limit: 2, At: at, Runs: 3}}},
		"what exceeds it moves elsewhere":   {many(3, of("0 1 * * *", two)), many(3, of("0 2 * * *", two)), []Exceeded{{Quota: "n/q", Limit: 2, At: at.Add(time.Hour), Runs: 3}}},
		"it is exceeded, and nothing moved": {many(3, of("0 1 * * *", two)), many(3, of("0 1 * * *", two)), nil},
		"the quota goes":                    {many(3, of("0 1 * * *", two)), many(3, of("0 1 * * *")), nil},
		"there is room":                     {many(3, of("0 1 * * *", five)), many(5, of("0 1 * * *", five)), nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Compare(test.before, test.after, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.want, c.Limits); diff != "" {
				t.Error(diff)
			}
		})
	}
}

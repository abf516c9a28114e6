package plan

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// fileOf saves a plan and reads it again.
func fileOf(t *testing.T, p Plan) Saved {
	t.Helper()
	data, err := p.Save(Saved{Version: "test", Created: testNow}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadSaved(data, "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPropertyASavedPlanHoldsOnTheSameState(t *testing.T) {
	worlds(t, func(t *testing.T, _ *rand.Rand, in Input) {
		for _, p := range fileOf(t, Compute(in)).Moved(Compute(copyInput(in))) {
			t.Errorf("%s: %s", p.Object, p.Message)
		}
	})
}

// What happens to other objects than the one that moved is not asked: an
// object that is refused holds back the prune of all others, say.
func TestPropertyASavedPlanSeesEveryOtherEffect(t *testing.T) {
	saw := 0
	worlds(t, func(t *testing.T, r *rand.Rand, in Input) {
		before := Compute(in)
		next := copyInput(in)
		next.Options.Prune, next.Options.ReportDrift, next.Options.ForceConflicts = chance(r, 50), chance(r, 50), chance(r, 50)
		for key := range next.Live {
			if chance(r, 20) {
				delete(next.Live, key)
			}
		}
		moved := map[schema.Key]bool{}
		for _, p := range fileOf(t, before).Moved(Compute(next)) {
			moved[*p.Object] = true
		}
		was := map[schema.Key]Change{}
		for _, c := range before.Changes {
			was[c.Key] = c
		}
		for _, c := range Compute(next).Changes {
			old, known := was[c.Key]
			writes := c.Op == Create || c.Op == Update || c.Op == Replace || c.Op == Delete || c.Retire
			if writes && (!known || old.Op != c.Op || old.Reason != c.Reason || old.Effect != c.Effect || old.Force != c.Force) {
				saw++
				if !moved[c.Key] {
					t.Errorf("%s was %s %q and is %s %q, and that is not seen", c.Key, old.Op, old.Effect, c.Op, c.Effect)
				}
			}
		}
	})
	if saw == 0 {
		t.Error("no effect changed: the property was not tested")
	}
}

func TestASavedPlanSaysWhatMoved(t *testing.T) {
	const (
		wanted    = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: batch}\ndata: {a: '7'}\n"
		job       = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j, namespace: batch, annotations: {rota.dev/while-active: Replace}}\nspec: {template: {spec: {containers: [{name: c, image: 'a:IMAGE'}]}}}\n"
		before    = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: batch}\ndata: {a: '1'}\n"
		byKubectl = " by kubectl-edit at 2026-11-23 12:00 UTC"
	)
	oldJob, newJob := strings.ReplaceAll(job, "IMAGE", "1"), strings.ReplaceAll(job, "IMAGE", "2")
	active := map[string]any{"startTime": "2026-11-20T00:00:00Z", "active": int64(3)}
	complete := map[string]any{"startTime": "2026-11-20T00:00:00Z", "conditions": []any{map[string]any{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-20T00:05:00Z"}}}
	touched := func(u *unstructured.Unstructured, part string) {
		u.SetResourceVersion("2")
		entries := u.Object["metadata"].(map[string]any)["managedFields"].([]any)
		entry := map[string]any{"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-23T12:00:30Z", "fieldsType": "FieldsV1", "fieldsV1": map[string]any{}}
		if part != "" {
			entry["subresource"] = part
		}
		u.Object["metadata"].(map[string]any)["managedFields"] = append(entries, entry)
	}
	tests := []struct {
		name             string
		desired, applied string
		status           map[string]any
		move             func(in *Input, u *unstructured.Unstructured)
		want             string
	}{
		{name: "nothing moved", desired: wanted, applied: before, move: func(*Input, *unstructured.Unstructured) {}},
		{name: "time went by", desired: wanted, applied: before, move: func(in *Input, _ *unstructured.Unstructured) { in.Options.Revision = "main@sha1:2222222222222222" }},
		{name: "a status that changes no effect", desired: wanted, applied: before,
			move: func(_ *Input, u *unstructured.Unstructured) {
				touched(u, "status")
				u.Object["status"] = map[string]any{"seen": true}
			}},
		{name: "a field that is nobody's business", desired: wanted, applied: before,
			move: func(_ *Input, u *unstructured.Unstructured) { touched(u, ""); setLabel(u, "look", "here") }},
		{name: "somebody did it already", desired: wanted, applied: before,
			move: func(in *Input, u *unstructured.Unstructured) {
				*u = *applied(in.Desired[0], nil)
				u.SetResourceVersion("2")
				touched(u, "")
			}, want: `the plan says that it will be updated (data.a), and now it is unchanged: it was changed since` + byKubectl},
		{name: "the object was deleted", desired: wanted, applied: before,
			move: func(in *Input, u *unstructured.Unstructured) { delete(in.Live, in.Desired[0].Key()) },
			want: `the plan says that it will be updated (data.a), and now it will be created: it was deleted since`},
		{name: "the object is another", desired: wanted, applied: before,
			move: func(_ *Input, u *unstructured.Unstructured) { u.SetUID("another") },
			want: `the plan says that it will be updated (data.a), and it is another object by now: it was deleted and created anew since`},
		{name: "somebody created it first", desired: wanted,
			move: func(in *Input, _ *unstructured.Unstructured) {
				u := parse(t, before)[0].Unstructured
				u.SetUID("theirs")
				in.Live[in.Desired[0].Key()] = u
			}, want: `the plan says that it will be created, and now it will be adopted: it exists, and rota did not apply it: it was created since`},
		{name: "the pods of the run that is ended are fewer", desired: newJob, applied: oldJob, status: active,
			move: func(_ *Input, u *unstructured.Unstructured) {
				u.Object["status"].(map[string]any)["active"] = int64(1)
				touched(u, "status")
			}},
		{name: "the run ended by itself", desired: newJob, applied: oldJob, status: active,
			move: func(_ *Input, u *unstructured.Unstructured) { u.Object["status"] = complete; touched(u, "status") },
			want: `the plan says that it will run again (containers[name=c].image at batch.yaml:1: a:1 → a:2), ending the active run (3 pods), and now it will run again (containers[name=c].image at batch.yaml:1: a:1 → a:2): ` +
				`it was changed since (its status)` + byKubectl},
		{name: "the Job ended and was deleted by its TTL", desired: newJob, applied: oldJob, status: complete,
			move: func(in *Input, _ *unstructured.Unstructured) {
				key := in.Desired[0].Key()
				delete(in.Live, key)
				in.Ledger.Jobs[key] = Run{Digest: "d1:old", UID: "uid-of-new", Outcome: RunComplete, Revision: "main@sha1:1111111111"}
			}, want: `the plan says that it will run again (containers[name=c].image at batch.yaml:1: a:1 → a:2), and now it will run again (its template changed; the last run completed at 1111111): ` +
				`it was deleted since, by somebody or, if it had ended, by its ttlSecondsAfterFinished`},
		{name: "the Job ran meanwhile", desired: newJob,
			move: func(in *Input, _ *unstructured.Unstructured) {
				in.Ledger.Jobs[in.Desired[0].Key()] = Run{Digest: in.Desired[0].RunDigest, Outcome: RunComplete, Revision: "main@sha1:3333333333"}
			}, want: `the plan says that it will run now, and now it will not run: completed at 3333333: what is known of its runs changed since`},
		{name: "a Job that stays as it is goes on", desired: oldJob, applied: oldJob, status: active,
			move: func(_ *Input, u *unstructured.Unstructured) { u.Object["status"] = complete; touched(u, "status") }},
		{name: "the repository renders to something else", desired: wanted, applied: before,
			move: func(in *Input, _ *unstructured.Unstructured) {
				in.Desired = intended(t, parse(t, strings.Replace(wanted, "'7'", "'8'", 1)), in.Options)
			}, want: `the repository renders it otherwise than for the plan`},
		{name: "what would be pruned is gone", applied: before, desired: oldJob,
			move: func(in *Input, u *unstructured.Unstructured) { delete(in.Live, schema.KeyOf(u)) },
			want: `the plan says that it left the repository, will be pruned, and now there is nothing to do: it was deleted since`},
		{name: "something else would be pruned as well", desired: oldJob,
			move: func(in *Input, _ *unstructured.Unstructured) {
				one := intended(t, parse(t, before), in.Options)[0]
				in.Live[one.Key()] = applied(one, nil)
			}, want: `the plan does not have it, and now it left the repository, will be pruned`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := testInput(t, tt.desired, tt.applied, "", testOptions())
			var live *unstructured.Unstructured
			for _, u := range in.Live {
				live = u
				u.SetResourceVersion("1")
				if tt.status != nil {
					u.Object["status"] = tt.status
				}
			}
			s := fileOf(t, Compute(in))
			next := copyInput(in)
			for _, u := range next.Live {
				live = u
			}
			tt.move(&next, live)

			var got []string
			for _, p := range s.Moved(Compute(next)) {
				if p.Rule != "R255" || p.Object == nil {
					t.Errorf("problem %+v", p)
				}
				got = append(got, p.Message)
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

func TestASavedPlanHasNothingOfASecret(t *testing.T) {
	const secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: batch}\nstringData: {password: VALUE, MORE}\n"
	in := testInput(t, strings.NewReplacer("VALUE", "hunter2", ", MORE", ", other: hunter3").Replace(secret), strings.NewReplacer("VALUE", "hunter1", ", MORE", "").Replace(secret), "", testOptions())
	p := Compute(in)
	data, err := p.Save(Saved{Version: "test", Created: testNow}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if p.Changes[0].Op != Update {
		t.Fatalf("the plan does not change the Secret: %s", p)
	}
	// Neither the values, nor what they could be guessed by.
	for _, never := range []string{"hunter", "aHVudGVy", in.Desired[0].Digest} {
		if strings.Contains(string(data), never) {
			t.Errorf("the file has %q:\n%s", never, data)
		}
	}
}

func TestASavedPlanThatIsNoneIsRefused(t *testing.T) {
	in := testInput(t, settings, "", "", testOptions())
	data, err := Compute(in).Save(Saved{Version: "test", Created: testNow.Add(time.Nanosecond)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := string(data)
	tests := []struct{ name, text, want string }{
		{"an empty file", "", "it cannot be read: unexpected end of JSON input"},
		{"half a file", good[:len(good)/2], "it cannot be read: unexpected end of JSON input"},
		{"another document", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\"}", `it is no saved plan: apiVersion is "v1" and kind is "ConfigMap", not rota.dev/v1alpha1 and SavedPlan`},
		{"an effect that was edited", strings.Replace(good, "will be created", "will be pruned", 1), "it was changed after rota wrote it: its checksum is another"},
		{"another op", strings.Replace(good, `"Create"`, `"Keep"`, 1), "it was changed after rota wrote it: its checksum is another"},
		{"no checksum", good[:strings.Index(good, `  "checksum"`)-2] + "\n}", "it was changed after rota wrote it: its checksum is another"},
		{"a field more", strings.Replace(good, `"version"`, `"later": 1, "version"`, 1), `it cannot be read: json: unknown field "later"`},
		{"something that follows", good + good, "it cannot be read: invalid character '{' after top-level value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadSaved([]byte(tt.text), "test")
			var p *schema.Problem
			if !errors.As(err, &p) || p.Rule != "R250" || p.Message != tt.want || p.Mend == "" {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := ReadSaved([]byte(good), "test"); err != nil {
		t.Errorf("the file as it was written: %v", err)
	}
	// Laid out otherwise it is the same.
	if _, err := ReadSaved([]byte(strings.Join(strings.Fields(strings.ReplaceAll(good, "\n", "")), " ")), "test"); err != nil {
		t.Errorf("the file on one line: %v", err)
	}
	newer := strings.NewReplacer(`"version": "test"`, `"version": "v9", "later": 1`).Replace(good)
	_, err = ReadSaved([]byte(newer), "test")
	if p := schema.Problems(err); len(p) != 1 || p[0].Rule != "R251" || p[0].Message != "the plan was made by rota v9, and this is rota test" {
		t.Errorf("of another version: %v", err)
	}
}

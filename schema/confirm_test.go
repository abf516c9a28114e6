package schema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatTheServerFindsTooIsSaidOnce(t *testing.T) {
	job, other := &Key{Group: "batch", Kind: "Job", Name: "a"}, &Key{Group: "batch", Kind: "Job", Name: "b"}
	for _, c := range []struct {
		what            string
		offline, server []*Problem
		taken           map[Key]bool
		want            string
	}{
		{"the same field", []*Problem{{Rule: "R073", Object: job, Field: "spec.parallelism"}},
			[]*Problem{{Rule: "R209", Object: job, Field: "spec.parallelism"}}, nil, "R073 error"},
		{"a field above", []*Problem{{Rule: "R073", Object: job, Field: "spec.template.spec.containers[0].image"}},
			[]*Problem{{Rule: "R209", Object: job, Field: "spec.template"}}, nil, "R073 error"},
		{"a field whose name begins alike", []*Problem{{Rule: "R073", Object: job, Field: "spec.completions"}},
			[]*Problem{{Rule: "R209", Object: job, Field: "spec.completionMode"}}, nil, "R073 error, R209 error"},
		{"another object", []*Problem{{Rule: "R073", Object: other, Field: "spec.parallelism"}},
			[]*Problem{{Rule: "R209", Object: job, Field: "spec.parallelism"}}, nil, "R073 error, R209 error"},
		{"a warning tells of no refusal", []*Problem{{Rule: "R084", Severity: SeverityWarning, Object: job, Field: "spec.scheduling"}},
			[]*Problem{{Rule: "R209", Object: job, Field: "spec.scheduling"}}, nil, "R084 warning, R209 error"},
		{"an object that could not be read", []*Problem{{Rule: "R073", Object: job, Field: "spec.parallelism"}},
			[]*Problem{{Rule: "R222", Object: job}}, nil, "R073 error"},
		{"a policy refuses for its own reason", []*Problem{{Rule: "R073", Object: job, Field: "spec.parallelism"}},
			[]*Problem{{Rule: "R208", Object: job}}, nil, "R073 error, R208 error"},
		{"the server knows the field", []*Problem{{Rule: "R074", Object: job, Field: "spec.newField"}}, nil, map[Key]bool{*job: true}, "R074 warning"},
		{"the server was not asked", []*Problem{{Rule: "R074", Object: job, Field: "spec.newField"}}, nil, nil, "R074 error"},
		{"the server takes what can never work", []*Problem{{Rule: "R062", Object: job, Field: "metadata.name"}}, nil, map[Key]bool{*job: true}, "R062 error"},
	} {
		var got []string
		for _, p := range Confirm(c.offline, c.server, c.taken) {
			severity := SeverityError
			if !HasErrors([]*Problem{p}) {
				severity = SeverityWarning
			}
			got = append(got, fmt.Sprintf("%s %s", p.Rule, severity))
		}
		if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestPathsOfTheServerLeadToTheFile(t *testing.T) {
	const text = `kind: Job
metadata:
  annotations: {example.com/a.b: x}
spec:
  ports:
  - {port: 80}
  - {port: 80, protocol: UDP}
  containers:
  - name: a
    image: b
    args: [x, z]
  - name: c
`
	o := asWritten(t, "a.yaml", text)
	for field, want := range map[string]string{
		`.spec.containers[name="a"].image`:             "spec.containers[0].image a.yaml:10:12",
		`spec.containers[name=c]`:                      "spec.containers[1] a.yaml:12:5",
		`spec.containers[1].name`:                      "spec.containers[1].name a.yaml:12:11",
		`spec.containers[name="a"].args[="z"]`:         "spec.containers[0].args[1] a.yaml:11:15",
		`spec.ports[port=80,protocol="UDP"].port`:      "spec.ports[1].port a.yaml:7:12",
		`spec.ports[port=80 protocol=TCP]`:             "spec.ports[0] a.yaml:6:5",
		`metadata.annotations["example.com/a.b"]`:      "metadata.annotations[example.com/a.b] a.yaml:3:34",
		`spec.containers[name="gone"].image`:           `spec.containers[name="gone"].image a.yaml:9:3`,
		`spec.clusterIPs`:                              "spec.clusterIPs a.yaml:5:3",
		`spec.template.spec.containers[name="a"].name`: `spec.template.spec.containers[name="a"].name a.yaml:5:3`,
	} {
		if got := o.Path(field) + " " + o.At(o.Path(field)).String(); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
}

package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestDiffShowsWhatAReaderMustKnowAndNoSecret(t *testing.T) {
	tests := []struct {
		name, before, after string
		want                []string
		never               []string
	}{
		{"a changed field is a line before and a line after", settings, strings.Replace(settings, "a: '1'", "a: '9'", 1),
			[]string{"--- ConfigMap batch/settings (before)", "+++ ConfigMap batch/settings (after)", "-  a: \"1\"", "+  a: \"9\"", "   b: \"2\""}, nil},
		{"an object that is created has only lines after", "", settings, []string{"+kind: ConfigMap"}, []string{"\n-"}},
		{"an object that is deleted has only lines before", settings, "", []string{"-kind: ConfigMap"}, []string{"\n+k"}},
		{"status and managedFields are left out", settings + "status: {x: 1}\n", strings.Replace(settings, "namespace: batch", "namespace: batch, managedFields: [{manager: m}]", 1), nil, []string{"status", "managedFields"}},
		{"values of a Secret that change are masked so that one sees it",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {same: c2FtZQ==, changed: b2xk, gone: Z29uZQ==}\n",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {same: c2FtZQ==, changed: bmV3, added: YWRk}\n",
			[]string{"-  changed: '*** (before)'", "+  changed: '*** (after)'", "-  gone: '***'", "+  added: '***'", "   same: '***'"},
			[]string{"c2FtZQ", "b2xk", "bmV3", "Z29uZQ", "YWRk"}},
		{"stringData is masked too", "", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hunter2}\n", []string{"+  a: '***'"}, []string{"hunter2"}},
		{"data that is no mapping is masked whole", "", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: [hunter2]\nstringData: hunter3\n", []string{"+data: '***'"}, []string{"hunter2", "hunter3"}},
		{"the copy that kubectl keeps in an annotation is dropped from Secrets",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {kubectl.kubernetes.io/last-applied-configuration: 'hunter2', x: w}}\ndata: {a: b2xk}\n",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {x: z}}\ndata: {a: b2xk}\n", []string{"-    x: w", "+    x: z"}, []string{"hunter2", "last-applied"}},
		{"the copy that kubectl keeps is dropped after the change too", "",
			"apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {kubectl.kubernetes.io/last-applied-configuration: 'hunter2'}}\n", []string{"+kind: Secret"}, []string{"hunter2", "last-applied"}},
		{"a Secret of another API is no Secret", "", "apiVersion: example.com/v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: shown}\n", []string{"shown"}, nil},
		{"a Secret that becomes something else is masked on both sides", "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: b2xk}\n", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: {a: b2xk}\n", []string{"'***'"}, []string{"b2xk"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after := first(t, tt.before), first(t, tt.after)
			a, b := text(objectOf(before)), text(objectOf(after))
			got := Diff(before, after)
			for _, line := range tt.want {
				if !strings.Contains(got, line) {
					t.Errorf("lacks %q:\n%s", line, got)
				}
			}
			for _, line := range tt.never {
				if strings.Contains(got, line) {
					t.Errorf("has %q:\n%s", line, got)
				}
			}
			if text(objectOf(before)) != a || text(objectOf(after)) != b {
				t.Error("the objects were changed")
			}
		})
	}
}

func TestDiffOfTheSameObjectIsEmpty(t *testing.T) {
	if got := Diff(first(t, settings), first(t, settings)); got != "" {
		t.Errorf("diff:\n%s", got)
	}
	if got := Diff(nil, nil); got != "" {
		t.Errorf("diff of nothing:\n%s", got)
	}
}

func first(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	if text == "" {
		return nil
	}
	return parse(t, text)[0].Unstructured
}

func objectOf(u *unstructured.Unstructured) map[string]any {
	if u == nil {
		return nil
	}
	return u.Object
}

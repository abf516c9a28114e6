package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile is the corpus: what was done to other tools, or could be.
var hostile = slicesOf(hostileLinks, hostileOverlays, hostileYAML, hostileTemplates, hostileExpansions, hostileOutputs)

func slicesOf(lists ...[]attack) []attack {
	var all []attack
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

var hostileLinks = []attack{
	{name: "link to a file outside", files: map[string]string{"a.yaml": "link:../canary.yaml"}},
	{name: "link to the folder above", files: map[string]string{"jobs.yaml": "link:.."}},
	{name: "absolute link", files: map[string]string{"a.yaml": "link:CANARY"}},
	{name: "chain of links that ends outside", files: map[string]string{"a.yaml": "link:b.yaml", "b.yaml": "link:sub/c.yaml", "sub/c.yaml": "link:../../canary.yaml"}},
	{name: "links in a loop", files: map[string]string{"a.yaml": "link:b.yaml", "b.yaml": "link:a.yaml"}},
	{name: "link to nowhere", files: map[string]string{"a.yaml": "link:nowhere.yaml"}},
	{name: "link to the environment of the process", files: map[string]string{"a.yaml": "link:/proc/self/environ"}},
	{name: "link to an endless device", files: map[string]string{"a.yaml": "link:/dev/zero"}},
	{name: "template by a link", files: map[string]string{"e.yaml": expansion("template: t.yaml", "items: [{A: x}]"), "t.yaml": "link:../canary.yaml"}},
	{name: "parameters by a link", files: map[string]string{"e.yaml": expansion("inline: 'a: $name'", "file: p.yaml"), "p.yaml": "link:../canary.yaml"}},
}

var hostileOverlays = []attack{
	{name: "resource above the root", files: map[string]string{"kustomization.yaml": "resources: [../canary.yaml]"}},
	{name: "absolute resource", files: map[string]string{"kustomization.yaml": "resources: [CANARY]"}},
	{name: "generator of a file above", files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, files: [../canary.yaml]}]"}},
	{name: "generator by a link", files: map[string]string{"kustomization.yaml": "configMapGenerator: [{name: a, envs: [x.env]}]", "x.env": "link:../canary.yaml"}},
	{name: "folder by a link", files: map[string]string{"kustomization.yaml": "resources: [up]", "up": "link:.."}},
	{name: "resource of an address", files: map[string]string{"kustomization.yaml": "resources: ['http://127.0.0.1:9/x.yaml']"}},
	{name: "resource of a git address", files: map[string]string{"kustomization.yaml": "resources: ['git::https://127.0.0.1:9/x?ref=--upload-pack=sh']"}},
	{name: "charts", files: map[string]string{"kustomization.yaml": "helmCharts: [{name: x, repo: 'http://127.0.0.1:9', releaseName: '--post-renderer=sh'}]"}},
	{name: "program as a transformer", files: map[string]string{"kustomization.yaml": "transformers: [t.yaml]", "t.yaml": manifest("X", "x") + "  annotations: {config.kubernetes.io/function: 'exec: {path: sh}'}\n"}},
	{name: "schema that would poison later builds", files: map[string]string{"kustomization.yaml": "openapi: {path: s.json}", "s.json": "{}"}},
	{name: "kustomization of itself", files: map[string]string{"kustomization.yaml": "resources: [.]"}},
	{name: "kustomizations in a ring", files: map[string]string{"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [../a]"}},
	{name: "bases that double at every level", make: func(t *testing.T, dir string) {
		files := map[string]string{"kustomization.yaml": "resources: [l0/a, l0/b]"}
		for i := range 24 {
			for _, side := range []string{"a", "b"} {
				files[fmt.Sprintf("l%d/%s/kustomization.yaml", i, side)] = fmt.Sprintf("nameSuffix: -%s\nresources: [../../l%d/a, ../../l%d/b]", side, i+1, i+1)
			}
		}
		for _, side := range []string{"a", "b"} {
			files["l24/"+side+"/kustomization.yaml"] = "resources: [c.yaml]"
			files["l24/"+side+"/c.yaml"] = manifest("ConfigMap", "c")
		}
		lay(t, dir, files)
	}},
	{name: "chain of three hundred bases", good: true, make: func(t *testing.T, dir string) {
		files := map[string]string{"kustomization.yaml": "resources: [b0]", "b300/kustomization.yaml": "resources: [c.yaml]", "b300/c.yaml": manifest("ConfigMap", "c")}
		for i := range 300 {
			files[fmt.Sprintf("b%d/kustomization.yaml", i)] = fmt.Sprintf("resources: [../b%d]", i+1)
		}
		lay(t, dir, files)
	}},
	{name: "alias bomb in a patch", files: map[string]string{"kustomization.yaml": "resources: [c.yaml]\npatches: [{path: p.yaml}]", "c.yaml": manifest("ConfigMap", "c"), "p.yaml": manifest("ConfigMap", "c") + bomb}},
	{name: "alias bomb in the kustomization", files: map[string]string{"kustomization.yaml": bomb + "resources: []"}},
	{name: "patch of every part of a long list", make: func(t *testing.T, dir string) {
		lay(t, dir, map[string]string{
			"kustomization.yaml": "resources: [c.yaml]\nreplacements: [{path: r.yaml}]",
			"c.yaml":             manifest("ConfigMap", "c") + "list: [" + strings.Repeat("{a: [{b: x}]},", 20_000) + "]\n",
			"r.yaml":             "- source: {kind: ConfigMap, fieldPath: metadata.name}\n  targets: [{select: {kind: ConfigMap}, fieldPaths: ['list.*.a.*.b']}]\n",
		})
	}},
}

// bomb has a billion nodes in a few hundred bytes.
var bomb = func() string {
	var b strings.Builder
	b.WriteString("x0: &x0 [a,a,a,a,a,a,a,a,a,a]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "x%d: &x%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i), 10), ","))
	}
	return b.String()
}()

var hostileYAML = []attack{
	{name: "alias bomb", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + bomb}},
	{name: "bomb of merges", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + mergeBomb()}},
	{name: "alias inside its own value", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + "data: &a {b: *a}\n"}},
	{name: "deep lists in one line", files: map[string]string{"a.yaml": strings.Repeat("[", 200_000)}},
	{name: "deep mappings in one line", files: map[string]string{"a.json": strings.Repeat(`{"a":`, 200_000)}},
	{name: "deep blocks", make: func(t *testing.T, dir string) {
		var b strings.Builder
		for i := range 1900 {
			b.WriteString(strings.Repeat(" ", i) + "a:\n")
		}
		lay(t, dir, map[string]string{"a.yaml": b.String()})
	}},
	{name: "a million empty documents", files: map[string]string{"a.yaml": strings.Repeat("---\n", 1_000_000)}},
	{name: "half a million documents", files: map[string]string{"a.yaml": strings.Repeat("---\n{}\n", 500_000)}},
	{name: "file of sixty megabytes", make: func(t *testing.T, dir string) {
		lay(t, dir, nil)
		f, err := os.Create(filepath.Join(dir, "a.yaml"))
		if err == nil {
			err = errorOf(f.Truncate(60<<20), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}},
	{name: "thirty thousand files", make: func(t *testing.T, dir string) {
		files := map[string]string{}
		for i := range 30_000 {
			files[fmt.Sprintf("f%d.yaml", i)] = "#"
		}
		lay(t, dir, files)
	}},
	{name: "folders a thousand deep", files: map[string]string{strings.Repeat("a/", 1000) + "b.yaml": manifest("ConfigMap", "c")}},
	{name: "keys twice", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + "kind: ClusterRoleBinding\n"}},
	{name: "bytes that are no text", files: map[string]string{"a.yaml": "\xff\xfe\x00\x80kind: \x00"}},
	{name: "tags that would make objects", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + "data: !!python/object/apply:os.system ['id']\n"}},
	{name: "numbers without end", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + "spec: {a: 1e999999999, b: " + strings.Repeat("9", 100_000) + "}\n"}},
	{name: "plain text of a megabyte", files: map[string]string{"a.yaml": manifest("ConfigMap", "c") + "x: " + strings.Repeat("a ", 500_000) + "\n"}},
	{name: "schedule that makes the parser spin", files: map[string]string{"a.yaml": cron("', * * * *'")}},
	{name: "schedule of ranges without end", good: true, files: map[string]string{"a.yaml": cron("'" + strings.Repeat("0-59,", 50_000) + "0 * * * *'")}},
	{name: "schedule that only a zone is", files: map[string]string{"a.yaml": cron("'TZ=UTC'")}},
}

func mergeBomb() string {
	var b strings.Builder
	b.WriteString("m0: &m0 {a: 1}\n")
	for i := range 30 {
		fmt.Fprintf(&b, "m%d: &m%d {<<: [*m%d, *m%d], k%d: *m%d}\n", i+1, i+1, i, i, i, i)
	}
	return b.String()
}

func cron(schedule string) string {
	return "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: x}\nspec:\n  schedule: " + schedule +
		"\n  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}\n"
}

func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// template is a repository with one Jinja template.
func template(text string) map[string]string {
	return map[string]string{"a.yaml.j2": text + "\n" + manifest("ConfigMap", "c")}
}

var hostileTemplates = []attack{
	{name: "loops inside loops", files: template("{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}")},
	{name: "loop that prints", files: template("{% for a in range(99999) %}{% for b in range(99999) %}# aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n{% endfor %}{% endfor %}")},
	{name: "macro that calls itself", files: template("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")},
	{name: "two macros that call each other", files: template("{% macro a(n) %}{{ b(n + 1) }}{% endmacro %}{% macro b(n) %}{{ a(n + 1) }}{% endmacro %}{{ a(0) }}")},
	{name: "template that includes itself", files: template("{% include 'a.yaml.j2' %}")},
	{name: "template that extends itself", files: template("{% extends 'a.yaml.j2' %}")},
	{name: "text that doubles", files: template("{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}")},
	{name: "list that doubles", files: template("{% set ns = namespace(l=[1, 2]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}")},
	{name: "text made wide", files: template("{{ 'a'|center(2000000000) }}")},
	{name: "list made long", files: template("{% set x = [0] * 1000000000 %}")},
	{name: "text times a number", files: template("{% set x = 'a' * 8000000000000 %}")},
	{name: "range without end", files: template("{% set x = range(1000000000000)|list %}")},
	{name: "format that is wide", files: template("{{ '%2000000000d' % 1 }}")},
	{name: "power of a power", files: template("{{ 9 ** 9 ** 9 ** 9 }}")},
	{name: "include by an absolute path", files: template("{% include 'CANARY' %}")},
	{name: "include above the root", files: template("{% include '../canary.yaml' %}")},
	{name: "include that may fail", good: true, files: template("{% include ['../canary.yaml', 'CANARY'] ignore missing %}")},
	{name: "import above the root", files: template("{% import '../canary.yaml' as x %}{{ x }}")},
	{name: "classes of Python", files: template("{{ ''.__class__.__mro__[1].__subclasses__() }}")},
	{name: "environment", files: template("{{ env('PATH') }}{{ environ }}{{ lookup('env', 'PATH') }}")},
	{name: "many open braces", files: template(strings.Repeat("{{", 100_000))},
	{name: "expression of many brackets", files: template("{{ " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + " }}")},
	{name: "blocks inside blocks", files: template(strings.Repeat("{% if true %}", 20_000) + strings.Repeat("{% endif %}", 20_000))},
	{name: "filters in a row", files: template("{{ 'a'" + strings.Repeat("|upper", 100_000) + " }}")},
	{name: "template that writes an alias bomb", files: map[string]string{"a.yaml.j2": manifest("ConfigMap", "c") + bomb}},
	{name: "template that writes a kind of rota's own", files: map[string]string{"a.yaml.j2": expansion("template: /etc/passwd", "items: [{A: x}]")}},
}

func expansion(template, parameters string) string {
	return "apiVersion: rota.dev/v1alpha1\nkind: Expansion\nmetadata: {name: e}\nspec:\n  " + template + "\n  parameters:\n    " + parameters + "\n"
}

var hostileExpansions = []attack{
	{name: "matrix without end", files: map[string]string{"e.yaml": expansion("inline: 'a: $a $b $c'", "matrix: {a: {range: {from: 0, to: 99999}}, b: {range: {from: 0, to: 99999}}, c: {range: {from: 0, to: 99999}}}")}},
	{name: "range that overflows", files: map[string]string{"e.yaml": expansion("inline: 'a: $a'", "matrix: {a: {range: {from: -9223372036854775808, to: 9223372036854775807}}}")}},
	{name: "value that would change the document", never: "\nkind: ClusterRoleBinding", good: true, files: map[string]string{"e.yaml": expansion("inline: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: c}\n    data: {a: $A}", `items: [{A: "x}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding"}]`)}},
	{name: "value that would be a key", files: map[string]string{"e.yaml": expansion("inline: |\n    apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: c, $A: x}", `items: [{A: namespace}]`)}},
	{name: "template above the root", files: map[string]string{"e.yaml": expansion("template: ../canary.yaml", "items: [{A: x}]")}},
	{name: "absolute template", files: map[string]string{"e.yaml": expansion("template: CANARY", "items: [{A: x}]")}},
	{name: "parameters above the root", files: map[string]string{"e.yaml": expansion("inline: 'a: $name'", "file: ../canary.yaml")}},
	{name: "table of a hundred thousand columns", files: map[string]string{
		"e.yaml": expansion("inline: 'a: $c1'", "file: p.csv"),
		"p.csv":  strings.Repeat("c,", 100_000) + "c\n" + strings.Repeat("1,", 100_000) + "1\n"}},
	{name: "table with a quote that is never closed", files: map[string]string{"e.yaml": expansion("inline: 'a: $a'", "file: p.csv"), "p.csv": "a\n\"" + strings.Repeat("x\n", 500_000)}},
	{name: "expansion that is its own template", files: map[string]string{"e.yaml": expansion("template: e.yaml", "items: [{A: x}]")}},
	{name: "many large items", make: func(t *testing.T, dir string) {
		lay(t, dir, map[string]string{
			"e.yaml": expansion("template: t.yaml", "matrix: {a: {range: {from: 1, to: 40000}}}"),
			"t.yaml": manifest("ConfigMap", "c$a") + "data: {x: " + strings.Repeat("y", 400_000) + "}\n",
		})
	}},
	{name: "many items of a large value", make: func(t *testing.T, dir string) {
		lay(t, dir, map[string]string{
			"e.yaml": expansion("template: t.yaml", "items: [{A: "+strings.Repeat("y", 400_000)+"}]"),
			"t.yaml": manifest("ConfigMap", "c") + "data:\n" + numbered("  k%d: $A$A$A$A$A$A$A$A$A$A$A$A$A$A$A$A$A$A$A$A\n", 1000),
		})
	}},
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

var hostileOutputs = []attack{
	{name: "commands for a workflow", never: "\n::", files: map[string]string{"a.yaml": manifest("ConfigMap", "x") + "\"\\n::add-mask::x\": 1\nkind: \"\\n::error::y\"\n", "b\n::warning::z.yaml": "a: ["}},
	{name: "sequences for a terminal", never: "\x1b", files: map[string]string{"a.yaml": cron(`"\e]0;owned\a * * * *"`), "b\x1b[2J.yaml": "a: ["}},
	{name: "configuration of the controller", files: map[string]string{"sync.yaml": "apiVersion: rota.dev/v1alpha1\nkind: Sync\nmetadata: {name: evil}\nspec: {source: {directory: {path: /}}}\n"}},
	{name: "membership of another set", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, labels: {applyset.kubernetes.io/part-of: x}}\n"}},
	{name: "records of rota's own", files: map[string]string{"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {rota.dev/cursor: x}}\n"}},
}

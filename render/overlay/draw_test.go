package overlay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/fstest"
)

// drawing is a generated repository: kustomizations, plain objects and
// Expansions, with placeholders in every place that kustomize may look at.
// Its words are few, so that accidental equalities are frequent.
type drawing struct {
	*rand.Rand
	files fstest.MapFS
	// risk is how often something is drawn that often fails, in percent.
	risk int
	// known are the objects of each folder, and below those of the folders that
	// each one builds on: what patches and references name.
	known map[string][]reference
	below map[string][]string
	// at is the folder that is drawn.
	at string
}

func draw(seed uint64) *drawing {
	d := &drawing{Rand: rand.New(rand.NewPCG(seed, 7)), files: fstest.MapFS{}, known: map[string][]reference{}, below: map[string][]string{}}
	d.risk = pick(d, 0, 0, 0, 1, 3)
	d.folder("base")
	other := d.chance(30)
	if other {
		d.folder("other")
	}
	levels := d.IntN(3)
	folder := "base"
	for level := range levels {
		next := fmt.Sprintf("overlay%d", level)
		d.overlay(next, folder, level == 0 && other)
		folder = next
	}
	if levels > 0 && d.chance(5) { // one base by two ways
		d.write("twin/kustomization.yaml", "resources: [../base]\nnamePrefix: twin-\n")
		d.write("top/kustomization.yaml", "resources: [../"+folder+", ../twin]\n"+d.order())
		folder = "top"
	}
	d.write("ROOT", folder)
	return d
}

func (d *drawing) write(file, text string) { d.files[file] = &fstest.MapFile{Data: []byte(text)} }

func (d *drawing) chance(percent int) bool { return d.IntN(100) < percent }

func (d *drawing) risky() bool { return d.chance(d.risk * 8) }

func pick[T any](d *drawing, of ...T) T { return of[d.IntN(len(of))] }

// object returns an object that the folder has, of a kind if there is one, or
// sometimes one that is not there.
func (d *drawing) of(kinds ...string) reference {
	var all, fit []reference
	for _, dir := range append(d.below[d.at], d.at) {
		for _, r := range d.known[dir] {
			all = append(all, r)
			if slices.Contains(kinds, r.kind) {
				fit = append(fit, r)
			}
		}
	}
	switch {
	case d.risk > 0 && d.chance(d.risk), len(all) == 0:
		return reference{pick(d, "Job", "ConfigMap"), pick(d, "cfg", "job", "apple", "job-apple", "dev-job-apple")}
	case len(fit) > 0:
		return pick(d, fit...)
	default:
		return pick(d, all...)
	}
}

func (d *drawing) has(kind string) bool { return d.of(kind).kind == kind }

// name returns a name that objects have or may have.
func (d *drawing) name() string {
	if d.chance(75) {
		return d.of().name
	}
	return pick(d, "cfg", "job", "apple", "job-apple", "cfg-apple", "sa", "web", "gen")
}

// text returns a text with or without a placeholder.
func (d *drawing) text(in bool, of ...string) string {
	for {
		if t := pick(d, of...); in || !strings.Contains(t, "$") {
			return t
		}
	}
}

// folder draws a base.
func (d *drawing) folder(dir string) {
	d.at = dir
	var resources []string
	for i := range 1 + d.IntN(2) {
		file := fmt.Sprintf("plain%d.yaml", i)
		d.write(dir+"/"+file, d.objects(false, 1+d.IntN(3), fmt.Sprintf("%s%d", pick(d, dir+"-web", dir+"-cfg", dir), i)))
		resources = append(resources, file)
	}
	for i := range 1 + d.IntN(2) {
		d.expansion(dir, i)
		resources = append(resources, fmt.Sprintf("items%d.yaml", i))
	}
	d.Shuffle(len(resources), func(i, j int) { resources[i], resources[j] = resources[j], resources[i] })
	text := "resources: [" + strings.Join(resources, ", ") + "]\n"
	if d.chance(15) {
		d.component(dir)
		text += "components: [../" + dir + "-component]\n"
	}
	d.write(dir+"/kustomization.yaml", text+d.generators(dir, false)+d.transformers(dir))
}

func (d *drawing) component(dir string) {
	d.at = dir + "-component"
	defer func() { d.at = dir }()
	d.below[d.at] = []string{dir}
	d.below[dir] = []string{d.at}
	d.write(d.at+"/c.yaml", d.objects(false, 1, d.at))
	d.write(d.at+"/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nresources: [c.yaml]\n"+d.transformers(d.at))
}

func (d *drawing) overlay(dir, on string, other bool) {
	d.at = dir
	d.below[dir] = append(append([]string{on}, d.below[on]...), "other", "other-component")
	text := "resources: [../" + on
	if other {
		text += ", ../other"
	}
	if d.chance(30) {
		text += ", extra.yaml"
		d.write(dir+"/extra.yaml", d.objects(false, 1, "extra-"+dir))
	}
	d.write(dir+"/kustomization.yaml", text+"]\n"+d.generators(dir, true)+d.transformers(dir)+d.order())
}

func (d *drawing) order() string {
	return pick(d, "", "", "sortOptions: {order: fifo}\n", "sortOptions: {order: fifo}\n", "sortOptions: {order: legacy}\n",
		"sortOptions: {order: legacy, legacySortOptions: {orderFirst: [Job], orderLast: [ConfigMap, Service]}}\n")
}

func (d *drawing) expansion(dir string, n int) {
	file := fmt.Sprintf("items%d.yaml", n)
	var items []string
	words := []string{"apple", "banana", "cherry", "plum", "cfg", "job", "1", "2", "yes", "dev", "web", "main", "busybox", "a-b", "x"}
	second := pick(d, []string{"eu", "us"}, []string{"eu", "us", "apple", "1", "busybox:2", "sa"}, []string{"10", "20", "30"})
	d.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	if d.chance(4) {
		words[0] = pick(d, `"a, b"`, `"é"`, `"a b"`, `"0x1f"`, `"x\ny"`, `"a\u0085b"`, `"$(VAR)"`, `""`)
	}
	count := 2 + d.IntN(6)
	for i := range count {
		items = append(items, fmt.Sprintf("{A: %s, B: %q, N: %d}", words[i], pick(d, second...), pick(d, 1, 2, 3, i, 9_007_199_254_740_993)))
	}
	patterns := []string{fmt.Sprintf("%s%d-$A", dir, n)}
	if n == 0 && dir == "base" || d.risky() {
		patterns = append(patterns, "job-$A", "$A", "cfg-$A", "$A-job", "${B}-$A")
	}
	pattern := pick(d, patterns...)
	before := len(d.known[dir])
	template := d.objects(true, 1+d.IntN(2), pattern)
	made := slices.Clone(d.known[dir][before:])
	d.known[dir] = d.known[dir][:before]
	for _, item := range words[:count] {
		for _, r := range made {
			d.known[dir] = append(d.known[dir], reference{r.kind, strings.ReplaceAll(strings.ReplaceAll(pattern, "$A", item), "${B}", "eu")})
		}
	}
	d.write(fmt.Sprintf("%s/template%d.txt.yaml", dir, n), template)
	d.write(dir+"/"+file, fmt.Sprintf("apiVersion: rota.dev/v1alpha1\nkind: Expansion\nmetadata: {name: e%d}\nspec:\n  template: template%d.txt.yaml\n  parameters:\n    items: [%s]\n", n, n, strings.Join(items, ", ")))
}

// objects draws a file of n objects.
func (d *drawing) objects(in bool, n int, name string) string {
	var docs []string
	kinds := []string{"Job", "ConfigMap", "CronJob", "Secret", "Service", "ServiceAccount", "Deployment", "RoleBinding", "Widget", "ValidatingWebhookConfiguration"}
	if !in {
		kinds = append(kinds, "Namespace")
	}
	d.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	if in {
		first := pick(d, "Job", "Job", "Job", "Job", "CronJob", "ConfigMap", "Deployment", kinds[0])
		kinds = append([]string{first}, slices.DeleteFunc(kinds, func(kind string) bool { return kind == first })...)
	}
	for i := range n {
		own := name
		if !in && i > 0 {
			own = fmt.Sprintf("%s-%d", name, i)
		}
		doc := d.object(in, kinds[i], own)
		if !strings.Contains(doc, "namespace:") {
			d.known[d.at] = append(d.known[d.at], reference{kinds[i], own})
		}
		docs = append(docs, doc)
	}
	return strings.Join(docs, "---\n")
}

func (d *drawing) object(in bool, kind, name string) string {
	meta := fmt.Sprintf("name: %q", name)
	if d.chance(8) {
		meta += ", namespace: " + d.text(in, "one", "two", "default", "ns-$B")
	}
	if d.chance(50) {
		meta += fmt.Sprintf(", labels: {app: %q, tier: %q}", d.text(in, "web", "$A", name, "x"), d.text(in, "$B", "front", "$N", "eu"))
	}
	switch {
	case d.risky():
		meta += ", annotations: {config.kubernetes.io/local-config: 'true'}"
	case d.chance(25):
		meta += fmt.Sprintf(", annotations: {note: %q, %s: %q}", d.text(in, "on $A", "plain", "$B"), d.text(in, "team", "owner", "team-$A", "team"), d.text(in, "$N", "web", name))
	}
	version, body := "v1", ""
	switch kind {
	case "Job":
		version, body = "batch/v1", fmt.Sprintf("spec:\n  parallelism: %s\n  template:\n    spec:\n%s", d.text(in, "1", "2", "$N"), d.pod(in, "      "))
	case "CronJob":
		version, body = "batch/v1", fmt.Sprintf("spec:\n  schedule: %q\n  jobTemplate:\n    spec:\n      template:\n        spec:\n%s", d.text(in, "0 * * * *", "$N * * * *"), d.pod(in, "          "))
	case "Deployment":
		version, body = "apps/v1", fmt.Sprintf("spec:\n  replicas: %s\n  selector: {matchLabels: {app: %q}}\n  template:\n    metadata: {labels: {app: %q}}\n    spec:\n%s", d.text(in, "1", "$N"), d.text(in, "web", "$A"), d.text(in, "web", "$A"), d.pod(in, "      "))
	case "ConfigMap":
		body = fmt.Sprintf("data: {key: %q, %s: %q, image: %q}", d.text(in, "$A", "web", "cfg-$A", "v"), d.text(in, "k", "k", "k-$A"), d.text(in, "a", "$B"), d.text(in, "busybox", "$A"))
	case "Secret":
		body = fmt.Sprintf("stringData: {key: %q}", d.text(in, "$A", "s"))
	case "Service":
		meta = strings.ReplaceAll(meta, "ns-$B", "$B")
		body = fmt.Sprintf("spec: {selector: {app: %q}, ports: [{name: %q, port: %s}]}", d.text(in, "web", "$A"), d.text(in, "http", "$A"), d.text(in, "80", "$N"))
	case "RoleBinding":
		version, body = "rbac.authorization.k8s.io/v1", fmt.Sprintf("roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %q}\nsubjects: [{kind: ServiceAccount, name: %q, namespace: %q}]",
			d.text(in, "web", "$A"), d.text(in, "sa", "$A", "default", name), d.text(in, "default", "one", "$B"))
	case "ValidatingWebhookConfiguration":
		version, body = "admissionregistration.k8s.io/v1", fmt.Sprintf("webhooks: [{name: w, clientConfig: {service: {name: %q, namespace: %q}}}]", d.text(in, "base-web0", "web", "$A"), d.text(in, "one", "ns-$B", "$B", "default"))
	case "Widget":
		version, body = "example.com/v1", fmt.Sprintf("spec: {config: %q, list: [%q, %q]}", d.text(in, "cfg", "cfg-$A", "$A"), d.text(in, "a", "$A"), d.text(in, "b", "$B"))
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {%s}\n%s\n", version, kind, meta, body)
}

func (d *drawing) pod(in bool, indent string) string {
	lines := []string{"restartPolicy: Never"}
	if d.chance(25) {
		lines = append(lines, fmt.Sprintf("serviceAccountName: %q", d.text(in, "sa", "web", "$A", "sa-$A")))
	}
	lines = append(lines, "containers:")
	for i := range 1 + d.IntN(2) {
		lines = append(lines, fmt.Sprintf("- name: %q", d.text(in, fmt.Sprintf("c%d", i), fmt.Sprintf("c%d", i), fmt.Sprintf("c%d-$A", i))),
			fmt.Sprintf("  image: %q", d.text(in, "busybox", "busybox:1", "repo/$A:1", "$A", "$B", "nginx")),
			fmt.Sprintf("  command: [sh, -c, %q]", d.text(in, "echo $A $HOME", "true", "run $N ${B}")))
		if d.chance(50) {
			lines = append(lines, fmt.Sprintf("  env: [{name: ITEM, value: %q}, {name: %q, value: %q}]", d.text(in, "$A", "v", "$(VAR)", "$(VAR)-$A"), d.text(in, "OTHER", "OTHER", "X-$B"), d.text(in, "$B", "w", "$N")))
		}
		if d.chance(40) {
			lines = append(lines, fmt.Sprintf("  envFrom: [{configMapRef: {name: %q}}]", d.text(in, "cfg", "cfg", "cfg-$A", "$A", "web", "gen", "gen-$A", "gen-$A")))
		}
	}
	if d.chance(20) {
		lines = append(lines, fmt.Sprintf("volumes: [{name: %q, configMap: {name: %q}}, {name: s, secret: {secretName: %q}}]", d.text(in, "v", "$A"), d.text(in, "cfg", "gen", "cfg-$A"), d.text(in, "sec", "$A")))
	}
	return indent + strings.Join(lines, "\n"+indent)
}

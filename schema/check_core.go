package schema

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// mostData is what a ConfigMap or a Secret holds.
const mostData = 1 << 20

// persistentSources are where a PersistentVolume can be. The first one does not
// exclude the others.
var persistentSources = []string{"flexVolume", "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "nfs", "iscsi", "glusterfs", "rbd", "cinder", "cephfs", "flocker", "fc", "azureFile",
	"vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "csi", "local"}

// coreChecks follow Kubernetes' pkg/apis/core/validation for objects that are
// no Pods.
var coreChecks = map[string][]check{
	"core.v1.Pod":                   {needed("spec"), whole((*validator).wholePod)},
	"core.v1.ConfigMap":             {whole((*validator).configMap)},
	"core.v1.Secret":                {whole((*validator).secret)},
	"core.v1.NamespaceSpec":         {eachWritten(finalizer, "finalizers")},
	"core.v1.PersistentVolumeClaim": {needed("spec")},
	"core.v1.PersistentVolume":      {needed("spec")},
	"core.v1.PersistentVolumeSpec": {needed("accessModes", "capacity"), written(dnsSubdomain, "storageClassName"), worded("volumeMode", "Block", "Filesystem"),
		mostOne(persistentSources[1:]...),
		whole((*validator).persistentVolume)},
	"core.v1.LocalVolumeSource":  {filled("path"), written(noBacksteps, "path")},
	"core.v1.VolumeNodeAffinity": {needed("required")},
	"core.v1.ResourceQuotaSpec":  {whole((*validator).quota)},
	"core.v1.LimitRangeSpec":     {whole((*validator).limitRange)},
	"core.v1.LimitRangeItem":     {filled("type"), wordedIfAny("type", "Pod", "Container", "PersistentVolumeClaim"), whole((*validator).limitRangeItem)},
}

// wholePod checks what holds for a Pod and not for a template of Pods.
func (v *validator) wholePod(pod map[string]any, at *place) {
	spec := mapOf(pod, "spec")
	at = at.field("spec")
	if given(spec, "ephemeralContainers") {
		v.fail("R083", at.field("ephemeralContainers"), "ephemeral containers are added to a running Pod", "Remove them.")
	}
}

func (v *validator) dataKeys(m map[string]any, at *place, names ...string) (size int) {
	for _, name := range names {
		for key, value := range mapOf(m, name) {
			if !dataKey.good(v.memo, key) {
				v.fail("R079", at.field(name).key(key), fmt.Sprintf("%q is no key of data", key), dataKey.mend)
			}
			text, _ := value.(string)
			if name == "data" && v.key.Kind == "Secret" || name == "binaryData" {
				size += base64.StdEncoding.DecodedLen(len(text)) - 2
			} else {
				size += len(text)
			}
		}
	}
	return size
}

func (v *validator) configMap(m map[string]any, at *place) {
	size := v.dataKeys(m, at, "data", "binaryData")
	for key := range mapOf(m, "data") {
		if has(mapOf(m, "binaryData"), key) {
			v.fail("R077", at.field("binaryData").key(key), "the key is in data, too", "Remove one of the two.")
		}
	}
	v.fits(size, at)
}

func (v *validator) fits(size int, at *place) {
	if size > mostData {
		v.fail("R073", at.field("data"), fmt.Sprintf("the data has %d bytes; at most %d are stored", size, mostData), "Split it, or keep large data elsewhere.")
	}
}

// secretKeys are what the types of Secrets must have.
var secretKeys = map[string][]string{
	"kubernetes.io/dockercfg":        {".dockercfg"},
	"kubernetes.io/dockerconfigjson": {".dockerconfigjson"},
	"kubernetes.io/ssh-auth":         {"ssh-privatekey"},
	"kubernetes.io/tls":              {"tls.crt", "tls.key"},
}

func (v *validator) secret(m map[string]any, at *place) {
	v.fits(v.dataKeys(m, at, "data", "stringData"), at)
	kind := textOf(m, "type")
	data, texts := mapOf(m, "data"), mapOf(m, "stringData")
	for _, key := range secretKeys[kind] {
		if !has(data, key) && !has(texts, key) {
			v.fail("R072", at.field("data").key(key), "a Secret of the type "+kind+" needs the key", "Add it.")
			continue
		}
		if strings.HasPrefix(key, ".docker") {
			text, plain := texts[key].(string)
			if !plain {
				decoded, err := base64.StdEncoding.DecodeString(textOf(data, key))
				if err != nil {
					continue
				}
				text = string(decoded)
			}
			if !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimSpace(text), "{") && strings.TrimSpace(text) != "null" {
				// The value is secret, so it is not repeated.
				v.fail("R079", at.field(map[bool]string{true: "stringData", false: "data"}[plain]).key(key), "the value is no JSON object", "Write what docker login writes.")
			}
		}
	}
	annotations := mapOf(mapOf(m, "metadata"), "annotations")
	switch {
	case kind == "kubernetes.io/basic-auth" && !has(data, "username") && !has(data, "password") && !has(texts, "username") && !has(texts, "password"):
		v.fail("R072", at.field("data"), "a Secret of the type "+kind+" needs the key username or password", "Add one.")
	case kind == "kubernetes.io/service-account-token" && textOf(annotations, "kubernetes.io/service-account.name") == "":
		v.fail("R072", at.fields("metadata", "annotations").key("kubernetes.io/service-account.name"), "a Secret of the type "+kind+" needs the annotation", "Add it.")
	}
}

func (v *validator) persistentVolume(spec map[string]any, at *place) {
	if !slices.ContainsFunc(persistentSources, func(name string) bool { return has(spec, name) }) {
		v.fail("R078", at, "none of the fields is set that say where the volume is, such as csi, nfs or hostPath", "Set one of them.")
	}
	for i, mode := range texts(spec["accessModes"]) {
		if mode == "" {
			v.word(mode, accessModes, at.field("accessModes").item(i))
		}
	}
	capacity := mapOf(spec, "capacity")
	switch amount := v.amount(capacity["storage"]); {
	case has(spec, "capacity") && !has(capacity, "storage"):
		v.fail("R072", at.field("capacity").key("storage"), "the volume does not say how much storage it has", "Add capacity.storage.")
	case amount != nil && amount.Sign() <= 0:
		v.fail("R073", at.field("capacity").key("storage"), fmt.Sprintf("wants more than 0, not %v", capacity["storage"]), "")
	}
	for name := range capacity {
		if name != "storage" {
			v.word(name, []string{"storage"}, at.field("capacity").key(name))
		}
	}
	if has(spec, "volumeAttributesClassName") && !has(spec, "csi") {
		v.fail("R081", at.field("volumeAttributesClassName"), "volumeAttributesClassName needs csi", "Remove it.")
	}
}

var quotaResources = []string{"cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
	"limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers"}

func (v *validator) quota(spec map[string]any, at *place) {
	for name, value := range mapOf(spec, "hard") {
		at := at.field("hard").key(name)
		switch {
		case !v.memo.qualifiedName(name):
			v.fail("R063", at, fmt.Sprintf("%q is no name of a resource", name), "Correct it.")
		case !strings.Contains(name, "/") && !strings.HasPrefix(name, "hugepages-") && !strings.HasPrefix(name, "requests.hugepages-"):
			v.word(name, quotaResources, at)
		}
		switch amount := v.amount(value); {
		case amount == nil:
		case amount.Sign() < 0:
			v.fail("R073", at, fmt.Sprintf("wants at least 0, not %v", value), "")
		case (strings.Contains(name, "/") || slices.Contains(quotaResources[10:], name)) && amount.MilliValue()%1000 != 0:
			v.fail("R073", at, fmt.Sprintf("wants a whole number, not %v", value), "")
		}
	}
	scopes := texts(spec["scopes"])
	for i, scope := range scopes {
		at := at.field("scopes").item(i)
		if scope == "" {
			v.fail("R070", at, "the scope is empty", "Remove it.")
		}
		if other, ok := strings.CutPrefix(scope, "Not"); ok && slices.Contains(scopes, other) {
			v.fail("R078", at, other+" excludes "+scope, "Remove one of the two.")
		}
		for name := range mapOf(spec, "hard") {
			if slices.Contains(quotaResources, name) && !scoped(scope, name) {
				v.fail("R081", at, fmt.Sprintf("the scope %s has no %s", scope, name), "Remove the resource, or put it into another quota.")
			}
		}
	}
}

// scoped reports whether a scope can count a resource.
func scoped(scope, name string) bool {
	if name == "pods" {
		return true
	}
	switch scope {
	case "Terminating", "NotTerminating", "NotBestEffort", "PriorityClass":
		return slices.Contains([]string{"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}, name)
	case "CrossNamespacePodAffinity":
		return slices.Contains([]string{"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}, name)
	case "BestEffort":
		return false
	}
	return true
}

func (v *validator) limitRange(spec map[string]any, at *place) {
	first := map[string]bool{}
	for i, item := range mappings(listOf(spec, "limits")) {
		name := textOf(item, "type")
		if name != "" && first[name] {
			v.fail("R077", at.field("limits").item(i).field("type"), fmt.Sprintf("there is a limit of the type %s already", name), "Merge the two.")
		}
		first[name] = true
	}
}

func (v *validator) limitRangeItem(m map[string]any, at *place) {
	kind := textOf(m, "type")
	groups := []string{"min", "max", "default", "defaultRequest", "maxLimitRequestRatio"}
	for _, group := range groups {
		if kind == "Pod" && strings.HasPrefix(group, "default") && len(mapOf(m, group)) > 0 {
			v.fail("R083", at.field(group), "a limit of the type Pod has no defaults", "Remove them.")
		}
		for name := range mapOf(m, group) {
			at := at.field(group).key(name)
			if kind == "Pod" || kind == "Container" {
				v.resourceName(name, at)
			} else if !v.memo.qualifiedName(name) || !strings.Contains(name, "/") && !slices.Contains(append([]string{"storage"}, quotaResources...), name) && !strings.HasPrefix(name, "hugepages-") {
				v.fail("R070", at, fmt.Sprintf("%q is no resource", name), "Correct it.")
			}
		}
	}
	if kind == "PersistentVolumeClaim" && !has(mapOf(m, "min"), "storage") && !has(mapOf(m, "max"), "storage") {
		v.fail("R072", at, "neither min.storage nor max.storage is set", "Set one of them.")
	}
	amount := func(group, name string) *resource.Quantity { return v.amount(mapOf(m, group)[name]) }
	ordered := func(lower, higher string) {
		for name := range mapOf(m, lower) {
			if a, b := amount(lower, name), amount(higher, name); a != nil && b != nil && a.Cmp(*b) > 0 {
				v.fail("R085", at.field(lower).key(name), fmt.Sprintf("%s %s is more than %s %s", lower, a, higher, b), "Correct one of the two.")
			}
		}
	}
	for _, pair := range [][2]string{{"min", "max"}, {"min", "defaultRequest"}, {"min", "default"}, {"defaultRequest", "default"}, {"defaultRequest", "max"}, {"default", "max"}} {
		ordered(pair[0], pair[1])
	}
	for name := range mapOf(m, "maxLimitRequestRatio") {
		v.ratio(name, amount("maxLimitRequestRatio", name), amount("min", name), amount("max", name), at)
	}
}

func (v *validator) ratio(name string, ratio, least, most *resource.Quantity, at *place) {
	at = at.field("maxLimitRequestRatio").key(name)
	switch {
	case ratio == nil:
	case ratio.AsApproximateFloat64() < 1:
		v.fail("R073", at, fmt.Sprintf("wants at least 1, not %s", ratio), "")
	case least != nil && most != nil && ratio.AsApproximateFloat64() > most.AsApproximateFloat64()/least.AsApproximateFloat64():
		v.fail("R085", at, fmt.Sprintf("the ratio %s is more than that of max and min", ratio), "Lower it.")
	}
}

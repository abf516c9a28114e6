package schema

import (
	"fmt"
	"slices"
)

// volumeSources are the fields of which a volume has one. Those that no release
// supports any more are refused by nobody, and told of by nobody.
var volumeSources = []string{
	"emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi", "glusterfs", "persistentVolumeClaim", "rbd",
	"flexVolume", "cinder", "cephfs", "flocker", "downwardAPI", "fc", "azureFile", "configMap", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk",
	"projected", "portworxVolume", "scaleIO", "storageos", "csi", "ephemeral", "image",
}

// volumeChecks follow validateVolumeSource and ValidatePersistentVolumeClaimSpec
// of Kubernetes' pkg/apis/core/validation.
var volumeChecks = map[string][]check{
	"core.v1.Volume":                            {filled("name"), written(dnsLabel, "name"), mostOne(volumeSources...)},
	"core.v1.EmptyDirVolumeSource":              {whole((*validator).emptyDir)},
	"core.v1.HostPathVolumeSource":              {filled("path"), written(noBacksteps, "path")},
	"core.v1.SecretVolumeSource":                {needed("secretName"), between(0, 0o777, "defaultMode")},
	"core.v1.ConfigMapVolumeSource":             {needed("name"), between(0, 0o777, "defaultMode")},
	"core.v1.KeyToPath":                         {filled("key", "path"), written(localPath, "path"), between(0, 0o777, "mode")},
	"core.v1.DownwardAPIVolumeSource":           {between(0, 0o777, "defaultMode")},
	"core.v1.DownwardAPIVolumeFile":             {filled("path"), written(localPath, "path"), between(0, 0o777, "mode"), exactlyOne("fieldRef", "resourceFieldRef"), whole((*validator).volumeFile)},
	"core.v1.ProjectedVolumeSource":             {between(0, 0o777, "defaultMode"), whole((*validator).projected)},
	"core.v1.VolumeProjection":                  {mostOne("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")},
	"core.v1.SecretProjection":                  {needed("name")},
	"core.v1.ConfigMapProjection":               {needed("name")},
	"core.v1.ServiceAccountTokenProjection":     {filled("path"), written(localPath, "path"), between(600, 1<<32, "expirationSeconds")},
	"core.v1.ClusterTrustBundleProjection":      {exactlyOne("name", "signerName"), filled("path"), written(localPath, "path")},
	"core.v1.PersistentVolumeClaimVolumeSource": {filled("claimName")},
	"core.v1.NFSVolumeSource":                   {filled("server", "path"), written(absolutePath, "path")},
	"core.v1.CSIVolumeSource":                   {filled("driver"), written(driverName, "driver"), whole((*validator).publishSecret)},
	"core.v1.CephFSVolumeSource":                {filled("monitors")},
	"core.v1.RBDVolumeSource":                   {filled("monitors", "image")},
	"core.v1.FCVolumeSource":                    {exactlyOne("targetWWNs", "wwids")},
	"core.v1.FlockerVolumeSource":               {exactlyOne("datasetName", "datasetUUID")},
	"core.v1.ISCSIVolumeSource":                 {filled("targetPortal", "iqn"), written(qualifiedTarget, "iqn"), between(0, 255, "lun")},
	"core.v1.ScaleIOVolumeSource":               {needed("volumeName")},
	"core.v1.StorageOSVolumeSource":             {needed("volumeName")},
	"core.v1.EphemeralVolumeSource":             {needed("volumeClaimTemplate")},
	"core.v1.ImageVolumeSource":                 {needed("reference")},
	"core.v1.PersistentVolumeClaimTemplate":     {whole((*validator).claimTemplate)},
	"core.v1.TypedLocalObjectReference":         {whole((*validator).dataSource)},
	"core.v1.TypedObjectReference":              {whole((*validator).dataSource)},
	"core.v1.PersistentVolumeClaimSpec":         {needed("accessModes"), written(dnsSubdomain, "storageClassName", "volumeAttributesClassName"), worded("volumeMode", "Block", "Filesystem"), whole((*validator).claim)},
}

func (v *validator) emptyDir(m map[string]any, at *place) {
	if limit := v.amount(m["sizeLimit"]); limit != nil && limit.Sign() < 0 {
		v.fail("R073", at.field("sizeLimit"), fmt.Sprintf("wants at least 0, not %v", m["sizeLimit"]), "")
	}
}

func (v *validator) volumeFile(m map[string]any, at *place) {
	v.fieldOfPod(mapOf(m, "fieldRef"), volumeFields, at.field("fieldRef"))
	if ref, ok := m["resourceFieldRef"].(map[string]any); ok && textOf(ref, "containerName") == "" {
		v.fail("R072", at.fields("resourceFieldRef", "containerName"), "a volume must say which container is meant", "Add containerName.")
	}
}

// projected checks that no two sources write the same file.
func (v *validator) projected(m map[string]any, at *place) {
	taken := map[string]*place{}
	for i, source := range mappings(listOf(m, "sources")) {
		for _, kind := range []string{"secret", "configMap", "downwardAPI"} {
			for j, item := range mappings(listOf(mapOf(source, kind), "items")) {
				file := textOf(item, "path")
				at := at.field("sources").item(i).field(kind).field("items").item(j).field("path")
				if other, twice := taken[file]; twice && file != "" {
					v.fail("R077", at, fmt.Sprintf("%s is written by %s already", file, other), "Use another path.")
					continue
				}
				taken[file] = at
			}
		}
	}
}

func (v *validator) publishSecret(m map[string]any, at *place) {
	if ref, ok := m["nodePublishSecretRef"].(map[string]any); ok {
		needed("name").on(v, ref, at.field("nodePublishSecretRef"))
		written(dnsSubdomain, "name").on(v, ref, at.field("nodePublishSecretRef"))
	}
}

// claimTemplate becomes a claim that the Pod gives its name.
func (v *validator) claimTemplate(template map[string]any, at *place) {
	v.metadata(template, at)
	for name, value := range mapOf(template, "metadata") {
		if list, ok := value.([]any); ok && len(list) == 0 && name != "finalizers" && name != "ownerReferences" && name != "managedFields" {
			continue
		}
		if name != "labels" && name != "annotations" && value != "" && (name != "generation" || value != int64(0)) {
			v.fail("R083", at.field("metadata").field(name), "the claim gets its "+name+" when the Pod is made", "Remove it.")
		}
	}
}

// dataSource says what a claim is filled from: of the core only another claim.
// In a claim that is applied by itself the API server drops what it cannot use.
func (v *validator) dataSource(ref map[string]any, at *place) {
	severity := SeverityError
	if v.key.Kind == "PersistentVolumeClaim" && (at.name == "dataSource" || textOf(ref, "namespace") != "") {
		severity = SeverityWarning
	}
	for _, name := range []string{"kind", "name"} {
		if text, ok := ref[name].(string); !has(ref, name) || ok && text == "" {
			v.say(severity, "R072", at.field(name), "the field is missing", "Add it.")
		}
	}
	group, kind := textOf(ref, "apiGroup"), textOf(ref, "kind")
	switch {
	case group == "" && kind != "" && kind != "PersistentVolumeClaim":
		v.say(severity, "R070", at.field("kind"), fmt.Sprintf("without apiGroup a claim is filled from a PersistentVolumeClaim, not from a %s", kind), "Add apiGroup, such as snapshot.storage.k8s.io.")
	case group != "" && !dnsSubdomain.good(v.memo, group):
		v.say(severity, "R060", at.field("apiGroup"), fmt.Sprintf("%q is no API group", group), dnsSubdomain.mend)
	}
}

var accessModes = []string{"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}

// claim checks the spec of a PersistentVolumeClaim, also of one in a template.
func (v *validator) claim(spec map[string]any, at *place) {
	modes := texts(spec["accessModes"])
	for i, mode := range modes {
		if mode == "" || !slices.Contains(accessModes, mode) {
			v.word(mode, accessModes, at.field("accessModes").item(i))
		}
	}
	if len(modes) > 1 && slices.Contains(modes, "ReadWriteOncePod") {
		v.fail("R078", at.field("accessModes"), "ReadWriteOncePod excludes other modes", "Remove the others.")
	}
	at = at.fields("resources", "requests")
	value, ok := mapOf(mapOf(spec, "resources"), "requests")["storage"]
	if amount := v.amount(value); !ok {
		v.fail("R072", at.key("storage"), "the claim does not say how much storage it wants", "Add resources.requests.storage.")
	} else if amount != nil && amount.Sign() <= 0 {
		v.fail("R073", at.key("storage"), fmt.Sprintf("wants more than 0, not %v", value), "")
	}
}

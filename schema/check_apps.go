package schema

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// appsChecks follow Kubernetes' pkg/apis/apps/validation.
var appsChecks = map[string][]check{
	"apps.v1.Deployment":  {needed("spec")},
	"apps.v1.StatefulSet": {needed("spec")},
	"apps.v1.DaemonSet":   {needed("spec")},
	"apps.v1.ReplicaSet":  {needed("spec")},
	"apps.v1.DeploymentSpec": {least(0, "replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"),
		whole((*validator).controlled), whole((*validator).deployment)},
	"apps.v1.DeploymentStrategy":      {whole((*validator).rolling)},
	"apps.v1.RollingUpdateDeployment": {share("maxSurge", 0), share("maxUnavailable", 100), oneMoves("25%")},
	"apps.v1.StatefulSetSpec": {least(0, "replicas", "minReadySeconds"), wordedIfAny("podManagementPolicy", "OrderedReady", "Parallel"),
		written(dnsLabel, "serviceName"), whole((*validator).controlled)},
	"apps.v1.StatefulSetOrdinals":                             {least(0, "start")},
	"apps.v1.StatefulSetUpdateStrategy":                       {whole((*validator).rolling)},
	"apps.v1.RollingUpdateStatefulSetStrategy":                {least(0, "partition"), share("maxUnavailable", 100), whole((*validator).someUnavailable)},
	"apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {wordedIfAny("whenDeleted", "Retain", "Delete"), wordedIfAny("whenScaled", "Retain", "Delete")},
	"apps.v1.DaemonSetSpec":                                   {least(0, "minReadySeconds", "revisionHistoryLimit"), whole((*validator).controlled)},
	"apps.v1.DaemonSetUpdateStrategy":                         {whole((*validator).rolling)},
	"apps.v1.RollingUpdateDaemonSet":                          {share("maxSurge", 100), share("maxUnavailable", 100), whole((*validator).oneOfSurge)},
	"apps.v1.ReplicaSetSpec":                                  {least(0, "replicas", "minReadySeconds"), whole((*validator).controlled)},
	"core.v1.ReplicationControllerSpec":                       {least(0, "replicas", "minReadySeconds"), whole((*validator).replicationController)},
	"core.v1.ReplicationController":                           {needed("spec")},
	"core.v1.PodTemplate":                                     {needed("template")},
}

// controlled checks a controller's selector and template against each other.
func (v *validator) controlled(spec map[string]any, at *place) {
	template, made := spec["template"].(map[string]any)
	if selector, ok := spec["selector"].(map[string]any); ok && (made || !has(spec, "template")) {
		v.selects(selector, mapOf(mapOf(template, "metadata"), "labels"), at.field("selector"), at.fields("template", "metadata", "labels"))
	}
	if !has(spec, "template") {
		v.fail("R072", at.field("template"), "the field is missing", "Add the template of the Pods.")
	}
	v.alwaysRestarted(template, at.field("template"))
}

// alwaysRestarted checks the Pods of controllers that keep them running.
func (v *validator) alwaysRestarted(template map[string]any, at *place) {
	pod := mapOf(template, "spec")
	at = at.field("spec")
	if policy := textOf(pod, "restartPolicy"); policy == "Never" || policy == "OnFailure" {
		v.fail("R064", at.field("restartPolicy"), fmt.Sprintf("the Pods of a %s are restarted for ever, so that only Always is possible", v.key.Kind), "Write Always, remove the field, or use a Job.")
	}
	if has(pod, "activeDeadlineSeconds") {
		v.fail("R083", at.field("activeDeadlineSeconds"), fmt.Sprintf("the Pods of a %s have no deadline", v.key.Kind), "Remove it, or use a Job.")
	}
}

func (v *validator) replicationController(spec map[string]any, at *place) {
	template := mapOf(spec, "template")
	labels := mapOf(mapOf(template, "metadata"), "labels")
	if selector, ok := spec["selector"].(map[string]any); ok && len(selector) > 0 {
		v.selects(map[string]any{"matchLabels": selector}, labels, at.field("selector"), at.fields("template", "metadata", "labels"))
	} else if len(labels) == 0 {
		v.fail("R072", at.field("selector"), "there is neither a selector nor a label in the template", "Add labels to the template.")
	}
	if !has(spec, "template") {
		v.fail("R072", at.field("template"), "the field is missing", "Add the template of the Pods.")
	}
	v.alwaysRestarted(template, at.field("template"))
}

func (v *validator) deployment(spec map[string]any, at *place) {
	deadline, given := intOf(spec, "progressDeadlineSeconds")
	if !given {
		deadline = 600
	}
	if ready, _ := intOf(spec, "minReadySeconds"); deadline >= 0 && ready >= deadline && (given || ready > 0) {
		v.fail("R081", at.field("progressDeadlineSeconds"), fmt.Sprintf("the deadline of %d s is not more than minReadySeconds, %d s", deadline, ready), "Raise it.")
	}
}

// rolling checks that only a rolling update is configured as one.
func (v *validator) rolling(strategy map[string]any, at *place) {
	if kind := textOf(strategy, "type"); has(strategy, "rollingUpdate") && kind != "" && kind != "RollingUpdate" {
		v.fail("R078", at.field("rollingUpdate"), fmt.Sprintf("the type %s excludes rollingUpdate", kind), "Remove one of the two.")
	}
}

// share checks a number of Pods or a percentage; most bounds the latter unless
// it is zero.
func share(name string, most int) check {
	return check{fields: []string{name}, value: func(v *validator, value any, at *place) {
		switch value := value.(type) {
		case int64:
			if value < 0 {
				v.fail("R073", at, fmt.Sprintf("wants at least 0, not %d", value), "")
			}
		case string:
			percent, ok := percentage(value)
			switch {
			case !ok:
				v.fail("R079", at, fmt.Sprintf("%q is neither a number nor a percentage", value), "Write 1 or 25%.")
			case most > 0 && percent > most:
				v.fail("R073", at, fmt.Sprintf("wants at most %d%%, not %s", most, value), "")
			}
		}
	}}
}

func percentage(text string) (int, bool) {
	if len(validation.IsValidPercent(text)) > 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	return n, err == nil
}

// none reports whether a number of Pods is zero. Absent it is what the API
// server fills in.
func none(m map[string]any, name string, absent any) bool {
	value, ok := m[name]
	if !ok {
		value = absent
	}
	switch value := value.(type) {
	case int64:
		return value == 0
	case string:
		percent, ok := percentage(value)
		return ok && percent == 0
	}
	return false
}

// oneMoves demands that a Deployment may have a Pod more or one less.
func oneMoves(absent string) check {
	return whole(func(v *validator, m map[string]any, at *place) {
		if none(m, "maxSurge", absent) && none(m, "maxUnavailable", absent) {
			v.fail("R081", at.field("maxUnavailable"), "with neither a Pod more nor one less no update can begin", "Raise maxSurge or maxUnavailable.")
		}
	})
}

func (v *validator) oneOfSurge(m map[string]any, at *place) {
	surge, unavailable := !none(m, "maxSurge", int64(0)), !none(m, "maxUnavailable", int64(1))
	switch {
	case surge && unavailable:
		v.fail("R078", at.field("maxSurge"), "maxUnavailable, which is 1 unless it is set, excludes maxSurge", "Set maxUnavailable: 0, or remove maxSurge.")
	case !surge && !unavailable:
		v.fail("R081", at.field("maxUnavailable"), "with neither a Pod more nor one less no update can begin", "Raise maxSurge or maxUnavailable.")
	}
}

func (v *validator) someUnavailable(m map[string]any, at *place) {
	if none(m, "maxUnavailable", int64(1)) {
		v.fail("R073", at.field("maxUnavailable"), "with no Pod less no update can begin", "Raise it.")
	}
}

// claimedVolumes returns the volumes that a StatefulSet makes of its claims.
func claimedVolumes(key Key, object map[string]any) []volume {
	if key.Kind != "StatefulSet" || key.Group != "apps" {
		return nil
	}
	var all []volume
	for _, claim := range mappings(listOf(mapOf(object, "spec"), "volumeClaimTemplates")) {
		if name := textOf(mapOf(claim, "metadata"), "name"); name != "" {
			all = append(all, volume{name, true})
		}
	}
	return all
}

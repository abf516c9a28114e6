package schema

import (
	"cmp"
	"fmt"
	"slices"
)

// accounts warns of Pods whose service account may give itself more than it has,
// or may do everything: whoever can change the Job, or breaks into its
// container, can do the same. Only what the repository binds is known.
func (l *linter) accounts() {
	grants := map[Key]string{}
	roles := map[Key]Object{}
	for _, o := range l.objects {
		if o.Key().Group == rbac && (o.GetKind() == "Role" || o.GetKind() == "ClusterRole") {
			roles[o.Key()] = o
		}
	}
	for _, o := range l.objects {
		power := powerOf(o, roles)
		if power == "" {
			continue
		}
		for _, subject := range mappings(listOf(o.Object, "subjects")) {
			if textOf(subject, "kind") != "ServiceAccount" {
				continue
			}
			account := Key{Kind: "ServiceAccount", Namespace: cmp.Or(textOf(subject, "namespace"), o.GetNamespace()), Name: textOf(subject, "name")}
			if grants[account] == "" {
				grants[account] = fmt.Sprintf("which the %s %s (%s) lets %s", o.GetKind(), o.GetName(), o.Origin, power)
			}
		}
	}
	if len(grants) == 0 {
		return
	}
	for _, o := range l.objects {
		pod, at := podOf(o)
		name := cmp.Or(textOf(pod, "serviceAccountName"), textOf(pod, "serviceAccount"), "default")
		grant := grants[Key{Kind: "ServiceAccount", Namespace: o.GetNamespace(), Name: name}]
		if mounts, said := pod["automountServiceAccountToken"].(bool); pod == nil || grant == "" || said && !mounts {
			continue
		}
		l.warn("R097", o, at+".serviceAccountName", fmt.Sprintf("the Pods have the token of the service account %s, %s", name, grant),
			"Give the Job an account of its own with what it needs, or set automountServiceAccountToken: false.")
	}
}

const rbac = "rbac.authorization.k8s.io"

// powerOf says what a binding gives that is as good as everything, "" if nothing
// of what it gives is.
func powerOf(binding Object, roles map[Key]Object) string {
	wide := binding.GetKind() == "ClusterRoleBinding"
	if binding.Key().Group != rbac || !wide && binding.GetKind() != "RoleBinding" {
		return ""
	}
	where := "in its namespace"
	if wide {
		where = "in the whole cluster"
	}
	ref := mapOf(binding.Object, "roleRef")
	name, kind := textOf(ref, "name"), textOf(ref, "kind")
	switch {
	case kind == "ClusterRole" && name == "cluster-admin":
		return "do everything " + where
	case kind == "ClusterRole" && (name == "admin" || name == "edit") && wide:
		return "run Pods as any account and read every Secret " + where
	}
	namespace := binding.GetNamespace()
	if kind == "ClusterRole" {
		namespace = ""
	}
	role, known := roles[Key{Group: rbac, Kind: kind, Namespace: namespace, Name: name}]
	if !known {
		return ""
	}
	for _, rule := range mappings(listOf(role.Object, "rules")) {
		if power := powerOfRule(rule, wide); power != "" {
			return power + " " + where
		}
	}
	return ""
}

func powerOfRule(rule map[string]any, wide bool) string {
	allows := func(field string, words ...string) bool {
		return slices.ContainsFunc(listOf(rule, field), func(v any) bool { return v == "*" || slices.Contains(words, fmt.Sprint(v)) })
	}
	all := func(field string) bool { return allows(field) }
	switch {
	case has(rule, "resourceNames"):
		return ""
	case all("verbs") && all("resources"):
		return "do everything"
	case allows("verbs", "escalate", "bind") && allows("resources", "roles", "clusterroles"):
		return "give itself any right"
	case allows("verbs", "impersonate") && allows("resources", "users", "groups", "serviceaccounts"):
		return "act as anybody else"
	case allows("verbs", "create") && allows("resources", "serviceaccounts/token"):
		return "take the token of any account"
	case wide && allows("verbs", "get", "list", "watch") && allows("resources", "secrets") && allows("apiGroups", ""):
		return "read every Secret"
	}
	return ""
}

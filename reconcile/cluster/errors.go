package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"rota.dev/rota/schema"
)

// subject is what an error of the server is about.
type subject struct {
	// object is the one written or read; may be empty.
	object schema.Object
	// key names it where there is no object, for a deletion.
	key schema.Key
	// what is read, in words, where there is neither.
	what string
	// account is impersonated; empty for rota's own.
	account string
}

func (s subject) secret() bool {
	return s.object.Unstructured != nil && s.object.Key().GroupKind().String() == "Secret" || s.key.GroupKind().String() == "Secret"
}

// explain returns err as a Problem: what the server refuses, why, and what to
// do about it. It returns nil for nil, and a Problem unchanged.
func explain(err error, about subject) *schema.Problem {
	if err == nil {
		return nil
	}
	var already *schema.Problem
	if errors.As(err, &already) {
		return already
	}
	p := &schema.Problem{Severity: schema.SeverityError, Cause: err}
	if about.object.Unstructured != nil {
		key := about.object.Key()
		p.Object, p.Origin = &key, about.object.Origin
	} else if about.key != (schema.Key{}) {
		p.Object = &about.key
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		explainStatus(p, status.Status(), about)
	} else {
		explainTransport(p, err)
	}
	if about.what != "" && p.Object == nil {
		p.Message = "reading " + about.what + ": " + p.Message
	}
	if about.secret() {
		scrub(p, about.object)
	}
	if p.Field != "" && about.object.Unstructured != nil {
		p.Field = about.object.Path(p.Field)
		p.Origin = about.object.At(p.Field)
	}
	return p
}

func explainTransport(p *schema.Problem, err error) {
	p.Rule = "R200"
	p.Message = "the API server cannot be reached: " + err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		p.Message = "the API server did not answer in time"
	}
	p.Mend = "Check the address, the network and the certificate in the kubeconfig; rota tries again."
}

// explainStatus sorts the server's answer by what a user can do about it. The
// order matters: the particular before the general.
func explainStatus(p *schema.Problem, s metav1.Status, about subject) {
	switch {
	case hasCause(s, metav1.CauseTypeFieldManagerConflict):
		explainConflict(p, s)
	case hasCause(s, corev1.NamespaceTerminatingCause) || strings.Contains(s.Message, "because it is being terminated"):
		p.Rule = "R205"
		p.Message = fmt.Sprintf("the namespace %s is being deleted, so that nothing can be created in it", namespaceOf(p))
		p.Mend = "Wait until it is gone and create it again, or use another namespace; rota tries again."
	case s.Reason == metav1.StatusReasonNotFound && s.Details != nil && s.Details.Kind == "namespaces":
		p.Rule, p.Field = "R204", "metadata.namespace"
		p.Message = fmt.Sprintf("the namespace %s does not exist", s.Details.Name)
		p.Mend = fmt.Sprintf("Add the Namespace to the repository, or run kubectl create namespace %s.", s.Details.Name)
	case s.Reason == metav1.StatusReasonForbidden && strings.Contains(s.Message, "exceeded quota"):
		p.Rule, p.Severity = "R206", schema.SeverityWarning
		p.Message = "waits for quota: " + afterColon(s.Message, "exceeded quota")
		p.Mend = "Nothing, if running work will free it; otherwise raise the ResourceQuota or ask for less."
	case admissionDenied(s):
		p.Rule = "R208"
		p.Message = "an admission policy refuses it: " + trimPrefixes(s.Message)
		p.Mend = "Change the object so that the policy allows it, or ask the policy's owner."
	case s.Reason == metav1.StatusReasonForbidden:
		explainForbidden(p, s, about)
	case s.Reason == metav1.StatusReasonUnauthorized:
		p.Rule = "R219"
		p.Message = "the API server does not accept rota's credentials"
		p.Mend = "Renew the token or the certificate in the kubeconfig."
	case s.Reason == metav1.StatusReasonRequestEntityTooLarge || strings.Contains(s.Message, "etcdserver: request is too large") ||
		strings.Contains(s.Message, "Too long: may not be more than 1048576"):
		p.Rule = "R212"
		p.Message = "the object is larger than the cluster stores (about 1.5 MiB, 1 MiB for ConfigMaps and Secrets)"
		p.Mend = "Split it, or keep the data outside of the cluster."
	case s.Reason == metav1.StatusReasonInvalid:
		explainInvalid(p, s)
	case strings.Contains(s.Message, "failed calling webhook"):
		p.Rule = "R224"
		p.Message = "an admission webhook does not answer: " + s.Message
		p.Mend = "Mend the webhook's service, or its failurePolicy; rota tries again."
	case unknownField.MatchString(s.Message) || undecodable(s):
		explainShape(p, s)
	case s.Reason == metav1.StatusReasonNotFound:
		p.Rule = "R202"
		p.Message = "the server does not know this kind any more, or the object is gone: " + s.Message
		p.Mend = "Install the CustomResourceDefinition again; rota tries again."
	case s.Code >= 500 || s.Code == 429 || s.Reason == metav1.StatusReasonTimeout:
		p.Rule = "R200"
		p.Message = "the API server is not able to: " + s.Message
		p.Mend = "Look at the API server's health; rota tries again."
	default:
		p.Rule = "R221"
		p.Message = "the server refuses it: " + s.Message
	}
}

func hasCause(s metav1.Status, cause metav1.CauseType) bool {
	return s.Details != nil && slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool { return c.Type == cause })
}

func namespaceOf(p *schema.Problem) string {
	if p.Object == nil {
		return "?"
	}
	return p.Object.Namespace
}

// conflictText is how the API server words a field manager conflict.
var conflictText = regexp.MustCompile(`conflict with "([^"]*)"(?: with subresource "([^"]*)")?(?: using (\S+))?`)

// conflicts returns the fields in conflict by the manager that has them.
func conflicts(s metav1.Status) map[string][]string {
	by := map[string][]string{}
	if s.Details == nil {
		return by
	}
	for _, c := range s.Details.Causes {
		if c.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := "another manager"
		if m := conflictText.FindStringSubmatch(c.Message); m != nil {
			manager = m[1]
		}
		by[manager] = append(by[manager], strings.TrimPrefix(c.Field, "."))
	}
	return by
}

func explainConflict(p *schema.Problem, s metav1.Status) {
	by := conflicts(s)
	p.Rule = "R201"
	var parts []string
	for _, manager := range slices.Sorted(mapKeys(by)) {
		slices.Sort(by[manager])
		parts = append(parts, fmt.Sprintf("%s has %s", manager, strings.Join(by[manager], ", ")))
		if p.Field == "" {
			p.Field = by[manager][0]
		}
	}
	p.Message = "fields belong to other managers: " + strings.Join(parts, "; ")
	p.Mend = "Remove these fields from the repository, or take them once with rota apply --force-conflicts."
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

var forbiddenText = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]*)"(?: in API group "([^"]*)")?(?: in the namespace "([^"]*)")?`)

func explainForbidden(p *schema.Problem, s metav1.Status, about subject) {
	p.Rule = "R207"
	p.Message = "it is forbidden: " + s.Message
	p.Mend = "Give rota's account the permission, with a Role and a RoleBinding."
	m := forbiddenText.FindStringSubmatch(s.Message)
	if m == nil {
		return
	}
	user, verb, resource, group, namespace := m[1], m[2], m[3], m[4], m[5]
	if group != "" {
		resource += "." + group
	}
	where := "in the cluster"
	if namespace != "" {
		where = "in the namespace " + namespace
	}
	if about.account != "" {
		user = "service account " + about.account + ", as which this Sync writes,"
	}
	p.Message = fmt.Sprintf("%s may not %s %s %s", user, verb, resource, where)
	p.Mend = fmt.Sprintf("Add the verb %q on %s to a Role that is bound to it %s.", verb, resource, where)
}

func admissionDenied(s metav1.Status) bool {
	return strings.Contains(s.Message, "ValidatingAdmissionPolicy '") || strings.Contains(s.Message, "admission webhook \"") ||
		strings.Contains(s.Message, "violates PodSecurity")
}

// trimPrefixes takes off what the server puts before an admission message and
// the Problem says already.
func trimPrefixes(message string) string {
	for _, mark := range []string{"ValidatingAdmissionPolicy '", "admission webhook \"", "violates PodSecurity"} {
		if i := strings.Index(message, mark); i > 0 {
			return message[i:]
		}
	}
	return message
}

func afterColon(message, mark string) string {
	if i := strings.Index(message, mark); i >= 0 {
		return message[i:]
	}
	return message
}

// explainInvalid names the first field that is wrong and says all of them.
func explainInvalid(p *schema.Problem, s metav1.Status) {
	p.Rule = "R209"
	p.Mend = "Correct the value in the repository."
	if s.Details == nil || len(s.Details.Causes) == 0 {
		p.Message = "the server finds it invalid: " + s.Message
		return
	}
	var parts []string
	for _, c := range s.Details.Causes {
		if p.Field == "" {
			p.Field = c.Field
		}
		text := c.Message
		if len(s.Details.Causes) > 1 && c.Field != "" {
			text = c.Field + ": " + text
		}
		if !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	p.Message = strings.Join(parts, "; ")
	switch {
	case cannotChange(p.Message):
		p.Rule = "R210"
		p.Message = "the field cannot be changed on an existing object: " + clip(p.Message)
		p.Mend = "Give the object another name, or delete it so that it is created anew."
	case p.Object != nil && tooLongForPods(p):
		p.Rule = "R211"
		p.Message = fmt.Sprintf("the name has %d characters: too long for the Pods that are made from it (%s)", len(p.Object.Name), clip(p.Message))
		p.Mend = "Shorten the name: at most 63 characters for a Job, 52 for a CronJob."
	default:
		p.Message = clip(p.Message)
	}
}

// cannotChange reports whether a message of the server says that a field of an
// existing object is immutable.
func cannotChange(message string) bool {
	return strings.Contains(message, "field is immutable") || strings.Contains(message, "Forbidden: updates to")
}

func tooLongForPods(p *schema.Problem) bool {
	limit := map[string]int{"Job": 63, "CronJob": 52}[p.Object.Kind]
	return p.Object.Group == "batch" && limit > 0 && len(p.Object.Name) > limit
}

// clip keeps a message on a screen: the server repeats whole pod templates.
func clip(message string) string {
	const most = 600
	if len(message) <= most {
		return message
	}
	return message[:most/2] + " ... " + message[len(message)-most/2:]
}

// unknownField is how typed conversion words a field that the schema lacks.
var unknownField = regexp.MustCompile(`\.([\w.\[\]="-]+): field not declared in schema|unknown field "([^"]*)"`)

// misshapen is how it words a value of a wrong type and items of one identity.
var misshapen = regexp.MustCompile(`: \.(\S+): (expected .*?|duplicate entries for key .*?)(?:, got .*)?$`)

func undecodable(s metav1.Status) bool {
	return strings.Contains(s.Message, "failed to create typed patch object") || strings.Contains(s.Message, "cannot unmarshal") ||
		strings.Contains(s.Message, "unable to decode") || strings.Contains(s.Message, "illegal base64") ||
		s.Reason == metav1.StatusReasonBadRequest
}

func explainShape(p *schema.Problem, s metav1.Status) {
	p.Rule = "R222"
	if m := unknownField.FindStringSubmatch(s.Message); m != nil {
		p.Field = m[1] + m[2]
		p.Message = "the kind has no such field"
		p.Mend = "Check the spelling and the indentation (kubectl explain shows the fields)."
		return
	}
	if m := misshapen.FindStringSubmatch(s.Message); m != nil {
		p.Field = m[1]
		p.Message = "the field does not have the shape of its kind: " + clip(m[2])
		p.Mend = "Compare it with kubectl explain: the value has another type than the field wants, or is there twice."
		return
	}
	p.Message = "the object does not have the shape of its kind: " + clip(s.Message)
	p.Mend = "Compare the field with kubectl explain: the value has another type than the field wants."
}

// missingNamespace reports whether err says that the namespace is not there.
func missingNamespace(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsNotFound(err) {
		return false
	}
	d := status.Status().Details
	return d != nil && d.Kind == "namespaces"
}

// ownConflict reports whether err is a conflict with nobody but rota: the entry
// that the release of a prepared Job left.
func ownConflict(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !hasCause(status.Status(), metav1.CauseTypeFieldManagerConflict) {
		return false
	}
	by := conflicts(status.Status())
	return len(by) == 1 && by[schema.FieldManager] != nil
}

// scrub takes every value of a Secret out of p, in plain and in base64, and
// the cause with them: an error is printed, logged and published.
func scrub(p *schema.Problem, object schema.Object) {
	p.Cause = nil
	if object.Unstructured == nil {
		return
	}
	for _, section := range []string{"data", "stringData"} {
		values, _, _ := unstructured.NestedMap(object.Object, section)
		for _, v := range values {
			text := fmt.Sprint(v)
			forms := []string{text, base64.StdEncoding.EncodeToString([]byte(text))}
			if plain, err := base64.StdEncoding.DecodeString(text); err == nil {
				forms = append(forms, string(plain))
			}
			for _, form := range forms {
				if form != "" {
					p.Message = strings.ReplaceAll(p.Message, form, "***")
				}
			}
		}
	}
	if p.Rule == "R222" && p.Field == "" || p.Rule == "R221" {
		// Decoding errors quote values in forms that cannot be foreseen.
		p.Message = "the server refuses the Secret; what it said is withheld, for it may quote a value"
		p.Mend = "Check that every value of data is base64 and every value of stringData a string."
	}
}

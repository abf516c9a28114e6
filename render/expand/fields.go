package expand

import (
	"reflect"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// want says what a field takes, as far as a lone placeholder is concerned.
type want int

const (
	// wantText is the answer for strings and for everything unknown: a
	// placeholder in a kind that we have no types for stays a text.
	wantText want = iota
	wantInteger
	wantBoolean
	wantNumber
	// wantEither is an IntOrString or a Quantity: what the value looks like.
	wantEither
)

// kinds are Kubernetes' own types, by which fields are known. Only their shape
// is used; nothing is decoded into them, for that would add defaults.
var kinds = sync.OnceValue(func() map[schema.GroupVersionKind]reflect.Type {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		batchv1.AddToScheme, corev1.AddToScheme, appsv1.AddToScheme, networkingv1.AddToScheme, rbacv1.AddToScheme,
		autoscalingv2.AddToScheme, policyv1.AddToScheme, storagev1.AddToScheme, schedulingv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic("registering Kubernetes' own types: " + err.Error())
		}
	}
	return scheme.AllKnownTypes()
})

// kindType returns the Go type of a kind, nil if it is not known. The old
// spellings of CronJob have the fields of batch/v1.
func kindType(apiVersion, kind string) reflect.Type {
	if kind == "CronJob" && (apiVersion == "batch/v1beta1" || apiVersion == "batch/v2alpha1") {
		apiVersion = "batch/v1"
	}
	return kinds()[schema.FromAPIVersionAndKind(apiVersion, kind)]
}

var (
	intOrString = reflect.TypeFor[intstr.IntOrString]()
	quantity    = reflect.TypeFor[resource.Quantity]()
	opaque      = map[reflect.Type]bool{
		reflect.TypeFor[metav1.Time](): true, reflect.TypeFor[metav1.MicroTime](): true, reflect.TypeFor[metav1.Duration](): true,
		reflect.TypeFor[runtime.RawExtension](): true, reflect.TypeFor[metav1.FieldsV1](): true,
	}
)

func strip(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || opaque[t] {
		return nil
	}
	return t
}

// fieldType returns the type of the field name of t, nil if it is not known.
func fieldType(t reflect.Type, name string) reflect.Type {
	t = strip(t)
	switch {
	case t == nil:
		return nil
	case t.Kind() == reflect.Map:
		return t.Elem()
	case t.Kind() != reflect.Struct || t == intOrString || t == quantity:
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name {
			return f.Type
		}
		if tag == "" && (f.Anonymous || strings.Contains(options, "inline")) {
			if found := fieldType(f.Type, name); found != nil {
				return found
			}
		}
	}
	return nil
}

// itemType returns the type of a list's items, nil if it is not known.
func itemType(t reflect.Type) reflect.Type {
	t = strip(t)
	if t == nil || t.Kind() != reflect.Slice || t.Elem().Kind() == reflect.Uint8 {
		return nil
	}
	return t.Elem()
}

// freeKeys reports whether the keys of a mapping of type t are the user's own,
// such as those of labels, and no field names.
func freeKeys(t reflect.Type) bool {
	t = strip(t)
	return t != nil && t.Kind() == reflect.Map
}

func wanted(t reflect.Type) want {
	t = strip(t)
	if t == nil {
		return wantText
	}
	if t == intOrString || t == quantity {
		return wantEither
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return wantInteger
	case reflect.Bool:
		return wantBoolean
	case reflect.Float32, reflect.Float64:
		return wantNumber
	default:
		return wantText
	}
}

package plan

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func firstFire(in Intended, input *Input) string { return "" }

func scheduleEffect(in Intended, live *unstructured.Unstructured, input *Input) string { return "" }

package main

import (
	"bytes"
	"os"
	"testing"
)

func TestTheCommittedSchemaIsThatOfTheRequiredRelease(t *testing.T) {
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../schema/kubernetes.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the schema is not what this release of Kubernetes has: run go generate ./schema and review what changed")
	}
}

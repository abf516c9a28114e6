// Command openapi writes the JSON Schema (draft-07) by which `rota validate`
// checks Kubernetes' own kinds, from the OpenAPI definitions of the
// k8s.io/kubernetes module that the local cluster is built of. `go generate
// ./schema` runs it; its argument is the file to write.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapi FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func write(file string) error {
	text, err := document()
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

package main

import (
	"fmt"
	"os"

	"rota.dev/rota/render"
	"rota.dev/rota/render/child"
)

// serveJobs is what this program does as the renderer of another one of its
// kind. It is no verb for people: it stands in no help, and is asked for before
// there are any verbs, since it is started anew after each template that had
// to be stopped.
func serveJobs() int {
	if err := child.Serve(os.Stdin, os.Stdout, render.InProcess{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Command rota is GitOps for Kubernetes batch work: it renders, validates,
// diffs and applies a repository of Jobs and CronJobs, keeps a cluster as the
// repository says, and runs the schedules. Each verb is one file here, which
// turns flags into one call and prints what comes back.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	_ "time/tzdata" // time zones must not depend on the image

	"github.com/spf13/cobra"

	"rota.dev/rota/render/child"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args))
}

// exitError ends the process with a code and, unless err is nil, a message.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exit returns an error that ends the process with code; err may be nil when
// everything is said already.
func exit(code int, err error) error { return &exitError{code: code, err: err} }

func execute(ctx context.Context, args []string) int {
	if len(args) == 2 && args[1] == child.Verb {
		return serveJobs()
	}
	root := newRoot(args[0])
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(root.ErrOrStderr(), "rota: %s\n", text)
	}
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return 2
}

func newRoot(executable string) *cobra.Command {
	name := "rota"
	// kubectl runs its plugins as kubectl-<name>; usage lines then read as the
	// user typed them.
	if base := filepath.Base(executable); strings.HasPrefix(base, "kubectl-") {
		name = "kubectl rota"
	}
	root := &cobra.Command{
		Use:           "rota",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:         "GitOps for Kubernetes batch work",
		Long:          "rota pulls a repository of Jobs, CronJobs, templates and overlays, shows what\nwould happen, applies it, watches for drift, and runs the schedules itself.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	k := &kube{}
	root.PersistentFlags().StringVar(&k.kubeconfig, "kubeconfig", "", "path of the kubeconfig (default $KUBECONFIG, ~/.kube/config, or the Pod's own account)")
	root.PersistentFlags().StringVar(&k.context, "context", "", "context of the kubeconfig")
	root.AddCommand(
		newRender(), newValidate(k), newDiff(k), newPlan(k), newNext(k), newApply(k), newRun(k), newStatus(k),
		newHistory(k), newWhy(k), newPause(k), newResume(k), newTrigger(k), newRelease(k),
		newLedger(k), newComment(), newDemo(), newInit(), newTrace(), newSchema(), newExplain(), newVersion(),
		newMan(func() *cobra.Command { return newRoot(executable) }),
	)
	complete(root, k)
	return root
}

// codeOf returns the exit code that err carries, or zero.
func codeOf(err error) int {
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return 0
}

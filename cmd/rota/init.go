package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"rota.dev/rota/schema"
)

//go:embed all:starter
var starter embed.FS

func newInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a starter repository",
		Long: `Write a starter repository into DIR (default "."): a CronJob, an Expansion with
its template and parameters, two overlays, a Sync for the controller, and the
JSON Schema by which editors check rota's own documents. Files that are there
are never overwritten: if one of the starter's names is taken by other content,
nothing is written at all.

Exit status: 0, or 2 if nothing was written.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: first(folders),
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			written, err := initialize(dir)
			switch {
			case err != nil:
				return exit(2, err)
			case written == 0:
				fmt.Fprintf(c.OutOrStdout(), "%s is a starter repository already; nothing is changed\n", dir)
			default:
				fmt.Fprintf(c.OutOrStdout(), "%d files are written to %s\n", written, dir)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), `next:
  cd %s
  rota validate
  rota render --overlay overlays/dev --origin
  git init && git add -A && git commit -m "Start"
`, dir)
			return err
		},
	}
}

// initialize writes those files of the starter that dir has not, and returns
// how many they were. If a file is there with other content, nothing is.
func initialize(dir string) (int, error) {
	files, err := starterFiles()
	if err != nil {
		return 0, err
	}
	var missing, taken []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		case err != nil || string(got) != string(files[name]):
			taken = append(taken, name)
		}
	}
	if len(taken) > 0 {
		return 0, fmt.Errorf("%s has these files already, so nothing is written:\n  %s\n  mend: name an empty folder, or move the files away", dir, strings.Join(taken, "\n  "))
	}
	for _, name := range missing {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return 0, fmt.Errorf("writing the starter: %w", err)
		}
		if err := create(file, files[name]); err != nil {
			return 0, fmt.Errorf("writing the starter: %w", err)
		}
	}
	return len(missing), nil
}

// create writes a file that must not exist, not even as a symbolic link.
func create(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// starterFiles are the files of the starter by name, this version's schema
// among them.
func starterFiles() (map[string][]byte, error) {
	files := map[string][]byte{".rota/rota.schema.json": schema.JSONSchema()}
	err := fs.WalkDir(starter, "starter", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[strings.TrimPrefix(name, "starter/")], err = starter.ReadFile(name)
		return err
	})
	return files, err
}

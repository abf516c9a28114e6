package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

// newMan is hidden: it is for those who package rota. fresh makes the tree of
// commands that is described.
func newMan(fresh func() *cobra.Command) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages",
		Hidden: true,
		Long: `Write a page for every command into DIR, which is made if it is missing: manual
pages, or with -o markdown a reference to browse. They have the text of --help
and nothing else.

Equal programs write equal pages: their date is SOURCE_DATE_EPOCH (seconds, as
reproducible builds set it), or else that of the commit that rota was built
from, or, where neither is known, today's.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: first(folders),
		RunE: func(c *cobra.Command, args []string) error {
			date, err := manDate(os.Getenv("SOURCE_DATE_EPOCH"), time.Now())
			if err != nil {
				return exit(2, err)
			}
			if output != "man" && output != "markdown" {
				return exit(2, fmt.Errorf("unknown output %q: use man or markdown", output))
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return exit(2, fmt.Errorf("making the folder of the pages: %w", err))
			}
			root := fresh()
			// What the generator says of itself would have another date.
			root.DisableAutoGenTag = true
			describe(root, output == "man")
			if output == "markdown" {
				err = doc.GenMarkdownTree(root, args[0])
			} else {
				err = writeManual(root, args[0], date)
			}
			if err != nil {
				return exit(2, fmt.Errorf("writing the pages: %w", err))
			}
			return nil
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "man", "man or markdown")
	return c
}

// manDate is the date of the pages, in UTC.
func manDate(epoch string, now time.Time) (time.Time, error) {
	if epoch != "" {
		seconds, err := strconv.ParseInt(epoch, 10, 64)
		if err != nil {
			return time.Time{}, errors.New("SOURCE_DATE_EPOCH is no number of seconds")
		}
		return time.Unix(seconds, 0).UTC(), nil
	}
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if at, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return at.UTC(), nil
			}
		}
	}
	return now.UTC(), nil
}

// writeManual writes the page of c, and those of all below it.
func writeManual(c *cobra.Command, dir string, date time.Time) error {
	var page bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Date: &date, Source: "rota " + version(), Manual: "rota"}, &page); err != nil {
		return err
	}
	text := manOption.ReplaceAllString(page.String(), ".TP\n$1\n")
	// The generator leaves the day out, which is no date to a reader of pages.
	text = strings.Replace(text, date.Format("Jan 2006"), date.Format(time.DateOnly), 1)
	name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		return err
	}
	for _, below := range c.Commands() {
		if !below.IsAvailableCommand() {
			continue
		}
		if err := writeManual(below, dir, date); err != nil {
			return err
		}
	}
	return nil
}

// manOption is an option as the generator has it: in one paragraph with what it
// does, behind a tab.
var manOption = regexp.MustCompile(`(?m)^(?:\.PP\n)?(\\fB-.*)\n\t`)

// describe turns the texts of c and of all below it, which are plain, into the
// Markdown that the generators take them for; those of flags only for manual
// pages, since the reference has them in blocks.
func describe(c *cobra.Command, flags bool) {
	c.Long = markdown(cmp.Or(c.Long, c.Short))
	if flags {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { f.Usage = markdown(f.Usage) })
	}
	for _, below := range c.Commands() {
		describe(below, flags)
	}
}

// markdown returns plain text as Markdown that reads the same: what is indented
// stays as it stands.
func markdown(plain string) string {
	var b strings.Builder
	indented := false
	for line := range strings.SplitSeq(plain, "\n") {
		if code := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t"); code != indented && line != "" {
			// Only an empty line begins and ends a block.
			indented = !indented
			b.WriteString("\n")
		}
		if indented {
			// Four spaces make it a block; what --help indents by is among them.
			b.WriteString("  " + strings.Replace(line, "\t", "  ", 1) + "\n")
			continue
		}
		b.WriteString(markdownSigns.Replace(line) + "\n")
	}
	return strings.TrimRight(b.String(), " \n")
}

// markdownSigns escapes what Markdown acts on. Backquotes mean the same in both.
var markdownSigns = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `_`, `\_`, `<`, `\<`, `[`, `\[`, `]`, `\]`, `#`, `\#`)

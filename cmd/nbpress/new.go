package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"nbpress/internal/strict"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// newReport is the bundle that `nbpress new` makes. It is a report that runs.
//
//go:embed newreport
var newReport embed.FS

// titleMark stands in its files for the report's title.
const titleMark = "REPORT_TITLE"

func newCommand(std streams) *cobra.Command {
	var title string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a report to start from",
		Long: `Make a folder with a report that runs: config.json, a notebook with made-up data and a
template with comments. NAME is the folder; its path in the repository is the report's name.`,
		Example: `  nbpress new weekly-energy
  nbpress new sales/monthly --title "Monthly sales"`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return makeReport(std, args[0], title) },
	}
	cmd.Flags().StringVar(&title, "title", "", "what people call the report (default: made of NAME)")
	return cmd
}

func makeReport(std streams, dir, title string) error {
	if base := filepath.Base(filepath.Clean(dir)); base == "." || base == ".." {
		return wrongUse(fmt.Errorf("%q names no new folder; write its name, such as weekly-energy", dir))
	}
	entries, err := os.ReadDir(dir)
	switch {
	case len(entries) > 0:
		return wrongUse(fmt.Errorf("%s is there, and not empty; choose another name", dir))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return wrongUse(err)
	}
	if what := report.CheckName(filepath.Base(filepath.Clean(dir))); what != "" {
		return wrongUse(errors.New(what))
	}
	if title == "" {
		title = titleOf(filepath.Base(dir))
	}
	if strings.ContainsAny(title, "\"\\") || strings.ContainsFunc(title, unicode.IsControl) || !utf8.ValidString(title) || utf8.RuneCountInString(title) > 200 {
		return wrongUse(errors.New("--title is one line of at most 200 characters, without quotes and backslashes"))
	}
	made := missing(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := fs.Sub(newReport, "newreport")
	if err != nil {
		return err
	}
	var written []string
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		written = append(written, filepath.Join(dir, name))
		return os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(string(data), titleMark, title)), 0o644)
	})
	if err == nil {
		err = checkNew(dir)
	}
	if err != nil {
		return errors.Join(err, removeEach(append(written, made...)))
	}
	fmt.Fprintf(std.out, "%s: config.json, report.ipynb, template.html\n\nLook at it:   nbpress preview %s\nRun it:       nbpress run %s\nBefore merge: nbpress check %s\n", dir, dir, dir, dir)
	return nil
}

// missing lists the folders that are to be made for dir, the innermost first.
func missing(dir string) []string {
	var folders []string
	for dir = filepath.Clean(dir); !exists(dir); dir = filepath.Dir(dir) {
		folders = append(folders, dir)
	}
	return folders
}

// removeEach takes away again what was made, in this order.
func removeEach(paths []string) error {
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// checkNew says what the folder's name or its repository make wrong with the report.
func checkNew(dir string) error {
	t, name, err := treeOf(dir)
	if err != nil {
		return err
	}
	options, problems := reading(t.fsys, &schedule.Parser{})
	_, more := report.Load(t.fsys, name, options)
	if problems = append(problems, more...); len(problems) == 0 {
		return nil
	}
	return wrongUse(invalidBundle{t, strict.Sort(problems)})
}

// titleOf makes a title of a folder's name.
func titleOf(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	title := strings.Join(words, " ")
	if title == "" {
		return "Report"
	}
	return strings.ToUpper(title[:1]) + title[1:]
}

package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/schedule"
)

func checkCommand(std streams) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "check [PATH ...]",
		Short: "Find every mistake in bundles before they are merged",
		Long: `Find every mistake in the bundles below each PATH (default: the current folder).

Each mistake is one line: file:line:column: what; what to do. A report without any has a
line with the next times when it fires. Nothing is executed. Of templates it reads the
tags and the texts to be translated, and looks whether every language has them;
expressions nbpress run reads.

--format github marks the lines in a pull request, and prints nothing where all is well.
GitHub shows ten marks of a step, so the whole list also goes into the job's summary.`,
		Example: `  nbpress check reports-example
  nbpress check --format github     # annotations in a pull request`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" && format != "github" {
				return wrongUse(fmt.Errorf("--format is text, json or github, not %q", format))
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			var all findings
			for _, dir := range args {
				found, err := check(cmd.Context(), dir)
				if err != nil {
					return err
				}
				all.Reports = append(all.Reports, found.Reports...)
				all.Problems = append(all.Problems, found.Problems...)
			}
			all = all.sorted()
			if err := all.print(std.out, format); err != nil {
				return err
			}
			if path := os.Getenv("GITHUB_STEP_SUMMARY"); format == "github" && path != "" {
				if err := appendSummary(path, all.Problems); err != nil {
					return err
				}
			}
			if len(all.Problems) > 0 {
				return &exitError{status: exitWrongUse}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json or github")
	return cmd
}

// findings are what check has to say of some bundles.
type findings struct {
	Problems []strict.Problem `json:"problems"`
	Reports  []firing         `json:"reports"` // those without problems
}

// sorted returns the findings in their order, each once, as lists that JSON shows.
func (f findings) sorted() findings {
	slices.SortStableFunc(f.Reports, func(a, b firing) int { return cmp.Compare(a.Report, b.Report) })
	return findings{
		Problems: append([]strict.Problem{}, strict.Sort(f.Problems)...),
		Reports:  append([]firing{}, slices.CompactFunc(f.Reports, func(a, b firing) bool { return a.Report == b.Report })...),
	}
}

// check returns what there is to say of the bundles below a folder.
func check(ctx context.Context, dir string) (findings, error) {
	t, below, err := treeOf(dir)
	if err != nil {
		return findings{}, err
	}
	names, err := report.Find(t.fsys)
	if err != nil {
		return findings{}, err
	}
	var zones schedule.Parser
	options, problems := reading(t.fsys, &zones)
	shared := len(problems) > 0 // with a broken nbpress.json no report runs
	options.Translations = true
	var reports []firing
	found := false
	for _, name := range names {
		if below != "." && name != below && !strings.HasPrefix(name, below+"/") {
			continue
		}
		found = true
		bundle, more := report.Load(t.fsys, name, options)
		if bundle != nil && bundle.Config.Engine == report.EnginePongo2 {
			if more, err = readByPongo2(ctx, bundle); err != nil {
				return findings{}, err
			}
		}
		if len(more) == 0 && !shared {
			fires, err := firingOf(bundle, &zones, time.Now())
			if err != nil {
				return findings{}, err
			}
			if fires.Report = t.path(name); fires.Report == "." {
				fires.Report = filepath.Base(t.root)
			}
			reports = append(reports, fires)
		}
		problems = append(problems, more...)
	}
	if !found {
		return findings{}, wrongUse(fmt.Errorf("no bundle below %s: no folder there has a %s", dir, report.ConfigFile))
	}
	for i, p := range problems {
		problems[i] = t.shown(p)
	}
	return findings{Problems: problems, Reports: reports}, nil
}

// readByPongo2 has pongo2 read a bundle's template: expressions it alone knows.
func readByPongo2(ctx context.Context, bundle *report.Bundle) ([]strict.Problem, error) {
	err := runner.ReadTemplate(ctx, selfPongo2(), bundle)
	var failure *runner.Failure
	if !errors.As(err, &failure) {
		return nil, err
	}
	at, what := strict.Position{File: path.Join(bundle.Name, bundle.Template), Line: 1, Column: 1}, failure.Message
	if file, line, rest := cutPlace(what); file != "" {
		at.Line, what = max(line, 1), rest
		at.File = path.Join(bundle.Name, file)
		if slices.ContainsFunc(bundle.Includes, func(folder string) bool { return strings.HasPrefix(file, folder+"/") }) {
			at.File = file
		}
	}
	return []strict.Problem{at.Problem("pongo2: "+oneLine(what), "")}, nil
}

// appendSummary adds a table of the problems to the summary of a job on GitHub. See
// https://docs.github.com/actions/reference/workflow-commands#adding-a-job-summary.
func appendSummary(path string, problems []strict.Problem) (err error) {
	text := "### nbpress check: all is well\n"
	if len(problems) > 0 {
		text = fmt.Sprintf("### nbpress check: %s\n\n| where | what |\n|---|---|\n", counted(len(problems), "mistake"))
		cell := strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;", "`", "'")
		for _, p := range problems {
			text += fmt.Sprintf("| `%s:%d:%d` | %s |\n", cell.Replace(p.File), p.Line, p.Column, cell.Replace(sentence(p)))
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = file.WriteString(text)
	return err
}

// print prints the findings, each on one line unless they are JSON: the mistakes last,
// where they are seen.
func (f findings) print(to io.Writer, format string) error {
	out := bufio.NewWriter(to)
	switch format {
	case "json":
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(f); err != nil {
			return err
		}
	case "text":
		for _, r := range f.Reports {
			fmt.Fprintln(out, withoutControls(r.String(), unicode.ReplacementChar))
		}
	}
	for _, p := range f.Problems {
		switch format {
		case "text":
			fmt.Fprintln(out, withoutControls(p.String(), unicode.ReplacementChar))
		case "github":
			fmt.Fprintf(out, "::error file=%s,line=%d,col=%d::%s\n", commandProperty.Replace(path.Clean(p.File)), p.Line, p.Column, commandText.Replace(sentence(p)))
		}
	}
	return out.Flush()
}

// What would end a workflow command's text, or one of its properties, as the runner's own
// toolkit writes it: https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts.
var (
	commandText     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func sentence(p strict.Problem) string {
	if p.Do == "" {
		return p.What
	}
	return p.What + "; " + p.Do
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
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

Each mistake is one line: file:line:column: what; what to do. Nothing is printed where
all is well. Nothing is executed. Of templates it reads the tags and the texts to be
translated, and looks whether every language has them; expressions nbpress run reads.

--format github marks the lines in a pull request. GitHub shows ten marks of a step, so
the whole list also goes into the job's summary.`,
		Example: `  nbpress check reports-example
  nbpress check --format github     # annotations in a pull request`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" && format != "github" {
				return wrongUse(fmt.Errorf("--format is text, json or github, not %q", format))
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			var problems []strict.Problem
			for _, dir := range args {
				found, err := check(cmd.Context(), dir)
				if err != nil {
					return err
				}
				problems = append(problems, found...)
			}
			problems = strict.Sort(problems)
			if err := printProblems(std.out, problems, format); err != nil {
				return err
			}
			if path := os.Getenv("GITHUB_STEP_SUMMARY"); format == "github" && path != "" {
				if err := appendSummary(path, problems); err != nil {
					return err
				}
			}
			if len(problems) > 0 {
				return &exitError{status: exitWrongUse}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, json or github")
	return cmd
}

// check returns the problems of the bundles below a folder.
func check(ctx context.Context, dir string) ([]strict.Problem, error) {
	t, below, err := treeOf(dir)
	if err != nil {
		return nil, err
	}
	names, err := report.Find(t.fsys)
	if err != nil {
		return nil, err
	}
	options, problems := reading(t.fsys, &schedule.Parser{})
	options.Translations = true
	found := false
	for _, name := range names {
		if below != "." && name != below && !strings.HasPrefix(name, below+"/") {
			continue
		}
		found = true
		bundle, more := report.Load(t.fsys, name, options)
		if bundle != nil && bundle.Config.Engine == report.EnginePongo2 {
			if more, err = readByPongo2(ctx, bundle); err != nil {
				return nil, err
			}
		}
		problems = append(problems, more...)
	}
	if !found {
		return nil, wrongUse(fmt.Errorf("no bundle below %s: no folder there has a %s", dir, report.ConfigFile))
	}
	for i, p := range problems {
		problems[i] = t.shown(p)
	}
	return problems, nil
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

// printProblems prints problems, each on one line unless they are JSON.
func printProblems(to io.Writer, problems []strict.Problem, format string) error {
	out := bufio.NewWriter(to)
	if format == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(append([]strict.Problem{}, problems...)); err != nil {
			return err
		}
	}
	for _, p := range problems {
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

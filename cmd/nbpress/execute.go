package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/runner"
	"nbpress/runner/local"
)

func executeCommand(std streams) *cobra.Command {
	var flags executeFlags
	cmd := &cobra.Command{
		Use:   "execute IN.ipynb OUT.ipynb",
		Short: "Execute a notebook alone",
		Long: `Execute a notebook in a kernel of its own and write it with its outputs.

The notebook runs as you, in its own folder, as in Jupyter: no sandbox. #NoExecute
cells are skipped; -p gives values for $NAME in #Environment cells. OUT is also
written when a cell fails, up to that cell.`,
		Example: `  nbpress execute analysis.ipynb executed.ipynb --timeout 2m
  nbpress execute report.ipynb out.ipynb -p ASSET_ID=plant-1 -p FROM_DAY=2026-11-16`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return executeNotebook(cmd.Context(), std, args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.parameters, "parameter", "p", nil, "NAME=VALUE for $NAME in #Environment cells (may be repeated)")
	f.DurationVar(&flags.timeout, "timeout", 0, "how long one cell may take, such as 2m (default: no limit)")
	f.BoolVar(&flags.allowErrors, "allow-errors", false, "go on after a cell that raised")
	f.StringVar(&flags.python, "python", "", pythonUsage)
	return cmd
}

type executeFlags struct {
	parameters  []string
	timeout     time.Duration
	allowErrors bool
	python      string
}

func executeNotebook(ctx context.Context, std streams, in, out string, flags executeFlags) (err error) {
	data, err := os.ReadFile(in)
	if err != nil {
		return wrongUse(err)
	}
	values, err := parseParameters(flags.parameters)
	if err != nil {
		return wrongUse(err)
	}
	sources, err := runner.ReadNotebook(in, data, values)
	if err != nil {
		return wrongUse(err)
	}
	kernel, err := local.StartKernel(ctx, choosePython(flags.python), filepath.Dir(in))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	show := newProgress(std.err, filepath.Base(in))
	executed, failure, warnings, err := runner.ExecuteNotebook(ctx, data, kernel.Connection, kernel.Died, runner.CellsOptions{
		CellTimeout: flags.timeout, AllowErrors: flags.allowErrors, Values: values,
		Progress: func(p runner.Progress) { show.step(runner.Step{Stage: "execute", Cell: &p}) },
	})
	if len(executed) > 0 {
		err = errors.Join(err, os.WriteFile(out, executed, 0o644))
	}
	if err != nil {
		show.done("not finished")
		return err
	}
	std = std.plain()
	for _, w := range warnings {
		fmt.Fprintf(std.err, "warning: %s\n", w)
	}
	if failure == nil {
		show.done("completed")
		return nil
	}
	show.done("failed: " + string(failure.Code))
	fmt.Fprint(std.err, explain(failure, sources))
	if log := kernel.Log(); len(log) > 0 && (failure.Code == runner.KernelDied || failure.Code == runner.StartTimeout) {
		fmt.Fprintf(std.err, "\nThe kernel's own words:\n%s\n", log)
	}
	return &exitError{status: exitReportFailed}
}

// parseParameters reads NAME=VALUE. Values are strings: a literal that is exactly
// "$NAME" becomes the value as a Python string.
func parseParameters(pairs []string) (map[string]any, error) {
	if len(pairs) == 0 {
		return nil, nil // nothing is replaced
	}
	values := map[string]any{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("-p %s: write it as NAME=VALUE", pair)
		}
		values[name] = value
	}
	return values, nil
}

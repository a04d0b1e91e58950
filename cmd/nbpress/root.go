package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"nbpress/runner/local"
)

// The exit statuses, the same for every command; `nbpress --help` lists them.
const (
	exitDone           = 0
	exitReportFailed   = 1
	exitWrongUse       = 2
	exitInfrastructure = 3
)

// exitError is an error with the exit status it means. A command that has said
// everything already returns one without an error.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// wrongUse marks an error as the user's to mend.
func wrongUse(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{status: exitWrongUse, err: err}
}

// exitStatus prints what went wrong, with the next step, and returns the exit status.
func exitStatus(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	exit := &exitError{status: exitInfrastructure, err: err}
	errors.As(err, &exit)
	if errors.Is(exit.err, context.Canceled) {
		exit.err = errors.New("interrupted")
	}
	if exit.err != nil {
		fmt.Fprintln(plainText{stderr}, "nbpress:", exit.err) // a remote's words may be in it
	}
	if errors.Is(err, local.ErrNoPython) {
		fmt.Fprintln(stderr, "Install what reports need into a virtual environment, for example")
		fmt.Fprintln(stderr, "  python3 -m venv .venv && .venv/bin/pip install -r kernel-image/kernel-requirements.txt")
		fmt.Fprintln(stderr, "and name it with --python .venv/bin/python (agent: executor.local.python).")
	}
	return exit.status
}

func rootCommand(std streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "nbpress",
		Short: "Scheduled customer reports from a Git repository of Jupyter notebooks",
		Long: `nbpress turns a Git repository of Jupyter notebooks into scheduled customer reports.

Each folder with a config.json is a report: a notebook, a Jinja2 template, catalogs and
a schedule. The agent runs it for every asset, renders a page per language, publishes
the pages to the store and commits a manifest of each run to the ledger.

Write reports:   nbpress new, preview, run, check, messages     (docs/authors.md)
Parts of them:   nbpress execute, render, schema                (docs/authors.md)
Operate:         nbpress agent, check-image, jwks               (docs/operations.md)
Look into runs:  nbpress list, show, logs, fetch                (docs/reading.md)
Ask for runs:    nbpress request, backfill, rerun, cancel       (docs/reading.md)

Exit status: 0 done, 1 the report failed, 2 wrong use or invalid bundle, 3 infrastructure.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,

		SuggestionsMinimumDistance: 2,

		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return wrongUse(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
	})
	root.AddCommand(
		agentCommand(std), runCommand(std), executeCommand(std), renderCommand(std), checkCommand(std),
		newCommand(std), previewCommand(std), messagesCommand(std), schemaCommand(std),
		listCommand(std), showCommand(std), logsCommand(std), fetchCommand(std),
		requestCommand(std), backfillCommand(std), rerunCommand(std), cancelCommand(std), checkImageCommand(std),
		jwksCommand(std), versionCommand(std),
	)
	for _, cmd := range root.Commands() {
		cmd.Args = wrongArgs(cmd.Args)
	}
	root.Args = wrongArgs(root.Args)
	return root
}

// wrongArgs makes a wrong number of arguments, an unknown command, and flags that are
// missing or do not go together, wrong use.
func wrongArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := errors.Join(cmd.ValidateRequiredFlags(), cmd.ValidateFlagGroups())
		if check != nil && err == nil {
			err = check(cmd, args)
		}
		if err == nil {
			return nil
		}
		if !cmd.HasParent() && len(args) > 0 {
			if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
				return wrongUse(fmt.Errorf("%w; did you mean %s?", err, strings.Join(meant, " or ")))
			}
		}
		return wrongUse(fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath()))
	}
}

func versionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, "nbpress", version())
			return err
		},
	}
}

// version is what the Go toolchain stamped into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return info.Main.Version + " " + setting.Value
		}
	}
	return info.Main.Version
}

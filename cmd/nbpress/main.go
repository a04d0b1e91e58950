// Command nbpress turns a Git repository of Jupyter notebooks into scheduled
// customer reports.
//
// This package is the command line and the wiring, and the only one that knows every
// other; agent.go holds the flow. Only this package reads configuration, environment
// and flags. Each command is a file; run is the whole program, so that tests run it
// as users do.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"nbpress/runner/local"
)

// initCommand is the first argument of the processes that are PID 1 of a sandbox.
const initCommand = "sandbox-init"

func main() {
	if len(os.Args) == 2 && os.Args[1] == initCommand {
		os.Exit(local.Init())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are the standard streams of a command.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// run runs one command and returns its exit status.
func run(ctx context.Context, args []string, std streams) int {
	root := rootCommand(std)
	root.SetArgs(args)
	return exitStatus(root.ExecuteContext(ctx), std.err)
}

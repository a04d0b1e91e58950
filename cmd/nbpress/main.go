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
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"nbpress/runner"
	"nbpress/runner/local"
)

// The only argument of processes that this program makes of itself: PID 1 of a sandbox,
// and a renderer.
const (
	initCommand   = "sandbox-init"
	pongo2Command = "render-pongo2"
)

func main() { program(seams{}) }

// program is the process, from its arguments to its exit status.
func program(tested seams) {
	if status, own := ownProcess(); own {
		os.Exit(status)
	}
	ctx, stop := signal.NotifyContext(context.Background(), endSignals()...)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(impatience, stop) })
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr, tested}))
}

// ownProcess does the work of a process that this program made of itself, if this is one,
// and returns its exit status.
func ownProcess() (status int, own bool) {
	if len(os.Args) != 2 {
		return 0, false
	}
	switch os.Args[1] {
	case initCommand:
		return local.Init(), true
	case pongo2Command:
		if err := runner.ServePongo2(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitInfrastructure, true
		}
		return exitDone, true
	}
	return 0, false
}

// impatience is how long after a signal another one ends the program at once, however it
// hangs: on storage that does not answer, say. Sooner, it is the same one: timeout(1)
// sends it to the program and to its process group.
const impatience = time.Second

// endSignals are those that end the program in order: Ctrl-C, kill(1), a terminal that is
// closed. One that is ignored stays so: of nohup(1), of a script's background jobs.
func endSignals() []os.Signal {
	return slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
}

// streams are the standard streams of a command.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer

	seams seams
}

// seams are where tests of faults get into an agent: they end its process at a point, or
// move its clock. The program itself has none.
type seams struct {
	store    func(runner.Store) runner.Store
	executor func(runner.Executor) runner.Executor
	ledger   func(point string)
	now      func() time.Time
}

// run runs one command and returns its exit status.
func run(ctx context.Context, args []string, std streams) int {
	root := rootCommand(std)
	root.SetArgs(args)
	return exitStatus(root.ExecuteContext(ctx), std.err)
}

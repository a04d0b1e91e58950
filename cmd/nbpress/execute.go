package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"nbpress/runner"
)

// The exit statuses that only `nbpress execute` has: as timeout(1)'s and papermill's.
const (
	exitTimeout    = 124
	exitKernelDied = 138
)

func executeCommand(std streams) *cobra.Command {
	var flags executeFlags
	cmd := &cobra.Command{
		Use:   "execute IN.ipynb OUT.ipynb",
		Short: "Execute a notebook alone",
		Long: `Execute a notebook in a kernel of its own and write it with its outputs.

The notebook runs as you, in its own folder (or --cwd), as in Jupyter: no sandbox.
#NoExecute cells and those with the tag skip-execution are skipped. OUT is saved while
the notebook runs and however it ends. It may be IN; - is standard input or output.

Parameters replace $NAME in #Environment cells. Others go into a cell behind the one
with the tag parameters, which holds the defaults, as with papermill. A value of -p is
True, False, None or a number where it reads like one, and else a text; -r always
gives a text. -f reads a YAML file of them; -p and -r win over it.

The kernel is the one that the notebook names, unless --kernel or --python says so.

Exit status: 0 done, 1 a cell failed, 2 wrong use, 3 infrastructure, 124 a cell ran
longer than --timeout, 138 the kernel died.`,
		Example: `  nbpress execute analysis.ipynb executed.ipynb
  nbpress execute analysis.ipynb executed.ipynb -p region=eu -p alpha=0.6 -r zip=08001
  nbpress execute analysis.ipynb executed.ipynb -f params.yaml --timeout 10m --cwd .
  nbpress execute model.ipynb executed.ipynb --kernel ir --progress 2>run.log
  nbpress execute report.ipynb out.ipynb -p ASSET_ID=plant-1 -p FROM_DAY=2026-11-16`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.progressGiven = cmd.Flags().Changed("progress")
			return executeNotebook(cmd.Context(), std, args[0], args[1], flags)
		},
	}
	f := cmd.Flags()
	f.VarP(parameterFlag{&flags.parameters, typedParameter}, "parameter", "p", "`NAME=VALUE`; may be repeated, as -r and -f")
	f.VarP(parameterFlag{&flags.parameters, textParameter}, "raw", "r", "`NAME=TEXT`: a text, also where it looks like a number")
	f.StringArrayVarP(&flags.files, "file", "f", nil, "a YAML `file` of parameters, NAME: VALUE")
	f.BoolVar(&flags.allowUnknown, "allow-unknown", false, "give the notebook also parameters that it does not know")
	f.StringVar(&flags.cwd, "cwd", "", "the `folder` that the notebook runs in (default: its own)")
	f.StringVarP(&flags.kernel, "kernel", "k", "", "an installed kernel by its `name`, started as it is")
	f.StringVar(&flags.python, "python", "", "the `interpreter` with ipykernel (default: of $VIRTUAL_ENV, of .venv, or python3)")
	f.Var(&flags.timeout, "timeout", "how long one cell may take, such as 2m or 120 (default: no limit)")
	f.Var(&flags.startTimeout, "start-timeout", "how long the kernel may take to start (default: 1m)")
	f.Var(&flags.outputLimit, "output-limit", "how much output the notebook keeps, of one cell or of all, such as 256Mi (default: 32Mi, and 16Mi of a cell)")
	f.BoolVar(&flags.allowErrors, "allow-errors", false, "go on after a cell that raised")
	f.BoolVar(&flags.progress, "progress", false, "show each cell; on a terminal the default, =false shows nothing")
	return cmd
}

type executeFlags struct {
	parameters    runner.Parameters // of -p and -r, in their order
	files         []string
	allowUnknown  bool
	cwd           string
	kernel        string
	python        string
	timeout       seconds
	startTimeout  seconds
	outputLimit   amount
	allowErrors   bool
	progress      bool
	progressGiven bool
}

// execution is a notebook that is ready to be executed.
type execution struct {
	in, out string
	flags   executeFlags
	sources []string
	data    []byte
	values  map[string]any
	kernel  kernelChoice
	file    *outFile
}

func executeNotebook(ctx context.Context, std streams, in, out string, flags executeFlags) error {
	e := &execution{in: in, out: out, flags: flags}
	notes, err := e.prepare(ctx, std)
	if err != nil {
		return err
	}
	said := plainText{std.err}
	for _, note := range notes {
		fmt.Fprintf(said, "note: %s\n", note)
	}
	return e.run(ctx, std, said)
}

// prepare does all that can go wrong before a kernel is started. What it says is the
// user's to mend, but for a full disk.
func (e *execution) prepare(ctx context.Context, std streams) (notes []string, err error) {
	if err := e.flags.check(); err != nil {
		return nil, wrongUse(err)
	}
	source, err := readInput(e.in, std.in)
	if err != nil {
		return nil, wrongUse(err)
	}
	nb, err := runner.ReadNotebook(e.in, source)
	if err != nil {
		return nil, wrongUse(err)
	}
	if e.kernel, notes, err = e.flags.chooseKernel(ctx, nb.Kernelspec()); err != nil {
		return nil, wrongUse(err)
	}
	if e.flags.kernel != "" {
		nb.SetKernelspec(e.kernel.spec())
	}
	parameters, err := e.flags.all()
	if err != nil {
		return nil, wrongUse(err)
	}
	e.values, err = nb.Fill(parameters, e.kernel.language, e.flags.allowUnknown)
	if errors.Is(err, runner.ErrUnknownParameter) {
		err = fmt.Errorf("%w\n(--allow-unknown gives it to the notebook all the same)", err)
	}
	if err != nil {
		return nil, wrongUse(err)
	}
	e.sources = nb.Sources()
	if e.data, err = nb.Encode(); err != nil {
		return nil, err
	}
	e.file, err = openOut(e.out, std.out, e.data)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil, err
	}
	if err == nil && e.file.inPlace && sameFile(e.in, e.out) {
		err = fmt.Errorf("%s is the notebook itself, in a folder where no file can be written beside it: a killed run would leave half of it; name another file", e.out)
	}
	return notes, wrongUse(err)
}

// check finds what is wrong with the flags alone.
func (f executeFlags) check() error {
	if f.kernel != "" && f.python != "" {
		return errors.New("--kernel takes an installed kernel as it is, --python an interpreter; give one of them")
	}
	if f.cwd == "" {
		return nil
	}
	info, err := os.Stat(f.cwd)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err != nil {
		return fmt.Errorf("--cwd %s: %w", f.cwd, withoutPath(err))
	}
	return nil
}

// readInput reads the notebook; "-" is stdin.
func readInput(in string, stdin io.Reader) ([]byte, error) {
	if in == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(in)
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false // stdin
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// folder is where the notebook runs.
func (e *execution) folder() string {
	if e.flags.cwd != "" {
		return e.flags.cwd
	}
	if info, err := os.Stat(e.in); err != nil || !info.Mode().IsRegular() { // -, /dev/stdin, <(...)
		return "."
	}
	return filepath.Dir(e.in)
}

// run executes the notebook and says how it went.
func (e *execution) run(ctx context.Context, std streams, said io.Writer) (err error) {
	closed := make(chan os.Signal, 1) // a pipe that nobody reads fails the write, and does not end us: the kernel would stay
	signal.Notify(closed, syscall.SIGPIPE)
	defer signal.Stop(closed)
	kernel, err := e.kernel.start(ctx, e.folder())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	show := e.progress(std.err)
	options := runner.CellsOptions{
		CellTimeout: e.flags.timeout.Duration, StartTimeout: e.flags.startTimeout.Duration,
		OutputLimit: int64(e.flags.outputLimit.Bytes), CellOutputLimit: int64(e.flags.outputLimit.Bytes),
		AllowErrors: e.flags.allowErrors, Values: e.values, Interrupt: kernel.Interrupt, Log: consoleLog(std),
		Progress: func(p runner.Progress) { show.step(runner.Step{Stage: "execute", Cell: &p}) },
	}
	if e.file.stream == nil {
		options.Save = e.file.write
	}
	executed, failure, warnings, err := runner.ExecuteNotebook(ctx, e.data, kernel.Connection, kernel.Died, options)
	if e.file.stream != nil && len(executed) > 0 {
		err = errors.Join(err, e.file.send(executed))
	}
	for _, w := range warnings {
		fmt.Fprintf(said, "warning: %s\n", w)
	}
	switch {
	case failure != nil:
		show.done("failed: " + string(failure.Code))
		fmt.Fprint(said, explain(failure, e.sources, e.advice(failure, err == nil)))
		if log := kernel.Log(); len(log) > 0 && (failure.Code == runner.KernelDied || failure.Code == runner.StartTimeout) {
			fmt.Fprintf(said, "\nThe kernel's own words:\n%s\n", log)
		}
		if err == nil {
			err = &exitError{status: executeStatus(failure.Code)}
		}
	case err != nil:
		show.done("not finished")
		if ctx.Err() != nil {
			fmt.Fprintf(said, "%s holds what was executed\n", e.file.path)
		}
	default:
		show.done("completed")
	}
	return err
}

// progress shows cells on a terminal, or where it was asked for.
func (e *execution) progress(stderr io.Writer) *progress {
	if e.flags.progressGiven && !e.flags.progress {
		stderr = io.Discard
	}
	show := newProgress(stderr, filepath.Base(e.in))
	show.terse = !e.flags.progress && !show.live
	return show
}

// advice is what to do about a failure of a notebook that has no config.json.
func (e *execution) advice(f *runner.Failure, saved bool) string {
	look := "."
	if saved {
		look = "; " + e.file.path + " holds what was executed."
	}
	switch advice := f.Advice(); {
	case f.Code == runner.CellError:
		return "Read the traceback and mend the cell" + look
	case f.Code == runner.CellTimeout && advice == f.Code.Advice():
		return "Make the cell faster, or raise --timeout" + look
	case f.Code == runner.StartTimeout:
		return advice + " --start-timeout gives it longer."
	case f.Code == runner.KernelDied && strings.Contains(f.Message, "signal: killed"):
		return "Somebody killed the kernel; mostly that is the system, when memory runs out: use less of it at a time."
	case f.Code == runner.MessagesLost && e.kernel.installed != nil && strings.EqualFold(e.kernel.language, "python"):
		return advice + " As --kernel starts it, a kernel drops what is not read in time; without --kernel it waits."
	default:
		return advice
	}
}

func executeStatus(code runner.Code) int {
	switch code {
	case runner.CellTimeout, runner.RunTimeout:
		return exitTimeout
	case runner.KernelDied, runner.OOMKilled:
		return exitKernelDied
	}
	if code.Fault() == runner.FaultPlatform {
		return exitInfrastructure
	}
	return exitReportFailed
}

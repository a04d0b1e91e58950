package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/redact"
)

// CellsOptions say how a notebook's cells are run. The zero value works.
type CellsOptions struct {
	CellTimeout  time.Duration   // of one cell; 0: none
	StartTimeout time.Duration   // until the kernel answers; default 1 minute
	Grace        time.Duration   // for an interrupted cell to end; default 5 s
	AllowErrors  bool            // go on after a cell that raised
	Values       notebook.Values // for $NAME in #Environment cells; nil: nothing is replaced
	OutputLimit  int64           // bytes of outputs kept per notebook; default 32 MiB
	// CellOutputLimit is how many of them a cell may take; default 16 MiB.
	CellOutputLimit int64
	// ReasonTimeout is how long to wait for the sandbox's word on a kernel whose connection
	// ended; default 700 ms.
	ReasonTimeout time.Duration
	Progress      func(Progress) // called before and after each cell; may be nil

	// Save is called with what writes the whole file as it is so far, after cells and
	// during long ones, as often as takes no more than a tenth of the time, and at the
	// end in any case; may be nil. It is called from other goroutines, one call at a
	// time. Only the last call's error counts.
	Save func(write func(io.Writer) error) error

	// Interrupt interrupts the kernel; nil: by a message to it.
	Interrupt func() error

	Log *slog.Logger // nil: no log

	environment map[string]string // of the kernel, set before the first cell
	hidden      *redact.Redactor  // what no output may show; nil: nothing
	death       *deathWatch       // nil: nothing is known of the kernel's process
	saveRest    time.Duration     // how long the output of a running cell may wait to be saved; tests shorten it
	silence     time.Duration     // how long a kernel may owe half of a cell's end, 0: the client's default; tests shorten it
}

func (o CellsOptions) withDefaults() CellsOptions {
	if o.StartTimeout <= 0 {
		o.StartTimeout = time.Minute
	}
	if o.Grace <= 0 {
		o.Grace = 5 * time.Second
	}
	if o.OutputLimit <= 0 {
		o.OutputLimit = 32 << 20
	}
	if o.CellOutputLimit <= 0 {
		o.CellOutputLimit = 16 << 20
	}
	if o.saveRest <= 0 {
		o.saveRest = 30 * time.Second
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return o
}

// Progress tells that a cell was started or finished.
type Progress struct {
	Cell    int // among the cells that are executed, from 1
	Cells   int // how many are executed
	Index   int // among all cells, from 0
	Event   ProgressEvent
	Elapsed time.Duration // since the cell was started
	Source  string        // as in the notebook
}

// ProgressEvent is what Progress tells.
type ProgressEvent string

// The events of a cell. A cell that failed has finished, too.
const (
	CellStarted  ProgressEvent = "started"
	CellFinished ProgressEvent = "finished"
)

// ExecuteNotebook executes the notebook file data in the kernel that listens at
// conn, ends the kernel, and returns the notebook with its outputs, as a file, unless
// Save takes that. The kernel's sandbox tells on dead how the kernel ended by itself; nil: it never does.
//
// A Failure is the notebook's result; the executed notebook then reaches to the
// failing cell. Warnings are for people. An error is infrastructure's: ctx was
// canceled, the file is no notebook, the kernel broke the protocol.
func ExecuteNotebook(ctx context.Context, data []byte, conn jupyter.Connection, dead <-chan Death, o CellsOptions) (executed []byte, failure *Failure, warnings []string, err error) {
	executed, failure, warnings, err = executeFile(ctx, data, conn, dead, o)
	return executed, failure.fit(), fitWarnings(warnings), fitError(err)
}

// executeFile does what ExecuteNotebook says; its texts are as the kernel sent them.
func executeFile(ctx context.Context, data []byte, conn jupyter.Connection, dead <-chan Death, o CellsOptions) (executed []byte, failure *Failure, warnings []string, err error) {
	nb, err := notebook.Parse(data)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read notebook: %w", err)
	}
	failure, warnings, err = executeCells(ctx, nb, conn, dead, o)
	if o.Save != nil {
		if saveErr := o.Save(nb.Write); saveErr != nil {
			err = errors.Join(err, fmt.Errorf("save the notebook: %w", saveErr))
		}
		return nil, failure, warnings, err
	}
	executed, encodeErr := nb.Encode()
	if encodeErr == nil {
		executed, encodeErr = o.hidden.JSON(executed)
	}
	if encodeErr != nil {
		err = errors.Join(err, fmt.Errorf("write notebook: %w", encodeErr))
	}
	return executed, failure, warnings, err
}

// executeCells connects to a kernel, runs the notebook's cells in it and shuts it
// down. It changes nb, and returns as ExecuteNotebook does. A kernel that does not
// become ready is a Failure, too: StartTimeout, or what dead said.
func executeCells(ctx context.Context, nb *notebook.Notebook, conn jupyter.Connection, dead <-chan Death, o CellsOptions) (failure *Failure, warnings []string, err error) {
	for _, index := range executable(nb) { // a kernel that does not start leaves no outputs of another run
		nb.Cells[index].Outputs, nb.Cells[index].ExecutionCount = nil, nil
	}
	o = o.withDefaults()
	o.death = watchDeath(dead, o.ReasonTimeout)
	defer o.death.close()
	client, failure, err := connectKernel(ctx, conn, o)
	if client == nil {
		return failure, nil, err
	}
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		shutdownErr := client.Shutdown(stop)
		if shutdownErr != nil && o.Log != nil {
			o.Log.Debug("kernel did not agree to end", "error", shutdownErr) // its sandbox ends it
		}
		if shutdownErr == nil && failure == nil && err == nil && dead != nil {
			o.death.wait(exitTimeout) // it flushes files that the notebook left open
		}
		err = errors.Join(err, client.Close())
	}()
	failure, err = setEnvironment(ctx, client, o.environment)
	var died *jupyter.KernelDied
	if errors.As(err, &died) {
		return o.death.failure(died, nil), nil, nil
	}
	if failure != nil || err != nil {
		return failure, nil, err
	}
	return runCells(ctx, client, nb, o)
}

// shutdownTimeout is how long a kernel gets to agree to end; it needs milliseconds.
const shutdownTimeout = time.Second

// exitTimeout is how long a kernel that agreed to end may take over it.
const exitTimeout = 5 * time.Second

// connectKernel returns a client, or a failure, or an error.
func connectKernel(ctx context.Context, conn jupyter.Connection, o CellsOptions) (*jupyter.Client, *Failure, error) {
	start, cancel := context.WithTimeout(ctx, o.StartTimeout)
	defer cancel()
	client, err := jupyter.Connect(start, conn, jupyter.Options{Dead: o.death.done, Log: o.Log, Silence: o.silence})
	var died *jupyter.KernelDied
	switch {
	case err == nil:
		return client, nil, nil
	case errors.As(err, &died):
		return nil, o.death.failure(died, nil), nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, &Failure{Code: RunTimeout, Message: "the run's time was up before the kernel answered: " + err.Error()}, nil
	case ctx.Err() == nil && start.Err() != nil:
		return nil, &Failure{Code: StartTimeout, Message: err.Error()}, nil
	}
	return nil, nil, err
}

// runCells runs the notebook's cells through a connected client. It changes nb and
// returns as ExecuteNotebook does. When ctx's deadline passes, that is a Failure
// with code RunTimeout; when ctx is canceled, an error.
func runCells(ctx context.Context, client *jupyter.Client, nb *notebook.Notebook, o CellsOptions) (*Failure, []string, error) {
	r := &cellsRun{client: client, nb: nb, o: o.withDefaults()}
	r.out = newOutputs(r.o.CellOutputLimit, r.o.OutputLimit)
	r.out.hidden = r.o.hidden
	r.describeLanguage()
	r.saver = saver{snapshot: r.snapshot, save: r.o.Save, log: r.o.Log, rest: r.o.saveRest}
	r.saver.start()
	failure, err := r.cells(ctx, executable(nb))
	r.saver.close()
	if drainErr := client.Drain(r.out.message); err == nil {
		err = drainErr
	}
	r.hideStreams()
	r.describeWidgets()
	return failure, r.warnings(), err
}

// hideStreams redacts what was printed, in cells and in output widgets.
func (r *cellsRun) hideStreams() {
	for _, cell := range r.nb.Cells {
		hideStreams(cell, r.o.hidden)
	}
	for _, m := range r.out.widgets.models {
		if m.outputs != nil {
			hideStreams(m.outputs.cell, r.o.hidden)
		}
	}
}

// cellsRun is one run of a notebook's cells.
type cellsRun struct {
	client *jupyter.Client
	nb     *notebook.Notebook
	o      CellsOptions
	out    *outputs
	saver  saver
	holes  int // the cell from which on messages were lost, from 1; 0: none
	notes  []string
}

// verdict says whether and why the run ends after a cell.
type verdict struct {
	ended   bool
	failure *Failure // nil: a clean end
}

// executable returns the indexes of the cells that are run.
func executable(nb *notebook.Notebook) []int {
	var plan []int
	for i, cell := range nb.Cells {
		if cell.Executed() {
			plan = append(plan, i)
		}
	}
	return plan
}

// describeLanguage stores what the kernel says about its language, as Jupyter does.
func (r *cellsRun) describeLanguage() {
	info := languageInfo(r.client.Info().LanguageInfo)
	if info == nil {
		return
	}
	if r.nb.Metadata == nil {
		r.nb.Metadata = make(map[string]any)
	}
	r.nb.Metadata["language_info"] = info
}

// describeWidgets stores the widgets' state. A notebook without widgets keeps what an
// earlier run stored, as with nbclient.
func (r *cellsRun) describeWidgets() {
	state := r.out.widgets.metadata()
	if state == nil {
		return
	}
	if r.nb.Metadata == nil {
		r.nb.Metadata = make(map[string]any)
	}
	r.nb.Metadata["widgets"] = state
}

// snapshot returns the notebook so far.
func (r *cellsRun) snapshot() *notebook.Notebook {
	r.describeWidgets()
	return r.nb.Snapshot()
}

// warnings returns the run's notes and one line per cell whose output was cut. In
// texts, as in those of `nbpress check`, cells count from 1.
func (r *cellsRun) warnings() []string {
	cells := make(map[int]*cellOutputs)
	for _, c := range r.out.byParent {
		cells[c.index] = c
	}
	for _, index := range slices.Sorted(maps.Keys(cells)) {
		if c := cells[index]; c.cut != "" {
			r.note("the output of cell %d was cut: %s", index+1, c.cut)
		} else if c.missed != "" {
			r.note("output of cell %d is missing: %s", index+1, c.missed)
		}
	}
	if n := r.client.Lost(); n > 0 && r.holes > 0 {
		r.note("%s of the kernel never came: outputs may be missing from cell %d on", counted(n, "message"), r.holes)
	}
	if n := r.client.Repeated(); n > 0 {
		r.note("%s of the kernel came twice, and counted once: somebody may be replaying them", counted(n, "message"))
	}
	return append(r.notes, r.out.widgets.warnings()...)
}

// counted is "1 message" or "2 messages".
func counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// cells runs the planned cells in order, up to the first that ends the run.
func (r *cellsRun) cells(ctx context.Context, plan []int) (*Failure, error) {
	r.saver.notebook.Lock()
	defer r.saver.notebook.Unlock()
	r.saver.soon()
	for n, index := range plan {
		v, err := r.cell(ctx, Progress{Cell: n + 1, Cells: len(plan), Index: index, Source: r.nb.Cells[index].Source})
		switch lost := r.client.Lost(); {
		case lost == 0:
			r.holes = 0 // what was on its way has come
		case r.holes == 0:
			r.holes = index + 1
		}
		if err != nil || v.ended {
			return v.failure, err
		}
		r.saver.soon()
	}
	return nil, nil
}

// cell runs one cell and says whether the run ends with it.
func (r *cellsRun) cell(ctx context.Context, p Progress) (verdict, error) {
	source, failure := r.source(p.Index)
	if failure != nil {
		return verdict{ended: true, failure: failure}, nil
	}
	p.Event = CellStarted
	r.o.Progress(p)
	started := time.Now()
	defer func() {
		p.Event, p.Elapsed = CellFinished, time.Since(started)
		r.o.Progress(p)
	}()

	timed, cancel := ctx, context.CancelFunc(func() {})
	if r.o.CellTimeout > 0 {
		timed, cancel = context.WithTimeout(ctx, r.o.CellTimeout)
	}
	defer cancel()
	out := r.out.begin(p.Index, r.nb.Cells[p.Index])
	out.number = p.Cell
	r.out.widgets.synchronize(func(commID string, data any) error { return r.client.SendComm(timed, commID, data) })
	reply, err := r.saver.await(r.out.message, func(on func(jupyter.Message)) (jupyter.Reply, error) {
		return r.client.Execute(timed, source, on)
	})
	defer func() { out.finish(reply) }()
	if err != nil && timed.Err() != nil && errors.Is(err, timed.Err()) {
		reply, failure, err = r.outOfTime(ctx, out)
		return verdict{ended: true, failure: failure}, err
	}
	return r.judge(reply, err, out)
}

// source returns what is sent for a cell: its source, in #Environment cells with
// the values filled in.
func (r *cellsRun) source(index int) (string, *Failure) {
	cell := r.nb.Cells[index]
	if r.o.Values == nil || !cell.Environment() {
		return cell.Source, nil
	}
	source, _, problems := notebook.Substitute(cell.Source, r.o.Values)
	for _, p := range problems {
		if p.Name == "" {
			continue // a literal that does not end: Python says it better
		}
		return "", &Failure{
			Code: InvalidReport, Message: fmt.Sprintf("%s; %s", p.What, p.Do),
			Cell: &CellRef{Index: index, Line: p.Line},
		}
	}
	return source, nil
}

// finish writes what is only known at a cell's end.
func (c *cellOutputs) finish(reply jupyter.Reply) {
	if reply.Count > 0 {
		c.cell.ExecutionCount = &reply.Count
	}
	if !reply.At.IsZero() {
		c.times["shell.execute_reply"] = reply.At.Format(timeFormat)
	}
	if len(c.times) == 0 {
		return
	}
	if c.cell.Metadata == nil {
		c.cell.Metadata = make(map[string]any)
	}
	times := make(map[string]any, len(c.times))
	for event, at := range c.times {
		times[event] = at
	}
	c.cell.Metadata["execution"] = times
}

// ref names the cell. A kernel that died at once may not have told its count.
func (c *cellOutputs) ref() *CellRef {
	ref := &CellRef{Index: c.index, ExecutionCount: c.number}
	if c.cell.ExecutionCount != nil {
		ref.ExecutionCount = *c.cell.ExecutionCount
	}
	return ref
}

// judge decides by the kernel's reply and the client's error.
func (r *cellsRun) judge(reply jupyter.Reply, err error, out *cellOutputs) (verdict, error) {
	var died *jupyter.KernelDied
	var broken *jupyter.ProtocolError
	switch {
	case errors.As(err, &died):
		return verdict{ended: true, failure: r.o.death.failure(died, out.ref())}, nil
	case errors.As(err, &broken): // nobody speaks there but the kernel, and so the notebook's code
		return verdict{ended: true, failure: &Failure{Code: KernelDied, Message: protocolBroken + err.Error(), Cell: out.ref()}}, nil
	case errors.Is(err, jupyter.ErrIdleLost):
		return verdict{ended: true, failure: &Failure{Code: MessagesLost, Message: err.Error(), Cell: out.ref()}}, nil
	case err != nil:
		return verdict{ended: true}, fmt.Errorf("execute cell %d: %w", out.index+1, err)
	case reply.Status == "ok" && reply.AskExit:
		r.note("cell %d ended the notebook: it called exit()", out.index+1)
		return verdict{ended: true}, nil
	case reply.Status == "ok":
		return verdict{}, nil
	case cleanExit(reply):
		r.note("cell %d ended the notebook: it called sys.exit()", out.index+1)
		return verdict{ended: true}, nil
	case reply.Status == "error" && (r.o.AllowErrors || out.cell.HasTag("raises-exception")):
		return verdict{}, nil
	}
	return verdict{ended: true, failure: cellError(out.index, reply)}, nil
}

func (r *cellsRun) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// cleanExit reports whether the cell called sys.exit() with a status that means
// success, as papermill takes it. The kernel itself goes on after it.
func cleanExit(reply jupyter.Reply) bool {
	if reply.Status != "error" || reply.EName != "SystemExit" {
		return false
	}
	return reply.EValue == "" || reply.EValue == "0" || reply.EValue == "None"
}

// outOfTime is called when a cell was still running as its time, or the run's, was
// up. It interrupts the cell, so that its traceback tells where it was; a cell that
// does not heed that is left to its sandbox.
func (r *cellsRun) outOfTime(ctx context.Context, out *cellOutputs) (jupyter.Reply, *Failure, error) {
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return jupyter.Reply{}, nil, fmt.Errorf("execute cell %d: %w", out.index+1, context.Cause(ctx))
	}
	f := &Failure{Code: CellTimeout, Message: fmt.Sprintf("the cell ran longer than %s", r.o.CellTimeout)}
	if ctx.Err() != nil {
		f.Code, f.Message = RunTimeout, "the run's time was up while the cell ran"
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Grace)
	defer cancel()
	reply, err := r.saver.await(r.out.message, func(on func(jupyter.Message)) (jupyter.Reply, error) {
		if err := r.interrupt(grace); err != nil {
			return jupyter.Reply{}, err
		}
		return r.client.Wait(grace, on)
	})
	f.Cell = out.ref()
	var died *jupyter.KernelDied
	if errors.As(err, &died) { // xeus-python and Deno end by a SIGINT
		f.Message += ", and its kernel ended when it was interrupted"
		return reply, f, nil
	}
	if err != nil && r.client.Unanswered() >= time.Second {
		f.Message += heartless
		return reply, f, nil
	}
	if err != nil {
		f.Message += ", and did not heed an interrupt (it catches KeyboardInterrupt, or waits in C code: give that a timeout)"
		return reply, f, nil
	}
	f.Traceback, f.Cell.Line = readTraceback(reply)
	return reply, f, nil
}

func (r *cellsRun) interrupt(ctx context.Context) error {
	if r.o.Interrupt != nil {
		return r.o.Interrupt()
	}
	return r.client.Interrupt(ctx)
}

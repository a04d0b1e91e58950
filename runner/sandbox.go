package runner

import (
	"context"
	"io"
	"io/fs"
	"time"

	"nbpress/runner/internal/jupyter"
)

// Executor makes sandboxes: pods, or folders with their processes.
type Executor interface {
	// Start makes the sandbox of one attempt. What it returns must be closed,
	// also when ctx was canceled meanwhile.
	Start(ctx context.Context, spec Spec) (Sandbox, error)
}

// Spec says what one attempt needs of its sandbox.
type Spec struct {
	Run        RunID
	Generation int
	Attempt    int
	Report     string
	Asset      string
	Slot       time.Time         // of the run, for people who look at the sandbox; zero: it has none
	Commit     string            // of the bundle, as Slot; "": not known
	Image      string            // "" means the executor's default
	Env        map[string]string // all that the notebook's environment may hold beyond the executor's own, and
	Secrets    Secrets           // what goes there as well, over Env, and must be seen nowhere else: not in arguments, objects, logs or the renderer
	MilliCPU   int64             // 0 means the executor's default
	Memory     int64             // bytes; 0 means the executor's default
	Deadline   time.Time         // after it the sandbox may be removed by anybody
}

// Sandbox is where one attempt lives. Its methods are called by one goroutine, in
// the order Put, Kernel, StopKernel, Get and List and Log, Render, Close; with
// more than one language that is executed apart, the row up to List repeats.
// Close alone may be called at any time, also while another method runs.
type Sandbox interface {
	// Put replaces the work folder's contents by the files of fsys.
	Put(ctx context.Context, fsys fs.FS) error
	// Kernel starts a kernel in the work folder and returns where it listens. The
	// channel yields how the kernel ended, once, when it ends, for whatever reason.
	Kernel(ctx context.Context) (jupyter.Connection, <-chan Death, error)
	// StopKernel returns when the kernel and every process that it started are
	// gone. It is idempotent, and no error when there is no kernel.
	StopKernel(ctx context.Context) error
	// Get returns a regular file of the work folder: fs.ErrNotExist where there is
	// none, ErrTooLarge where it has more than limit bytes. Symbolic links are not
	// followed.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// List returns the slash-separated paths of the work folder's regular files,
	// sorted, at most a few thousand of them.
	List(ctx context.Context) ([]string, error)
	// Log returns the end of what the kernel's processes wrote to standard output
	// and standard error, at most limit bytes.
	Log(ctx context.Context, limit int64) ([]byte, error)
	// Render runs our renderer with stdin as its request, in a fresh interpreter
	// and a fresh folder, out of reach of everything that the notebook left.
	Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error
	// Close removes the sandbox with everything in it. It is idempotent and works
	// after the context of Start was canceled.
	Close(ctx context.Context) error
}

// Death is how a kernel ended by itself, as far as its sandbox can tell.
type Death struct {
	Code    Code   // KernelDied, OOMKilled, PodDeleted, ...; "" when it exited with status 0
	Message string // "exit status 1", "signal: killed", the cluster's own word
}

// timedStart is a sandbox that knows how long the parts of its start took.
type timedStart interface {
	StartParts() map[string]time.Duration
}

package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nbpress/runner"
)

// Options tune an executor. The zero value works.
type Options struct {
	Python string       // the interpreter with ipykernel and Jinja2; "" means python3 of $PATH
	Dir    string       // where sandboxes stand while they live; "" means a folder of the system's own for temporary files
	Init   []string     // the command that calls Init in this binary; nil means no isolation
	Log    *slog.Logger // nil means slog.Default()

	// Hidden are paths that no program of a sandbox may see: New refuses to show a folder
	// that they lie in. They need not exist, "" is none. A sandbox shows the system's
	// folders and all that the interpreter reads modules from: for a virtual environment
	// its whole folder, with whatever else was put there. Dir is always among them.
	Hidden []string

	// Processes bounds the processes and threads of a sandbox, 0 means 4096. It needs
	// isolation; as root without user namespaces all sandboxes share it.
	Processes int
}

// isolation is what it takes to isolate programs.
type isolation struct {
	init      []string // as in Options
	python    interpreter
	processes int
}

// defaultProcesses is room for a pool of workers with a pool of threads each.
const defaultProcesses = 4096

// Executor makes sandboxes in a folder of this machine.
type Executor struct {
	python interpreter
	dir    string
	spawn  spawner
	log    *slog.Logger
}

// spawner starts programs: in namespaces, or in a process group.
type spawner interface {
	fmt.Stringer // the isolation's name
	// start returns once the program was started or could not be.
	start(p program) (*process, error)
	// own gives a file to the user that programs run as.
	own(path string) error
	// inside returns the path at which programs see a path of the sandbox's folder.
	inside(box, name string) string
}

// ErrNoPython is wrapped by what New returns where there is no interpreter with all
// that a report needs.
var ErrNoPython = errors.New("no usable Python")

// probeTimeout bounds each of the few programs that New runs.
const probeTimeout = 20 * time.Second

// New finds the interpreter, finds out how well this machine can isolate, and
// removes what an earlier agent left behind in the folder. The interpreter is
// trusted: it is the operator's.
func New(ctx context.Context, o Options) (*Executor, error) {
	e := &Executor{dir: o.Dir, log: o.Log}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.dir == "" {
		e.dir = filepath.Join(os.TempDir(), fmt.Sprintf("nbpress-%d", os.Getuid()))
	}
	var err error
	if e.dir, err = ownFolder(e.dir); err != nil {
		return nil, fmt.Errorf("sandbox folder: %w", err)
	}
	if e.python, err = findPython(ctx, o.Python, ipykernel, jinja2); err != nil {
		return nil, err
	}
	if o.Processes == 0 {
		o.Processes = defaultProcesses
	}
	e.spawn = e.bestSpawner(ctx, isolation{o.Init, e.python, o.Processes})
	if err := checkHidden(append(o.Hidden[:len(o.Hidden):len(o.Hidden)], e.dir), e.spawn); err != nil {
		return nil, err
	}
	if err := e.sweep(); err != nil { // whatever a notebook left there, work goes on
		e.log.Warn("stale sandboxes remain", "path", e.dir, "error", err)
	}
	return e, ctx.Err()
}

// ownFolder makes a folder that nobody else can enter, and returns its absolute
// path. It refuses one that somebody else made for us, or a link to anywhere: the
// folder of temporary files is everybody's.
func ownFolder(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is a link or a file; name the folder itself", dir)
	}
	if owner := ownerOf(info); owner != os.Geteuid() {
		return "", fmt.Errorf("%s belongs to user %d, not to us (%d)", dir, owner, os.Geteuid())
	}
	return dir, os.Chmod(dir, 0o700)
}

// bestSpawner returns the first way of isolating that works here.
func (e *Executor) bestSpawner(ctx context.Context, by isolation) spawner {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var refused []string
	for _, s := range isolating(by) {
		err := e.try(ctx, s)
		if err == nil {
			return s
		}
		refused = append(refused, fmt.Sprintf("%v: %v", s, err))
	}
	e.log.Warn("local sandbox without isolation: trusted authors only", "refused", strings.Join(refused, "; "))
	return groupSpawner{}
}

// try runs a trivial program in a sandbox made by s.
func (e *Executor) try(ctx context.Context, s spawner) error {
	probe := &Executor{python: e.python, dir: e.dir, spawn: s, log: e.log}
	box, err := probe.newSandbox("probe", nil)
	if err != nil {
		return err
	}
	defer box.Close(context.WithoutCancel(ctx))
	var out strings.Builder
	p := box.program([]string{e.python.Executable, "-I", "-S", "-c", "pass"})
	p.stdout, p.stderr = &out, &out
	if err := box.run(ctx, p); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(out.String()))
	}
	return nil
}

// Start implements runner.Executor.
func (e *Executor) Start(ctx context.Context, spec runner.Spec) (runner.Sandbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	env := make(map[string]string, len(spec.Env)+len(spec.Secrets))
	maps.Copy(env, spec.Env)
	maps.Copy(env, spec.Secrets)
	return e.newSandbox(fmt.Sprintf("%s-g%d-a%d-", spec.Run, spec.Generation, spec.Attempt), env)
}

// sweep removes the sandboxes of agents that are no more. The processes died with
// their agent; the folders did not.
func (e *Executor) sweep() error {
	boxes, err := e.stale()
	errs := []error{err}
	for box, lock := range boxes {
		errs = append(errs, removeBox(box), lock.Close())
		e.log.Info("removed a stale sandbox", "path", box)
	}
	return errors.Join(errs...)
}

// stale returns the sandboxes whose agent is no more, with their locks.
func (e *Executor) stale() (map[string]*os.File, error) {
	alone, err := lockFolder(e.dir, false) // nobody makes or removes one meanwhile
	if err == nil {
		defer alone.Close()
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		return nil, err
	}
	boxes := map[string]*os.File{}
	patience := time.Now().Add(lockPatience)
	for _, entry := range entries {
		box := filepath.Join(e.dir, entry.Name())
		if info, err := os.Stat(lockPath(box)); alone == nil && (err != nil || info.Size() == 0) && younger(entry, time.Minute) {
			continue // another agent may be making or removing it
		}
		lock, err := lockFile(lockPath(box))
		// A process that a dead agent was just starting has the lock until it is another program.
		for err != nil && ownerGone(lockPath(box)) && time.Now().Before(patience) {
			pauseForLock()
			lock, err = lockFile(lockPath(box))
		}
		if err == nil { // else another agent's, alive
			boxes[box] = lock
		}
	}
	return boxes, nil
}

// ownerGone reports whether the process that wrote its number into a lock is no more.
func ownerGone(lock string) bool {
	text, err := os.ReadFile(lock)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && processGone(pid)
}

// younger reports whether a folder's last change is less than age ago.
func younger(entry os.DirEntry, age time.Duration) bool {
	info, err := entry.Info()
	return err == nil && time.Since(info.ModTime()) < age
}

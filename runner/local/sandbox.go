package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/render"
)

// The folders of a sandbox, below its own.
const (
	workDir   = "work"   // the bundle's files; the working directory
	homeDir   = "home"   // $HOME
	tmpDir    = "tmp"    // $TMPDIR
	socketDir = "kernel" // connection file, launcher, sockets
	renderDir = "render" // the renderer's working directory
	rootDir   = "root"   // where the new root file system is mounted
)

// socketName is what the paths of a kernel's sockets start with, below socketDir.
const socketName = "/k"

// logTail is how much of a kernel's standard output and error is kept.
const logTail = 256 << 10

// sandbox implements runner.Sandbox in a folder.
type sandbox struct {
	dir    string
	python interpreter
	spawn  spawner
	env    []string // of the notebook
	lock   *os.File
	log    *tail
	busy   chan struct{} // holds an element while a method runs

	sockets *os.File // the kernel's sockets' folder, open where its path is too long; used while busy
	removed bool     // used while busy

	mu     sync.Mutex // guards what follows
	cancel context.CancelFunc
	kernel *process
	other  *process // a rendering
	closed bool
}

// errClosed is what methods return once Close was called.
var errClosed = fmt.Errorf("the sandbox is closed: %w", fs.ErrClosed)

// newSandbox makes the folder of a sandbox, locked for as long as we live. The notebook's
// environment gets env, the renderer's does not.
func (e *Executor) newSandbox(name string, env map[string]string) (*sandbox, error) {
	if making, err := lockFolder(e.dir, true); err == nil { // else sweep goes by the folder's age
		defer making.Close()
	}
	dir, err := os.MkdirTemp(e.dir, name)
	if err != nil {
		return nil, fmt.Errorf("make a sandbox: %w", err)
	}
	s := &sandbox{dir: dir, python: e.python, spawn: e.spawn, log: newTail(logTail), busy: make(chan struct{}, 1)}
	if s.lock, err = lockFile(lockPath(dir)); err != nil {
		return nil, errors.Join(fmt.Errorf("make a sandbox: %w", err), os.RemoveAll(dir))
	}
	if _, err := fmt.Fprintln(s.lock, os.Getpid()); err != nil { // from here on sweep believes the lock
		return nil, errors.Join(fmt.Errorf("make a sandbox: %w", err), s.Close(context.Background()))
	}
	for _, sub := range []string{workDir, homeDir, tmpDir, socketDir, renderDir, rootDir} {
		if err := s.mkdir(sub); err != nil {
			return nil, errors.Join(fmt.Errorf("make a sandbox: %w", err), s.Close(context.Background()))
		}
	}
	s.env = s.environment()
	for name, value := range env {
		s.env = append(s.env, name+"="+value)
	}
	return s, nil
}

// lockPath names the file that a living agent holds locked in its sandbox.
func lockPath(box string) string { return filepath.Join(box, "lock") }

// String names the isolation, for manifests.
func (s *sandbox) String() string { return "local, " + s.spawn.String() }

// enter begins a method. Close ends its context and waits for it.
func (s *sandbox) enter(ctx context.Context) (context.Context, func(), error) {
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := ctx.Err()
	if s.closed {
		err = errClosed
	}
	if err != nil {
		<-s.busy
		return nil, nil, err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	cancel := s.cancel
	return ctx, func() { cancel(); <-s.busy }, nil
}

// mkdir makes a folder of the sandbox for its programs to write to.
func (s *sandbox) mkdir(name string) error {
	path := filepath.Join(s.dir, name)
	if err := os.Mkdir(path, 0o755); err != nil {
		return err
	}
	return s.spawn.own(path)
}

// renew empties folders: what one program leaves there the next must not meet.
func (s *sandbox) renew(names ...string) error {
	for _, name := range names {
		if err := errors.Join(removeAll(filepath.Join(s.dir, name)), s.mkdir(name)); err != nil {
			return err
		}
	}
	return nil
}

// environment returns what every program may know: nothing of the agent's.
func (s *sandbox) environment() []string {
	return []string{
		"PATH=" + filepath.Dir(s.python.Executable) + ":/usr/local/bin:/usr/bin:/bin",
		"HOME=" + s.spawn.inside(s.dir, homeDir),
		"TMPDIR=" + s.spawn.inside(s.dir, tmpDir),
		"USER=nbpress",
		"LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1",
	}
}

// program returns argv as a program of this sandbox, in its work folder.
func (s *sandbox) program(argv []string) program {
	return program{
		argv: argv, env: s.environment(), box: s.dir, dir: s.spawn.inside(s.dir, workDir),
		stdout: io.Discard, stderr: io.Discard,
	}
}

// run runs a program to its end, or kills it when ctx ends.
func (s *sandbox) run(ctx context.Context, p program) error {
	proc, err := s.begin(p, &s.other)
	if err != nil {
		return err
	}
	return proc.wait(ctx)
}

// begin starts a program, unless Close came first, and remembers it for Close.
func (s *sandbox) begin(p program, slot **process) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	proc, err := s.spawn.start(p)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(p.argv[0]), err)
	}
	*slot = proc
	return proc, nil
}

// Put implements runner.Sandbox.
func (s *sandbox) Put(ctx context.Context, fsys fs.FS) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.renew(workDir); err != nil {
		return fmt.Errorf("empty the work folder: %w", err)
	}
	return putFiles(ctx, filepath.Join(s.dir, workDir), fsys, s.spawn.own)
}

// Kernel implements runner.Sandbox.
func (s *sandbox) Kernel(ctx context.Context) (jupyter.Connection, <-chan runner.Death, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return jupyter.Connection{}, nil, err
	}
	defer leave()
	conn, dial, err := s.prepareKernel()
	if err != nil {
		return jupyter.Connection{}, nil, fmt.Errorf("prepare the kernel: %w", err)
	}
	for name, data := range map[string][]byte{"connection.json": conn.File(), "launcher.py": jupyter.Launcher()} {
		path := filepath.Join(s.dir, socketDir, name)
		if err := errors.Join(os.WriteFile(path, data, 0o600), s.spawn.own(path)); err != nil {
			return jupyter.Connection{}, nil, fmt.Errorf("prepare the kernel: %w", err)
		}
	}
	inside := s.spawn.inside(s.dir, socketDir)
	p := s.program([]string{s.python.Executable, inside + "/launcher.py", "-f", inside + "/connection.json"})
	p.network = true // reports fetch their data
	p.env = s.env
	p.stdout, p.stderr = s.log, s.log
	proc, err := s.begin(p, &s.kernel)
	if err != nil {
		return jupyter.Connection{}, nil, err
	}
	conn.IP = dial
	return conn, proc.died(), nil
}

// prepareKernel ends the kernel before, empties what it wrote to beside the work
// folder, and returns the new one's connection with the prefix of its sockets' paths
// as we see it.
func (s *sandbox) prepareKernel() (conn jupyter.Connection, dial string, err error) {
	s.stopKernel()
	if err := errors.Join(s.closeSockets(), s.renew(socketDir, homeDir, tmpDir)); err != nil {
		return conn, "", err
	}
	folder := filepath.Join(s.dir, socketDir)
	bind, dial := s.spawn.inside(s.dir, socketDir)+socketName, folder+socketName
	if len(bind+"-1") > socketPathMax {
		bind = filepath.Join("..", socketDir) + socketName // a kernel starts in its work folder
	}
	if len(dial+"-1") > socketPathMax {
		if s.sockets, err = os.Open(folder); err != nil {
			return conn, "", err
		}
		short, ok := throughFile(s.sockets)
		if !ok {
			return conn, "", fmt.Errorf("%s is too long a path for sockets; sandboxes need a folder with a shorter name", folder)
		}
		dial = short + socketName
	}
	conn, err = newConnection(bind)
	return conn, dial, err
}

// closeSockets gives back the folder that prepareKernel opened.
func (s *sandbox) closeSockets() error {
	if s.sockets == nil {
		return nil
	}
	err := s.sockets.Close()
	s.sockets = nil
	return err
}

// newConnection makes up a connection file for Unix sockets that start with prefix.
func newConnection(prefix string) (jupyter.Connection, error) {
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return jupyter.Connection{}, fmt.Errorf("make a kernel key: %w", err)
	}
	return jupyter.Connection{
		Transport: "ipc", IP: prefix,
		ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5,
		Key: hex.EncodeToString(key), SignatureScheme: "hmac-sha256", KernelName: "python3",
	}, nil
}

// StopKernel implements runner.Sandbox.
func (s *sandbox) StopKernel(ctx context.Context) error {
	_, leave, err := s.enter(ctx)
	if errors.Is(err, errClosed) {
		return nil // Close has stopped it
	}
	if err != nil {
		return err
	}
	defer leave()
	s.stopKernel()
	return nil
}

// stopKernel ends the kernel, if there is one, and waits for its end.
func (s *sandbox) stopKernel() {
	s.mu.Lock()
	kernel := s.kernel
	s.mu.Unlock()
	if kernel != nil {
		kernel.kill()
		<-kernel.done
	}
}

// Get implements runner.Sandbox.
func (s *sandbox) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	_, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return getFile(filepath.Join(s.dir, workDir), name, limit)
}

// List implements runner.Sandbox.
func (s *sandbox) List(ctx context.Context) ([]string, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	return listFiles(ctx, filepath.Join(s.dir, workDir))
}

// Log implements runner.Sandbox.
func (s *sandbox) Log(_ context.Context, limit int64) ([]byte, error) {
	return s.log.last(limit), nil
}

// Render implements runner.Sandbox. It has no network, and nothing of the notebook's
// environment.
func (s *sandbox) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.stopKernel() // its processes may not see this
	inside := s.spawn.inside(s.dir, renderDir)
	p := s.program([]string{s.python.Executable, "-I", inside + "/render.py"})
	p.dir, p.rendering = inside, true
	p.stdin, p.stdout, p.stderr = stdin, stdout, stderr
	p.prepare = func() error {
		err := s.renew(renderDir, homeDir, tmpDir)
		if err == nil {
			err = putFile(filepath.Join(s.dir, renderDir, "render.py"), bytes.NewReader(render.Script()), s.spawn.own)
		}
		if err != nil {
			return fmt.Errorf("prepare the renderer: %w", err)
		}
		return nil
	}
	return s.run(ctx, p)
}

// Close implements runner.Sandbox.
func (s *sandbox) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true // nothing is started from here on
	processes := []*process{s.kernel, s.other}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	for _, p := range processes {
		if p != nil {
			p.kill()
		}
	}
	select {
	case s.busy <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("close a sandbox: a method still runs: %w", ctx.Err())
	}
	defer func() { <-s.busy }()
	for _, p := range processes {
		if p != nil {
			<-p.done
		}
	}
	if s.removed {
		return nil
	}
	s.removed = true
	return errors.Join(s.closeSockets(), removeBox(s.dir), s.lock.Close())
}

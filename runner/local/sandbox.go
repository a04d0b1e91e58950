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

// logTail is how much of a kernel's standard output and error is kept.
const logTail = 256 << 10

// sandbox implements runner.Sandbox in a folder.
type sandbox struct {
	dir    string
	python interpreter
	spawn  spawner
	env    []string
	lock   *os.File
	log    *tail

	mu     sync.Mutex // guards what follows
	kernel *process
	other  *process // a rendering
	closed bool
}

// newSandbox makes the folder of a sandbox, locked for as long as we live.
func (e *Executor) newSandbox(name string, env map[string]string) (*sandbox, error) {
	dir, err := os.MkdirTemp(e.dir, name)
	if err != nil {
		return nil, fmt.Errorf("make a sandbox: %w", err)
	}
	s := &sandbox{dir: dir, python: e.python, spawn: e.spawn, log: newTail(logTail)}
	if s.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, errors.Join(fmt.Errorf("make a sandbox: %w", err), os.RemoveAll(dir))
	}
	for _, sub := range []string{workDir, homeDir, tmpDir, socketDir, renderDir, rootDir} {
		if err := s.mkdir(sub); err != nil {
			return nil, errors.Join(fmt.Errorf("make a sandbox: %w", err), s.Close(context.Background()))
		}
	}
	s.env = s.environment(env)
	return s, nil
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

// environment returns all that a program may know: nothing of the agent's.
func (s *sandbox) environment(more map[string]string) []string {
	env := []string{
		"PATH=" + filepath.Dir(s.python.Executable) + ":/usr/local/bin:/usr/bin:/bin",
		"HOME=" + s.spawn.inside(s.dir, homeDir),
		"TMPDIR=" + s.spawn.inside(s.dir, tmpDir),
		"USER=nbpress",
		"LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1",
	}
	for name, value := range more {
		env = append(env, name+"="+value)
	}
	return env
}

// program returns argv as a program of this sandbox, in its work folder.
func (s *sandbox) program(argv []string) program {
	return program{
		argv: argv, env: s.env, box: s.dir, dir: s.spawn.inside(s.dir, workDir),
		stdout: io.Discard, stderr: io.Discard,
	}
}

// run runs a program to its end, or kills it when ctx ends.
func (s *sandbox) run(ctx context.Context, p program) error {
	proc, err := s.begin(p, &s.other)
	if err != nil {
		return err
	}
	select {
	case <-proc.done:
	case <-ctx.Done():
		proc.kill()
		<-proc.done
		return ctx.Err()
	}
	if proc.death.Code != "" {
		return errors.New(proc.death.Message)
	}
	return nil
}

// begin starts a program, unless Close came first, and remembers it for Close.
func (s *sandbox) begin(p program, slot **process) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("start %s: the sandbox is closed", filepath.Base(p.argv[0]))
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
	if err := s.renew(workDir); err != nil {
		return fmt.Errorf("empty the work folder: %w", err)
	}
	return putFiles(ctx, filepath.Join(s.dir, workDir), fsys, s.spawn.own)
}

// Kernel implements runner.Sandbox.
func (s *sandbox) Kernel(ctx context.Context) (jupyter.Connection, <-chan runner.Death, error) {
	if err := s.StopKernel(ctx); err != nil {
		return jupyter.Connection{}, nil, err
	}
	if err := s.renew(socketDir, homeDir, tmpDir); err != nil {
		return jupyter.Connection{}, nil, fmt.Errorf("prepare the kernel: %w", err)
	}
	inside := s.spawn.inside(s.dir, socketDir)
	conn, err := newConnection(inside + "/k")
	if err != nil {
		return jupyter.Connection{}, nil, err
	}
	for name, data := range map[string][]byte{"connection.json": conn.File(), "launcher.py": jupyter.Launcher()} {
		path := filepath.Join(s.dir, socketDir, name)
		if err := errors.Join(os.WriteFile(path, data, 0o600), s.spawn.own(path)); err != nil {
			return jupyter.Connection{}, nil, fmt.Errorf("prepare the kernel: %w", err)
		}
	}
	p := s.program([]string{s.python.Executable, inside + "/launcher.py", "-f", inside + "/connection.json"})
	p.network = true // reports fetch their data
	p.stdout, p.stderr = s.log, s.log
	proc, err := s.begin(p, &s.kernel)
	if err != nil {
		return jupyter.Connection{}, nil, err
	}
	conn.IP = filepath.Join(s.dir, socketDir, "k") // as we see it
	return conn, proc.died(), nil
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
func (s *sandbox) StopKernel(context.Context) error {
	s.mu.Lock()
	kernel := s.kernel
	s.mu.Unlock()
	if kernel != nil {
		kernel.kill()
		<-kernel.done
	}
	return nil
}

// Get implements runner.Sandbox.
func (s *sandbox) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	return getFile(filepath.Join(s.dir, workDir), name, limit)
}

// List implements runner.Sandbox.
func (s *sandbox) List(ctx context.Context) ([]string, error) {
	return listFiles(ctx, filepath.Join(s.dir, workDir))
}

// Log implements runner.Sandbox.
func (s *sandbox) Log(_ context.Context, limit int64) ([]byte, error) {
	return s.log.last(limit), nil
}

// Render implements runner.Sandbox. It has no network.
func (s *sandbox) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := s.StopKernel(ctx); err != nil { // the notebook's processes may not see this
		return err
	}
	if err := s.renew(renderDir, homeDir, tmpDir); err != nil {
		return fmt.Errorf("prepare the renderer: %w", err)
	}
	if err := putFile(filepath.Join(s.dir, renderDir, "render.py"), bytes.NewReader(render.Script()), s.spawn.own); err != nil {
		return fmt.Errorf("prepare the renderer: %w", err)
	}
	inside := s.spawn.inside(s.dir, renderDir)
	p := s.program([]string{s.python.Executable, "-I", inside + "/render.py"})
	p.dir, p.rendering = inside, true
	p.stdin, p.stdout, p.stderr = stdin, stdout, stderr
	return s.run(ctx, p)
}

// Close implements runner.Sandbox.
func (s *sandbox) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, proc := range []*process{s.kernel, s.other} {
		if proc != nil {
			proc.kill()
			<-proc.done
		}
	}
	return errors.Join(removeAll(s.dir), s.lock.Close())
}

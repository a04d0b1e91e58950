package jupyter

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
)

// process is a real kernel, started as a plain child process.
type process struct {
	conn Connection
	cmd  *exec.Cmd
	dead chan struct{} // closed when it has ended
	dir  string
}

// startProcess runs launcher with a new connection file in a folder of its own.
func startProcess(t testing.TB, conn Connection, launcher ...string) *process {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "connection.json")
	if err := os.WriteFile(file, conn.File(), 0o400); err != nil {
		t.Fatal(err)
	}
	if len(launcher) == 0 {
		script := filepath.Join(dir, "launcher.py")
		if err := os.WriteFile(script, Launcher(), 0o600); err != nil {
			t.Fatal(err)
		}
		launcher = []string{script}
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &process{conn: conn, dead: make(chan struct{}), dir: work}
	p.cmd = exec.Command(testenv.Python(t), append(launcher, "-f", file)...)
	p.cmd.Dir = work
	p.cmd.Env = append(os.Environ(), "HOME="+dir, "IPYTHONDIR="+filepath.Join(dir, "ipython"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	p.cmd.Stdout, p.cmd.Stderr = &log, &log
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.dead)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.dead
		if t.Failed() && log.Len() > 0 {
			t.Logf("kernel's log:\n%.4000s", log.String())
		}
	})
	return p
}

// ipc returns a connection over Unix sockets, whose paths must stay short.
func ipc(t testing.TB) Connection {
	t.Helper()
	dir, err := os.MkdirTemp("", "nbk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return Connection{
		Transport: "ipc", IP: filepath.Join(dir, "k"), Key: rand.Text(),
		ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 5,
	}
}

// connect starts a kernel and connects to it.
func connect(t testing.TB, o Options) (*Client, *process) {
	t.Helper()
	p := startProcess(t, ipc(t))
	return connectTo(t, p, o), p
}

// connectTo connects to a kernel until the test ends.
func connectTo(t testing.TB, p *process, o Options) *Client {
	t.Helper()
	o.Dead = p.dead
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Connect(ctx, p.conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

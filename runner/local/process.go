package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"nbpress/runner"
)

// program is something to run in a sandbox.
type program struct {
	argv      []string
	env       []string
	box       string // the sandbox's folder
	dir       string // the working directory, as the program sees it
	network   bool
	rendering bool // sees the renderer's folder alone
	stdin     io.Reader
	stdout    io.Writer
	stderr    io.Writer
	prepare   func() error // what the program needs; done while the process around it starts; nil for nothing
}

// prepared does what the program needs before it begins.
func (p program) prepared() error {
	if p.prepare == nil {
		return nil
	}
	return p.prepare()
}

// process is a program that was started, with every process that it starts.
type process struct {
	kill      func()        // ends all of it; idempotent, returns before it ended
	interrupt func() error  // sends SIGINT to its process group; nil where it has none
	ended     chan struct{} // closed when the program itself has ended
	exit      runner.Death  // how; valid once ended is closed
	done      chan struct{} // closed when all of it is gone, and what it wrote has come
	death     runner.Death  // exit, or why not all that it wrote has come; valid once done is closed
}

// died returns a channel that yields how the program ended.
func (p *process) died() <-chan runner.Death {
	died := make(chan runner.Death, 1)
	go func() { // ends with the process, which its owner waits for
		<-p.ended
		died <- p.exit
	}()
	return died
}

// wait returns when all of it is gone, which ctx brings about; how it ended is an error
// unless it ended well.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		<-p.done
		return ctx.Err()
	}
	if p.death.Code != "" {
		return errors.New(p.death.Message)
	}
	return nil
}

// pipeGrace bounds the wait for output after a process ended: a grandchild may hold
// the pipe for ever.
const pipeGrace = 2 * time.Second

// deathOf reads what exec.Cmd.Wait returned.
func deathOf(err error) runner.Death {
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return runner.Death{Message: "exit status 0"}
	case errors.As(err, &exit):
		return runner.Death{Code: runner.KernelDied, Message: exit.ProcessState.String()}
	}
	return runner.Death{Code: runner.KernelDied, Message: err.Error()}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu    sync.Mutex // guards what follows
	buf   []byte
	size  int
	total int64
}

func newTail(size int) *tail { return &tail{size: size} }

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += int64(len(p))
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*t.size { // trim now and then, not at each write
		t.buf = append([]byte(nil), t.buf[len(t.buf)-t.size:]...)
	}
	return len(p), nil
}

// last returns the end of what was written, at most limit bytes, with a mark where
// the start is missing and there is room for it.
func (t *tail) last(limit int64) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := min(int64(t.size), int64(len(t.buf)), max(limit, 0))
	var mark []byte
	if keep < t.total {
		mark = fmt.Appendf(nil, "[nbpress: only the end of %d bytes]\n", t.total)
		if room := limit - int64(len(mark)); room >= 0 {
			keep = min(keep, room)
		} else {
			mark = nil
		}
	}
	return append(mark, t.buf[int64(len(t.buf))-keep:]...)
}

// groupSpawner runs programs in a process group and hides nothing.
type groupSpawner struct{}

func (groupSpawner) String() string { return "process group" }

func (groupSpawner) own(string) error { return nil }

func (groupSpawner) inside(box, name string) string { return box + "/" + name }

func (groupSpawner) start(p program) (*process, error) {
	if err := p.prepared(); err != nil {
		return nil, err
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.WaitDelay, cmd.Env = p.dir, pipeGrace, p.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.stdout, p.stderr
	return startInGroup(cmd)
}

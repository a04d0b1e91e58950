//go:build unix

package local

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socketPathMax is the length of the longest path of a Unix socket.
const socketPathMax = len(unix.RawSockaddrUnix{}.Path) - 1

// group is the process group that a program leads.
type group struct {
	mu   sync.Mutex // guards what follows
	pid  int
	gone bool // the number may be somebody else's by now
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.gone {
		_ = unix.Kill(-g.pid, unix.SIGKILL) // ESRCH: gone already
	}
}

func (g *group) interrupt() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return nil
	}
	return unix.Kill(-g.pid, unix.SIGINT)
}

// release kills the group for the last time.
func (g *group) release() {
	g.kill()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gone = true
}

// awaitEnd waits until the group has no member that runs, which is at once: they were
// killed. Those that the system is slow to bury, or in a container never does, are over.
func (g *group) awaitEnd() {
	for end := time.Now().Add(pipeGrace); time.Now().Before(end) && runs(g.pid); {
		time.Sleep(time.Millisecond)
	}
}

// startInGroup starts cmd as the leader of a session, and so of a process group, without a
// terminal: one that asks for a password there gets an error, and is not stopped for ever.
// On Linux the leader dies with us, however we die.
func startInGroup(cmd *exec.Cmd) (*process, error) {
	g := &group{}
	p := &process{kill: g.kill, interrupt: g.interrupt, ended: make(chan struct{}), done: make(chan struct{})}
	output, err := gather(cmd)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	dieWithUs(cmd.SysProcAttr)
	started := make(chan error, 1)
	go func() { // ends with the program, which p's owner waits for
		runtime.LockOSThread() // for dieWithUs we are the thread that started it
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		output.started()
		if err == nil {
			g.pid = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		if awaitExit(g.pid) {
			g.release() // before the number is given back, and with it the pipes' last writers
		}
		err = cmd.Wait()
		g.release()
		p.exit = deathOf(err)
		close(p.ended)
		p.death = deathOf(cmp.Or(err, output.wait()))
		g.awaitEnd()
		close(p.done)
	}()
	return p, <-started
}

// lockFile takes the lock of a sandbox; the kernel releases it when we die.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// lockPatience is how long one waits for a lock that is held for an instant only.
const lockPatience = time.Second

func pauseForLock() { time.Sleep(5 * time.Millisecond) }

// lockFolder locks the folder of sandboxes: shared by who makes or removes one, alone by
// who looks for those of the dead. It waits a moment: everybody holds it for an instant,
// unless a process was stopped there.
func lockFolder(path string, shared bool) (*os.File, error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	patience := time.Now().Add(lockPatience)
	for {
		err := unix.Flock(int(folder.Fd()), how|unix.LOCK_NB)
		if err == nil {
			return folder, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(patience) {
			return nil, errors.Join(err, folder.Close())
		}
		pauseForLock()
	}
}

// processGone reports whether there is no process of a number.
func processGone(pid int) bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

// ownerOf returns the user that a file belongs to, -1 where that is unknown.
func ownerOf(info os.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"nbpress/runner"
	"nbpress/runner/internal/jupyter"
)

// Kernel is a kernel without a sandbox: a child process that runs as its user, in a
// folder of theirs, with their environment. It is for `nbpress execute`.
type Kernel struct {
	Connection jupyter.Connection
	Died       <-chan runner.Death // how it ended by itself

	// Interrupt interrupts what the kernel executes, with a signal; nil: the kernel wants
	// to be asked by a message.
	Interrupt func() error

	dir   string
	ports *ports // nil: it listens on Unix sockets
	proc  *process
	log   *tail
}

// StartKernel starts a kernel of an interpreter in folder dir. It must be closed.
func StartKernel(ctx context.Context, python, dir string) (*Kernel, error) {
	executable, err := kernelPython(ctx, python)
	if err != nil {
		return nil, err
	}
	sockets, err := os.MkdirTemp(socketParent(), "nbpress-")
	if err != nil {
		return nil, err
	}
	k := &Kernel{dir: sockets, log: newTail(logTail)}
	if k.Connection, err = newConnection(sockets + socketName); err != nil {
		return nil, errors.Join(err, k.removeFiles())
	}
	connection, launcher := filepath.Join(sockets, "connection.json"), filepath.Join(sockets, "launcher.py")
	err = errors.Join(
		os.WriteFile(connection, k.Connection.File(), 0o600),
		os.WriteFile(launcher, jupyter.Launcher(), 0o600),
	)
	if err == nil {
		k.proc, err = groupSpawner{}.start(program{
			argv: []string{executable, launcher, "-f", connection},
			env:  os.Environ(), dir: dir, stdout: k.log, stderr: k.log,
		})
	}
	if err != nil {
		return nil, errors.Join(err, k.removeFiles())
	}
	k.Died = k.proc.died()
	return k, nil
}

// socketParent returns the folder for temporary files, or another where sockets'
// paths would be too long in it.
func socketParent() string {
	const below = len("/nbpress-1234567890") + len(socketName+"-1")
	if parent := os.TempDir(); len(parent)+below <= socketPathMax {
		return parent
	}
	return "/tmp"
}

// Log returns the end of what the kernel wrote to its standard output and error, without
// ipykernel's warning that others may listen: on this machine nobody can. Of a kernel that
// has ended it waits for the last words.
func (k *Kernel) Log() []byte {
	select {
	case <-k.proc.ended:
		<-k.proc.done
	default:
	}
	return insecure.ReplaceAll(k.log.last(logTail), nil)
}

var insecure = regexp.MustCompile(`(?m)^.*Kernel is running over TCP without encryption\..*\n?`)

// Close ends the kernel, and what it started in its process group.
func (k *Kernel) Close() error {
	k.proc.kill()
	<-k.proc.done
	return k.removeFiles()
}

// removeFiles gives back what the kernel had beside its process.
func (k *Kernel) removeFiles() error {
	err := os.RemoveAll(k.dir)
	if k.ports != nil {
		err = errors.Join(err, k.ports.release())
	}
	return err
}

package local

import (
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"
)

// gatherer carries what a program writes to its writers. So does exec.Cmd, but its Wait
// also waits for whoever else holds the pipes, and does not tell when the program ended.
type gatherer struct {
	ours   []*os.File // the ends to read from
	theirs []*os.File // the program's, until it has started
	copies errgroup.Group
}

// gather gives cmd pipes in place of its writers.
func gather(cmd *exec.Cmd) (*gatherer, error) {
	g := &gatherer{}
	stdout, err := g.pipe(cmd.Stdout)
	if err != nil {
		return nil, err
	}
	stderr := stdout
	if cmd.Stderr != cmd.Stdout {
		if stderr, err = g.pipe(cmd.Stderr); err != nil {
			g.started()
			return nil, err
		}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return g, nil
}

func (g *gatherer) pipe(w io.Writer) (*os.File, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g.ours, g.theirs = append(g.ours, ours), append(g.theirs, theirs)
	g.copies.Go(func() error {
		defer ours.Close() // whoever writes on, though w takes no more, is told
		_, err := io.Copy(w, ours)
		return err
	})
	return theirs, nil
}

// started is called when the program has its ends of the pipes, or does not need them.
func (g *gatherer) started() {
	for _, file := range g.theirs {
		_ = file.Close() // it was opened just now
	}
}

// wait is called when the program has ended. It returns the writers' error when all that
// was written has come, but after pipeGrace in any case.
func (g *gatherer) wait() error {
	all := make(chan error, 1)
	go func() { all <- g.copies.Wait() }() // ends with the pipes, unless a writer waits for ever
	select {
	case err := <-all:
		return err
	case <-time.After(pipeGrace):
	}
	for _, file := range g.ours {
		_ = file.Close() // it may be closed by now
	}
	return nil
}

package local

import (
	"context"
	"fmt"
	"io"
)

// Program is a renderer that is a command of this machine: this binary, which renders
// with pongo2. It gets no environment of ours, no arguments but its own, and a process
// group that ends with it. Unlike a sandbox it hides no files: give it no code to run.
type Program struct {
	Command []string
}

// Render runs the program to its end, or ends it when ctx ends.
func (p Program) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	proc, err := groupSpawner{}.start(program{
		argv: p.Command, dir: "/", env: []string{"GOTRACEBACK=single"}, // the stack of what overflowed tells enough
		stdin: stdin, stdout: stdout, stderr: stderr,
	})
	if err != nil {
		return fmt.Errorf("start a renderer: %w", err)
	}
	return proc.wait(ctx)
}

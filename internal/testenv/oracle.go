package testenv

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"testing"
)

// Oracle is a program in the tests' Python that knows what is right: it reads questions
// and writes answers, one line of JSON each.
type Oracle struct {
	in  io.Writer
	out *bufio.Reader
}

// NewOracle starts a script, which must end without an error when the test does.
func NewOracle(t testing.TB, script string) *Oracle {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, Python(t), "-I", script)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", script, err, stderr.Bytes())
		}
		cancel()
	})
	return &Oracle{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// Ask puts a question and fills in the answer.
func (o *Oracle) Ask(t testing.TB, question, answer any) {
	t.Helper()
	line, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if line, err = o.out.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		t.Fatal(err)
	}
}

package catalog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"testing"

	"nbpress/internal/testenv"
)

// oracle is a real Python, with its own gettext and with Babel.
type oracle struct {
	in  io.Writer
	out *bufio.Reader
}

func newOracle(t testing.TB) *oracle {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, testenv.Python(t), "-I", "testdata/oracle.py")
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
			t.Errorf("oracle: %v\n%s", err, stderr.Bytes())
		}
		cancel()
	})
	return &oracle{in: in, out: bufio.NewReaderSize(out, 1<<20)}
}

// ask puts a question and fills in the answer's value. It returns what Python raised.
func (o *oracle) ask(t testing.TB, do, text string, value any) string {
	t.Helper()
	request, err := json.Marshal(map[string]string{"do": do, "text": text})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.in.Write(append(request, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Value json.RawMessage
		Error string
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Error == "" {
		if err := json.Unmarshal(answer.Value, value); err != nil {
			t.Fatal(err)
		}
	}
	return answer.Error
}

package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"nbpress/runner"
)

// counting is a renderer that answers with its number and the request.
type counting struct {
	started, running atomic.Int32
	dying            int32 // so many die at once, without a request
	hang             bool
}

var errNoInterpreter = errors.New("no interpreter")

func (c *counting) Render(ctx context.Context, stdin io.Reader, stdout, _ io.Writer) error {
	n := c.started.Add(1)
	c.running.Add(1)
	defer c.running.Add(-1)
	if n <= c.dying {
		return errNoInterpreter
	}
	request := make(chan []byte, 1)
	go func() { // ends when the pipe is closed
		data, _ := io.ReadAll(stdin)
		request <- data
	}()
	select {
	case data := <-request:
		if c.hang {
			<-ctx.Done()
			return ctx.Err()
		}
		_, err := fmt.Fprintf(stdout, "%d: %s", n, data)
		return err
	case <-ctx.Done():
		<-request // as os/exec waits for who copies the input
		return ctx.Err()
	}
}

func TestWarmRenderer_HasTheNextOneReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &counting{}
		w := runner.NewWarmRenderer(inner)
		for i := range 3 {
			synctest.Wait()
			if started := inner.started.Load(); started != int32(i)+1 {
				t.Errorf("before rendering %d, %d were started", i+1, started)
			}
			var out bytes.Buffer
			if err := w.Render(t.Context(), strings.NewReader("please"), &out, io.Discard); err != nil || out.String() != fmt.Sprintf("%d: please", i+1) {
				t.Errorf("got %q, %v", out.String(), err)
			}
		}
		w.Close()
		synctest.Wait()
		if running := inner.running.Load(); running != 0 {
			t.Errorf("%d still run", running)
		}
	})
}

func TestWarmRenderer_SurvivesThoseThatDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &counting{dying: 3}
		w := runner.NewWarmRenderer(inner)
		synctest.Wait()
		if err := w.Render(t.Context(), strings.NewReader("please"), io.Discard, io.Discard); !errors.Is(err, errNoInterpreter) {
			t.Errorf("got %v", err)
		}
		synctest.Wait() // the third, started ahead, dies as well: a fourth takes its place
		var out bytes.Buffer
		if err := w.Render(t.Context(), strings.NewReader("again"), &out, io.Discard); err != nil || !strings.HasSuffix(out.String(), "again") {
			t.Errorf("got %q, %v", out.String(), err)
		}
		w.Close()
	})
}

func TestWarmRenderer_EndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &counting{hang: true}
		w := runner.NewWarmRenderer(inner)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			synctest.Wait()
			cancel()
		}()
		if err := w.Render(ctx, strings.NewReader("please"), io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		w.Close()
		synctest.Wait()
		if running := inner.running.Load(); running != 0 {
			t.Errorf("%d still run", running)
		}
	})
}

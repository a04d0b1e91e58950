package runner

import (
	"context"
	"errors"
	"io"
	"sync"
)

// WarmRenderer has the next rendering started before it is asked for, so that by then an
// interpreter runs, has imported what it needs, and waits for its request. It is for a
// person who looks at a page again and again. It must be closed.
type WarmRenderer struct {
	renderer Renderer

	mu     sync.Mutex // guards what follows
	spare  *started   // nil: none is ready
	closed bool
}

// NewWarmRenderer starts a first rendering ahead.
func NewWarmRenderer(renderer Renderer) *WarmRenderer {
	return &WarmRenderer{renderer: renderer, spare: start(renderer)}
}

// Render gives the request to the rendering that is ready, and starts the next one.
func (w *WarmRenderer) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	s := w.take()
	if s == nil || len(s.ended) > 0 { // or it did not live to be asked
		s = start(w.renderer)
	}
	defer w.prepare()
	defer s.stop()
	s.stdout.lead(stdout)
	s.stderr.lead(stderr)
	written := make(chan error, 1)
	go func() { // ends when the rendering does, which closes the pipe
		_, err := io.Copy(s.stdin, stdin)
		written <- errors.Join(err, s.stdin.Close())
	}()
	defer func() { <-written }() // what could not be written was not needed: an answer came
	select {
	case err := <-s.ended:
		return err
	case <-ctx.Done():
		s.stop()
		<-s.ended
		return ctx.Err()
	}
}

// take returns the rendering that is ready, nil for none.
func (w *WarmRenderer) take() *started {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.spare
	w.spare = nil
	return s
}

// prepare starts the next rendering, unless Close came first.
func (w *WarmRenderer) prepare() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spare == nil && !w.closed {
		w.spare = start(w.renderer)
	}
}

// Close ends what was started ahead, and waits for it.
func (w *WarmRenderer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	if s := w.take(); s != nil {
		s.stop()
		<-s.ended
	}
}

// started is a rendering that waits for its request.
type started struct {
	stop           func()
	stdin          *io.PipeWriter
	stdout, stderr relay
	ended          chan error // holds how it ended
}

// start starts a rendering without a request.
func start(renderer Renderer) *started {
	ctx, stop := context.WithCancel(context.Background())
	stdin, request := io.Pipe()
	s := &started{stdin: request, ended: make(chan error, 1)}
	s.stop = func() {
		stop()
		_ = request.CloseWithError(context.Canceled) // a program is not over before its input is
	}
	go func() { // ends with the rendering, which Render or Close waits for
		err := renderer.Render(ctx, stdin, &s.stdout, &s.stderr)
		s.ended <- errors.Join(err, stdin.CloseWithError(io.ErrClosedPipe))
	}()
	return s
}

// relay writes to whom the rendering turned out to be for; to nobody before that.
type relay struct {
	mu sync.Mutex // guards to
	to io.Writer
}

func (r *relay) lead(to io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// Write implements io.Writer.
func (r *relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		return len(p), nil
	}
	return r.to.Write(p)
}

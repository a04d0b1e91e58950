package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// transport ends a request that does not get on. A deadline for all of a request would
// cut off what is large or comes over a slow line; one for nothing at all would wait for
// a server that is no more for as long as the system's own timers do.
type transport struct {
	base   http.RoundTripper
	silent time.Duration // how long an answer, or more of it, may stay out
	rate   int64         // bytes a second that a line carries at least, of what is sent
}

// How slow a line may be. What is sent can wait in buffers on its way, so its time is
// by its size.
const (
	silence  = 20 * time.Second
	slowest  = 512 // bytes a second
	patience = 30 * time.Minute
)

// errSilent says that a server stayed silent. The SDK's kind of error, which is tried again.
type errSilent struct{ after time.Duration }

func (e *errSilent) Error() string   { return fmt.Sprintf("no answer within %v", e.after) }
func (e *errSilent) Timeout() bool   { return true }
func (e *errSilent) Temporary() bool { return true }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	limit := min(t.silent+time.Duration(max(0, req.ContentLength)/t.rate)*time.Second, patience)
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(limit, func() { cancel(&errSilent{limit}) })
	sent := req.WithContext(ctx)
	if sent.Body != nil && sent.Body != http.NoBody {
		sent.Body = onlyRead{sent.Body}
	}
	answer, err := t.base.RoundTrip(sent)
	if err != nil {
		timer.Stop()
		if cause := context.Cause(ctx); cause != nil && req.Context().Err() == nil {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	timer.Reset(t.silent)
	answer.Body = &heardBody{
		ReadCloser: answer.Body, timer: timer, silent: t.silent, end: func() { cancel(nil) },
		cause: func() error { return context.Cause(ctx) },
	}
	return answer, nil
}

// onlyRead is a body that is read and has no other ability. The SDK closes its own as soon
// as an answer begins. Where net/http asks it only then whether there is more to send, and
// it can WriteTo, it says io.EOF; net/http takes that for a failure, and hangs up in the
// middle of the answer.
type onlyRead struct{ io.ReadCloser }

// heardBody is a body that may be as long as it likes, and not silent.
type heardBody struct {
	io.ReadCloser
	timer  *time.Timer
	silent time.Duration
	cause  func() error // why the request was ended, nil while it was not
	end    func()       // ends the request
}

func (b *heardBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if silent, ok := b.cause().(*errSilent); ok && err != nil && err != io.EOF {
		return n, silent
	}
	if err == nil {
		b.timer.Reset(b.silent)
	}
	return n, err
}

func (b *heardBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.end()
	return err
}

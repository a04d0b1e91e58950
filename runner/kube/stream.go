package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

// execer runs programs in the desk of one pod, and nowhere else: who runs one in the kernel's
// container is at the mercy of the notebook. The API's streams neither say that they
// lost something nor end when they should: what they carry has to be framed (parcel.go).
type execer struct {
	config         *rest.Config
	namespace, pod string
	spdyOnly       bool // as where something on the way knows no WebSockets
}

// errRefused is of a command that the cluster did not even start, and will not if it is
// asked again.
var errRefused = errors.New("the cluster does not run a command in the pod")

// awayFor is how long the API may be away before a command gives up reaching it.
const awayFor = 60 * time.Second

// run implements command. While the API cannot be reached it tries again.
func (e execer) run(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	until := time.Now().Add(awayFor)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		streamed, err := e.try(ctx, argv, stdin, stdout, stderr)
		var exit exec.CodeExitError
		switch {
		case err == nil, ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case errors.As(err, &exit):
			return fmt.Errorf("%w: it ended with status %d", errRefused, exit.Code)
		case streamed:
			return err
		case isRefusal(err):
			return fmt.Errorf("%w: %w", errRefused, err)
		case time.Now().After(until):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// isRefusal tells an answer of the cluster from the absence of one.
func isRefusal(err error) bool {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return !isBusy(err)
	}
	return httpstream.IsUpgradeFailure(err)
}

// isAway reports whether a request that is no stream got no answer, or that of an API which
// is too busy for one.
func isAway(err error) bool { return errors.As(err, new(*url.Error)) || isBusy(err) }

func isBusy(err error) bool {
	return apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err)
}

// try runs a command once. It says whether any of the streams was touched.
func (e execer) try(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) (streamed bool, err error) {
	address, err := podURL(e.config, e.namespace, e.pod, "exec")
	if err != nil {
		return false, err
	}
	address.RawQuery = url.Values{
		"container": {deskContainer}, "command": argv, "stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"},
	}.Encode()
	overWebSocket, err := remotecommand.NewWebSocketExecutor(e.config, "GET", address.String())
	if err != nil {
		return false, err
	}
	transport, upgrader, err := spdyFor(e.config)
	if err != nil {
		return false, err
	}
	overSPDY, err := remotecommand.NewSPDYExecutorForTransports(transport, upgrader, "POST", address)
	if err != nil {
		return false, err
	}
	executor, err := remotecommand.NewFallbackExecutor(overWebSocket, overSPDY, isNoWebSocket)
	if e.spdyOnly {
		executor = overSPDY
	}
	if err != nil {
		return false, err
	}
	g := &gate{}
	ran := make(chan error, 1)
	go func() {
		ran <- executor.StreamWithContext(ctx, remotecommand.StreamOptions{
			Stdin: gatedReader{g, stdin}, Stdout: gatedWriter{g, stdout}, Stderr: gatedWriter{g, stderr},
		})
	}()
	select {
	case err = <-ran:
	case <-ctx.Done(): // which client-go does not heed while it waits for the API's first answer
		err = ctx.Err()
	}
	return g.close(), err
}

// isNoWebSocket says that something on the way to the API does not know WebSockets.
func isNoWebSocket(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// podURL is the address of one of a pod's streams.
func podURL(config *rest.Config, namespace, pod, stream string) (*url.URL, error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("the cluster's address: %w", err)
	}
	return base.JoinPath("api", "v1", "namespaces", namespace, "pods", pod, stream), nil
}

// gate keeps goroutines that client-go leaves behind from streams whose owner has moved on.
type gate struct {
	mu     sync.Mutex
	closed bool
	used   bool
}

// close returns when no writer is written to any more, and whether any stream was used.
func (g *gate) close() (used bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.used
}

func (g *gate) pass() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return io.EOF
	}
	g.used = true
	return nil
}

type gatedReader struct {
	gate *gate
	r    io.Reader
}

// Read ends like a file where the owner fails to deliver or has moved on: client-go would
// write an error to the process's log.
func (g gatedReader) Read(p []byte) (int, error) {
	if err := g.gate.pass(); err != nil {
		return 0, err
	}
	n, err := g.r.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

type gatedWriter struct {
	gate *gate
	w    io.Writer
}

func (g gatedWriter) Write(p []byte) (int, error) {
	g.gate.mu.Lock()
	defer g.gate.mu.Unlock()
	if g.gate.closed {
		return len(p), nil
	}
	g.gate.used = true
	_, _ = g.w.Write(p) // whoever has enough ends ctx; the rest is drained
	return len(p), nil
}

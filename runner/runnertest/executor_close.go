package runnertest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"testing/fstest"
	"time"

	"nbpress/runner"
	"nbpress/runner/internal/render"
)

// This file holds the rows in which Close meets a method that runs.

func closeDuringNotebook(tr *trial) {
	box := tr.start(nil)
	box.put(nil)
	_, wait := box.holds("pass")
	var wg sync.WaitGroup
	wg.Go(box.close) // by two callers at once
	box.close()
	wg.Wait()
	wait()
}

// endless renders for longer than any test.
func endless() render.Request {
	return render.Request{
		Template:   "t",
		Files:      map[string][]byte{"t": []byte("{% for i in range(99999999999) %}{% endfor %}")},
		Executions: []render.Execution{{Output: []byte("{}"), Languages: []string{"en"}}},
	}
}

// onceRead runs Render and closes read when the renderer has read its request.
type onceRead struct {
	box  runner.Sandbox
	read chan struct{}
}

// Render implements render.Renderer.
func (o onceRead) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return o.box.Render(ctx, io.MultiReader(stdin, &endSignal{o.read}), stdout, stderr)
}

// endSignal is an empty reader that tells when it is read.
type endSignal struct{ read chan struct{} }

func (e *endSignal) Read([]byte) (int, error) {
	if e.read != nil {
		close(e.read)
		e.read = nil
	}
	return 0, io.EOF
}

func closeDuringRender(tr *trial) {
	box := tr.start(nil)
	for _, test := range []struct {
		name string
		end  func(cancel func())
	}{
		{"its context ended", func(cancel func()) { cancel() }},
		{"Close", func(func()) { box.close() }},
	} {
		ctx, cancel := context.WithCancel(tr.Context())
		read, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			if _, err := render.Pages(ctx, onceRead{box, read}, endless()); err == nil {
				tr.Errorf("an endless rendering ended well after %s", test.name)
			}
		}()
		tr.await(read, "the renderer's start")
		test.end(cancel)
		tr.await(done, "the rendering's end after "+test.name)
		cancel()
	}
}

// endlessFile is a file that never ends, and tells when it is read.
type endlessFile struct {
	fs.FS
	read func()
}

// Open implements fs.FS.
func (e endlessFile) Open(name string) (fs.File, error) {
	file, err := e.FS.Open(name)
	if name != "endless" || err != nil {
		return file, err
	}
	return endlessReader{file, e.read}, nil
}

type endlessReader struct {
	fs.File
	read func()
}

func (e endlessReader) Read(p []byte) (int, error) {
	e.read()
	p[0] = 'x'
	return 1, nil
}

func closeDuringPut(tr *trial) {
	box := tr.start(nil)
	read, done := make(chan struct{}), make(chan struct{})
	files := endlessFile{fstest.MapFS{"endless": {}}, sync.OnceFunc(func() { close(read) })}
	go func() {
		defer close(done)
		if err := box.Put(tr.Context(), files); err == nil || errors.Is(err, fs.ErrNotExist) {
			tr.Errorf("Put into a sandbox that was closed: got %v", err)
		}
	}()
	tr.await(read, "Put to read")
	box.close()
	tr.await(done, "Put's end")
}

// rowTimeout bounds each wait of the suite.
const rowTimeout = 3 * time.Minute

package kube

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"nbpress/runner"
)

const (
	deskTimeout    = 5 * time.Minute // of one command but render, which has its caller's
	verdictLimit   = 64 << 10
	listLimit      = 32 << 20         // bytes of all names
	wordsLimit     = 4 << 10          // of what a command says on standard error
	mostListed     = 4096             // as in desk.py
	longestName    = 4096             // bytes, as in Linux
	commandRetries = 60 * time.Second // for how long a command whose stream was cut is run again
)

// desk is the container of a pod that hands files to the work folder and takes them out,
// and renders. Each method is one command there (desk.py), one at a time. What comes back
// is whole or an error; its size is limited on both sides.
type desk struct {
	run command
}

// command runs a program in the desk's container, to its end or until ctx ends, and touches
// the streams no more when it has returned.
type command func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error

// verdict is the last that a command says.
type verdict struct {
	Error   string `json:"error"`
	Message string `json:"message"`
	Status  int    `json:"status"`
}

// put replaces the contents of the work folder by the files of fsys.
func (d desk) put(ctx context.Context, fsys fs.FS) error {
	return d.again(ctx, func(ctx context.Context) error {
		_, err := d.call(ctx, "put", nil, func(w io.Writer) error { return writeFiles(ctx, w, fsys) }, io.Discard)
		return err
	})
}

// writeFiles writes each regular file as a parcel after one with its name.
func writeFiles(ctx context.Context, w io.Writer, fsys fs.FS) error {
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil || entry.IsDir() {
			return err
		}
		file, err := fsys.Open(name)
		if err != nil {
			return err
		}
		err = writeHead(w, map[string]any{"name": name})
		if err == nil {
			err = writeParcel(w, file)
		}
		return errors.Join(err, file.Close())
	})
	return cmp.Or(err, writeHead(w, map[string]any{"end": true}))
}

func writeHead(w io.Writer, head map[string]any) error {
	data, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return writeParcel(w, bytes.NewReader(data))
}

// get returns a regular file of the work folder, as runner.Sandbox says.
func (d desk) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	if !fs.ValidPath(name) || len(name) > longestName {
		return nil, fmt.Errorf("%.100q names no file of the work folder: %w", name, fs.ErrNotExist)
	}
	return d.read(ctx, "get", map[string]any{"name": name, "limit": limit}, limit)
}

// log returns the end of what the kernel's processes printed, at most limit bytes.
func (d desk) log(ctx context.Context, limit int64) ([]byte, error) {
	return d.read(ctx, "log", map[string]any{"limit": limit}, limit)
}

// list returns the paths of the work folder's regular files, sorted.
func (d desk) list(ctx context.Context) ([]string, error) {
	data, err := d.read(ctx, "list", nil, listLimit)
	if err != nil {
		return nil, err
	}
	return readNames(data)
}

// readNames reads a list as desk.py writes it: each name before a zero byte.
func readNames(data []byte) ([]string, error) {
	if len(data) == 0 {
		return nil, nil
	}
	text, ok := strings.CutSuffix(string(data), "\x00")
	names := strings.Split(text, "\x00")
	if !ok || len(names) > mostListed {
		return nil, fmt.Errorf("list the work folder: the list has no end, or %d names", len(names))
	}
	for _, name := range names {
		if !fs.ValidPath(name) || name == "." || len(name) > longestName {
			return nil, fmt.Errorf("list the work folder: %.100q is no path", name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// read runs a command whose answer is at most limit bytes.
func (d desk) read(ctx context.Context, name string, head map[string]any, limit int64) ([]byte, error) {
	body := &bounded{limit: limit}
	err := d.again(ctx, func(ctx context.Context) error {
		body.Reset()
		_, err := d.call(ctx, name, head, nil, body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// again runs a command that may be repeated until it has ended in whatever way, within its
// time: a stream that was cut is nobody's answer.
func (d desk) again(ctx context.Context, run func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, deskTimeout)
	defer cancel()
	until := time.Now().Add(commandRetries)
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := run(ctx)
		if !errors.Is(err, errCut) || errors.Is(err, errRefused) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// render runs render.py in a fresh folder. What it answers is whole if there is no error.
func (d desk) render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	told := &words{limit: wordsLimit, also: stderr}
	status, err := d.calling(ctx, "render", nil, func(w io.Writer) error { return writeParcel(w, stdin) }, stdout, told)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
		if status < 0 {
			err = fmt.Errorf("signal: %s", signalName(-status))
		}
	}
	return err
}

func (d desk) call(ctx context.Context, name string, head map[string]any, rest func(io.Writer) error, body io.Writer) (int, error) {
	return d.calling(ctx, name, head, rest, body, &words{limit: wordsLimit})
}

// calling runs one command: it writes head and rest, and reads the answer's body and its
// verdict, whose status it returns. The request's stream stays open until the answer is
// there, since its end tells the command that nobody waits for the answer.
func (d desk) calling(ctx context.Context, name string, head map[string]any, rest func(io.Writer) error, body io.Writer, told *words) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests, request := io.Pipe()
	answer, answers := io.Pipe()
	asked, ran := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(asked)
		err := writeHead(request, head)
		if err == nil && rest != nil {
			err = rest(request)
		}
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			cancel(fmt.Errorf("send the request: %w", err))
		}
	}()
	go func() {
		argv := []string{"python3", "-I", programDir + "/desk.py", name}
		err := d.run(ctx, argv, requests, answers, told)
		_ = requests.Close() // ends who writes to it
		_ = answers.Close()
		ran <- err
	}()
	last := &bounded{limit: verdictLimit}
	err := readParcel(answer, body)
	if err == nil {
		err = readParcel(answer, last)
	}
	if err != nil && !errors.Is(err, errCut) {
		cancel(err)
	}
	_ = request.Close()
	_ = answer.Close()
	runErr := <-ran
	<-asked
	if cause := context.Cause(ctx); cause != nil {
		return 0, fmt.Errorf("%s: %w", commandName(name), cause)
	}
	if err != nil || runErr != nil {
		return 0, fmt.Errorf("%s: %w", commandName(name), told.explain(cmp.Or(runErr, err), err))
	}
	var v verdict
	if err := json.Unmarshal(last.Bytes(), &v); err != nil {
		return 0, fmt.Errorf("%s: read its verdict: %w", commandName(name), err)
	}
	return v.Status, v.err()
}

// commandName says what a command is for.
func commandName(name string) string {
	return map[string]string{
		"put": "put files into the work folder", "get": "get a file of the work folder", "list": "list the work folder",
		"log": "read the kernel's log", "render": "render",
	}[name]
}

// err returns what the verdict means.
func (v verdict) err() error {
	message := strings.ToValidUTF8(v.Message, "\uFFFD")
	switch v.Error {
	case "":
		return nil
	case "not_found":
		return fmt.Errorf("%s: %w", message, fs.ErrNotExist)
	case "too_large":
		return fmt.Errorf("%s: %w", message, runner.ErrTooLarge)
	}
	return fmt.Errorf("at the desk: %s", message)
}

// words keeps the end of what a command says on standard error.
type words struct {
	limit int
	text  []byte
	also  io.Writer // nil: nobody else
}

func (w *words) Write(p []byte) (int, error) {
	if w.also != nil {
		_, _ = w.also.Write(p) // it is not needed to go on
	}
	w.text = append(w.text, p[max(0, len(p)-w.limit):]...)
	w.text = w.text[max(0, len(w.text)-w.limit):]
	return len(p), nil
}

// explain adds what was said to an error, and that the stream was cut if it was.
func (w *words) explain(err, cut error) error {
	if said := strings.TrimSpace(strings.ToValidUTF8(string(w.text), "\uFFFD")); said != "" {
		err = fmt.Errorf("%w; it said: %s", err, said)
	}
	if errors.Is(cut, errCut) && !errors.Is(err, errCut) {
		err = fmt.Errorf("%w (%w)", err, cut)
	}
	return err
}

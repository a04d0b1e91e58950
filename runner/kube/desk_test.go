package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/internal/render"
)

// bench is a desk whose commands run on this machine, in folders of the test's.
type bench struct {
	desk
	work, log, own string
}

// newBench returns a desk with its folders. It runs desk.py as it runs in pods.
func newBench(t testing.TB) bench {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("desk.py runs in containers of Linux")
	}
	top := t.TempDir()
	b := bench{work: filepath.Join(top, "work"), log: filepath.Join(top, "log"), own: filepath.Join(top, "desk")}
	code := filepath.Join(top, "programs")
	for _, dir := range []string{b.work, b.log, b.own, code} {
		must(t, os.Mkdir(dir, 0o755))
	}
	for name, program := range programs() {
		must(t, os.WriteFile(filepath.Join(code, name), program, 0o644))
	}
	python := testenv.Python(t)
	b.run = func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
		own := append([]string{"-I", filepath.Join(code, "desk.py")}, argv[3:]...)
		cmd := exec.CommandContext(ctx, python, append(own, "work="+b.work, "log="+b.log, "desk="+b.own)...)
		return runPiped(ctx, cmd, stdin, stdout, stderr)
	}
	return b
}

// runPiped runs a program to its end, as a container's runtime does: when ctx ends it
// closes the program's standard input and leaves it alone.
func runPiped(ctx context.Context, cmd *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) error {
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Cancel = pipe.Close
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(pipe, stdin)
		_ = pipe.Close()
	}()
	return errors.Join(cmd.Wait(), ctx.Err())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDesk_PutReplacesTheWorkFolderWhateverIsInIt(t *testing.T) {
	b := newBench(t)
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600))
	hostile(t, b.work, outside)
	files := fstest.MapFS{
		"a.txt":       {Data: []byte("one")},
		"sub/b.bin":   {Data: bytes.Repeat([]byte{0, 255}, 1<<20)},
		"sub/empty":   {},
		"sub/d/ünï c": {Data: []byte("two")},
	}
	must(t, b.put(t.Context(), files))
	got, err := b.list(t.Context())
	must(t, err)
	if want := []string{"a.txt", "sub/b.bin", "sub/d/ünï c", "sub/empty"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, file := range files {
		got, err := b.get(t.Context(), name, int64(len(file.Data)))
		if err != nil || !bytes.Equal(got, file.Data) {
			t.Errorf("%s has %d bytes, %v; want %d", name, len(got), err, len(file.Data))
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
}

// hostile fills a folder as a notebook may.
func hostile(t testing.TB, dir, outside string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, errors.Join(
		os.Mkdir(at("closed"), 0o700),
		os.WriteFile(at("closed/x"), nil, 0o000),
		os.Chmod(at("closed"), 0),
		os.Symlink(outside, at("link")),
		os.Symlink("loop", at("loop")),
		syscall.Mkfifo(at("pipe"), 0o600),
		os.WriteFile(at(".removing-0"), nil, 0o600),
		os.WriteFile(at("not-\xff-text"), nil, 0o600),
		os.WriteFile(at(strings.Repeat("n", 255)), nil, 0o600),
	))
	huge, err := os.Create(at("huge"))
	must(t, err)
	must(t, errors.Join(huge.Truncate(1<<40), huge.Close()))
	const deeper = `
import os, sys
os.chdir(sys.argv[1])
for i in range(2200):  # deeper than a path can say
    os.mkdir("d")
    os.symlink(sys.argv[2], "outside")
    os.chdir("d")
`
	if out, err := exec.Command(testenv.Python(t), "-c", deeper, dir, outside).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestDesk_GetsNothingButRegularFilesWithinTheLimit(t *testing.T) {
	b := newBench(t)
	hostile(t, b.work, t.TempDir())
	must(t, os.WriteFile(filepath.Join(b.work, "ten"), []byte("0123456789"), 0o000))
	must(t, os.Symlink("ten", filepath.Join(b.work, "to-ten")))
	if got, err := b.get(t.Context(), "ten", 10); err != nil || string(got) != "0123456789" {
		t.Errorf("got %q, %v", got, err)
	}
	for name, limit := range map[string]int64{"ten": 9, "huge": 1 << 20} {
		if _, err := b.get(t.Context(), name, limit); !errors.Is(err, runner.ErrTooLarge) {
			t.Errorf("get(%q, %d): got %v, want ErrTooLarge", name, limit, err)
		}
	}
	for _, name := range []string{
		"nothing", "to-ten", "link", "link/kept", "loop", "pipe", "d", ".", "..", "ten/x", "../work/ten", "/etc/passwd", "",
		"d//x", strings.Repeat("n", 256), strings.Repeat("d/", 3000) + "x", "a\x00b", "not-\xff-text",
	} {
		if _, err := b.get(t.Context(), name, 1<<20); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get(%.40q): got %v, want fs.ErrNotExist", name, err)
		}
	}
	names, err := b.list(t.Context())
	must(t, err)
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasPrefix(name, "closed/") }) // root reads on
	if want := []string{".removing-0", "huge", strings.Repeat("n", 255), "ten"}; !slices.Equal(names, want) {
		t.Errorf("list: got %q, want %q", names, want)
	}
}

func TestDesk_ListsAFewThousandOfEndlesslyManyFiles(t *testing.T) {
	b := newBench(t)
	for i := range 5000 {
		must(t, os.WriteFile(filepath.Join(b.work, fmt.Sprintf("%08d", i)), nil, 0o600))
	}
	names, err := b.list(t.Context())
	if err != nil || len(names) != mostListed || !slices.IsSorted(names) {
		t.Errorf("got %d names, sorted %t, %v", len(names), slices.IsSorted(names), err)
	}
}

func TestDesk_LogIsTheEndOfWhatWasWrittenWhateverTheNotebookMadeOfIt(t *testing.T) {
	b := newBench(t)
	at := func(name string) string { return filepath.Join(b.log, name) }
	if got, err := b.desk.log(t.Context(), 100); err != nil || len(got) != 0 {
		t.Errorf("before anything was printed: got %q, %v", got, err)
	}
	must(t, os.WriteFile(at("kernel.log.1"), []byte("older "), 0o600))
	must(t, os.WriteFile(at("kernel.log"), []byte("newer"), 0o600))
	for limit, want := range map[int64]string{0: "", 3: "wer", 8: "er newer", 100: "older newer"} {
		if got, err := b.desk.log(t.Context(), limit); err != nil || string(got) != want {
			t.Errorf("log(%d): got %q, %v; want %q", limit, got, err, want)
		}
	}
	must(t, errors.Join(os.Remove(at("kernel.log.1")), syscall.Mkfifo(at("kernel.log.1"), 0o600)))
	if got, err := b.desk.log(t.Context(), 100); err != nil || string(got) != "newer" {
		t.Errorf("beside a pipe: got %q, %v", got, err)
	}
	must(t, os.Truncate(at("kernel.log"), 1<<40))
	if got, err := b.desk.log(t.Context(), 100); err != nil || len(got) != 0 {
		t.Errorf("of 1 TiB: got %q, %v", got, err)
	}
}

// request renders one page in English from a template.
func request(template string) render.Request {
	return render.Request{
		Template:   "t.html",
		Files:      map[string][]byte{"t.html": []byte(template)},
		Executions: []render.Execution{{Output: []byte(`{"name": "Ada"}`), Languages: []string{"en"}}},
	}
}

// at makes a desk a render.Renderer.
type at struct{ desk }

// Render implements render.Renderer.
func (a at) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return a.render(ctx, stdin, stdout, stderr)
}

func TestDesk_RendersInAFreshFolder(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(filepath.Join(b.work, "jinja2.py"), []byte("raise SystemExit"), 0o600))
	for range 2 {
		result, err := render.Pages(t.Context(), at{b.desk}, request("Hello {{ name }}"))
		if err != nil || string(result.Pages["en"]) != "Hello Ada" {
			t.Errorf("got %q, %v", result.Pages, err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(b.own, "render")); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	var refused *render.Error
	if _, err := render.Pages(t.Context(), at{b.desk}, request("{{ name")); !errors.As(err, &refused) || refused.Line != 1 {
		t.Errorf("got %v, want a template's error with its line", err)
	}
}

func TestDesk_EndsARenderingWhoseAgentHasGone(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	read, done := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := render.Pages(ctx, onRead{b.desk, read}, request("{% for i in range(99999999999) %}{% endfor %}"))
		done <- err
	}()
	<-read
	cancel() // closes the stream; runPiped waits for the program all the same
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the renderer runs on")
	}
}

// onRead tells when the request was read.
type onRead struct {
	desk
	read chan struct{}
}

// Render implements render.Renderer.
func (o onRead) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return o.render(ctx, io.MultiReader(stdin, &signalAtEnd{o.read}), stdout, stderr)
}

type signalAtEnd struct{ read chan struct{} }

func (s *signalAtEnd) Read([]byte) (int, error) {
	close(s.read)
	return 0, io.EOF
}

// failing is a file system whose file breaks in the middle.
type failing struct{ fs.FS }

func (f failing) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if name == "." || err != nil {
		return file, err
	}
	return failingFile{file}, nil
}

type failingFile struct{ fs.File }

func (failingFile) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }

func TestDesk_PutSaysWhatBrokeOnOurSide(t *testing.T) {
	b := newBench(t)
	err := b.put(t.Context(), failing{fstest.MapFS{"a": {Data: []byte("a")}}})
	if err == nil || !strings.Contains(err.Error(), "the disk is broken") {
		t.Errorf("got %v", err)
	}
}

// cut runs commands whose answer loses all but the first bytes, without any error.
func cut(run command, bytes int64) command {
	return func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
		return run(ctx, argv, stdin, &cutWriter{stdout, bytes}, stderr)
	}
}

type cutWriter struct {
	io.Writer
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	n := min(int64(len(p)), c.left)
	c.left -= n
	if n > 0 {
		if _, err := c.Writer.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestDesk_TakesNoCutStreamForAWholeOne(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(filepath.Join(b.work, "file"), bytes.Repeat([]byte("0123456789"), 10), 0o600))
	whole := 4 + 100 + 4 + 32 + 4 + 2 + 4 + 32
	for _, length := range []int{0, 3, 4, 103, 104, 108, 139, 140, 145, 147, whole - 1} {
		short := desk{run: cut(b.run, int64(length))}
		body := &bounded{limit: 100}
		_, err := short.call(t.Context(), "get", map[string]any{"name": "file", "limit": 100}, nil, body)
		if !errors.Is(err, errCut) {
			t.Errorf("cut after %d bytes: got %q, %v", length, body, err)
		}
	}
	enough := desk{run: cut(b.run, int64(whole))}
	if got, err := enough.get(t.Context(), "file", 100); err != nil || len(got) != 100 {
		t.Errorf("uncut: got %q, %v", got, err)
	}
}

func TestDesk_AsksAgainWhenAStreamWasCut(t *testing.T) {
	b := newBench(t)
	must(t, os.WriteFile(filepath.Join(b.work, "file"), []byte("whole"), 0o600))
	tries := 0
	sometimes := desk{run: func(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
		if tries++; tries < 3 {
			return cut(b.run, 7)(ctx, argv, stdin, stdout, stderr)
		}
		return b.run(ctx, argv, stdin, stdout, stderr)
	}}
	if got, err := sometimes.get(t.Context(), "file", 100); err != nil || string(got) != "whole" || tries != 3 {
		t.Errorf("got %q, %v after %d tries", got, err, tries)
	}
}

func FuzzReadParcel(f *testing.F) {
	var whole bytes.Buffer
	must(f, writeParcel(&whole, strings.NewReader("content")))
	f.Add(whole.Bytes())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 15, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var body bytes.Buffer
		if err := readParcel(bytes.NewReader(data), &body); err != nil {
			return
		}
		if body.Len() > len(data) {
			t.Fatalf("%d bytes came out of %d", body.Len(), len(data))
		}
		var again, twice bytes.Buffer
		must(t, writeParcel(&again, bytes.NewReader(body.Bytes())))
		if err := readParcel(&again, &twice); err != nil || !bytes.Equal(twice.Bytes(), body.Bytes()) {
			t.Fatalf("written again it is %q, %v; was %q", twice.Bytes(), err, body.Bytes())
		}
	})
}

func FuzzReadNames(f *testing.F) {
	f.Add([]byte("a\x00b/c\x00"))
	f.Add([]byte("../x\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := readNames(data)
		if err != nil {
			return
		}
		for _, name := range names {
			if !fs.ValidPath(name) || strings.Contains(name, "\x00") {
				t.Fatalf("%q is no path", name)
			}
		}
	})
}

//go:build linux

package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/runnertest"
)

// soakDefault is how many notebooks TestSoak executes in each of its ways, beside one of
// each kind, where NBPRESS_SOAK does not say otherwise; `make kernels` does.
const soakDefault = 4

// soaked is a notebook of the soak, and how it has to end.
type soaked struct {
	name   string
	cells  []string
	o      runner.CellsOptions
	code   runner.Code   // "": completed
	cancel time.Duration // of the run; 0: never
}

var soakedNotebooks = []soaked{
	{name: "plain", cells: []string{"x = 1", "print(x)", "x + 1"}},
	{name: "failing", cells: []string{"1 / 0", "'never'"}, code: runner.CellError},
	{
		name: "timing out", cells: []string{"while True: pass"}, code: runner.CellTimeout,
		o: runner.CellsOptions{CellTimeout: time.Second, Grace: time.Minute},
	},
	{
		name: "eating its interrupt", code: runner.CellTimeout,
		cells: []string{"import time\nwhile True:\n    try:\n        time.sleep(60)\n    except KeyboardInterrupt: pass"},
		o:     runner.CellsOptions{CellTimeout: time.Second, Grace: 300 * time.Millisecond},
	},
	{name: "dying", cells: []string{"import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"}, code: runner.KernelDied},
	{name: "exiting", cells: []string{"print('bye'); exit()", "'never'"}},
	{name: "flooding", cells: []string{"for i in range(20): print('x' * (1 << 20))", "for i in range(30_000): print(i)"}},
	{name: "displaying", cells: []string{"from IPython.display import display\nfor i in range(1_000): display({'text/plain': 'x' * 1_000}, raw=True, display_id=str(i % 7))"}},
	{name: "with widgets", cells: []string{"import ipywidgets\nslider = ipywidgets.IntSlider()\nslider", "for i in range(100): slider.value = i"}},
	{name: "leaving a process", cells: []string{"import subprocess\nchild = subprocess.Popen(['sleep', '600'])"}},
	{name: "canceled", cells: []string{"import time; time.sleep(60)"}, cancel: time.Second},
	{name: "not starting", cells: []string{"'never'"}, o: runner.CellsOptions{StartTimeout: time.Millisecond}, code: runner.StartTimeout},
}

// What nbpress holds does not grow with the notebooks that it executed, however those
// ended, and nothing of them stays.
func TestSoak(t *testing.T) {
	count := soakDefault
	if text := os.Getenv("NBPRESS_SOAK"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 1 {
			t.Fatalf("NBPRESS_SOAK=%s: how many notebooks?", text)
		}
	}
	work := t.TempDir()
	temporary, err := os.MkdirTemp("", "nbs") // sockets' paths must stay short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(temporary)
	t.Setenv("TMPDIR", temporary)
	t.Setenv(runnertest.MarkVariable, filepath.Base(temporary))
	for _, atATime := range []int{1, 8} {
		t.Run(fmt.Sprintf("%d at a time", atATime), func(t *testing.T) {
			soak(t, work, atATime, 0, len(soakedNotebooks)) // what is made once is made
			first := soak(t, work, atATime, 0, count/2)
			second := soak(t, work, atATime, count/2, count)
			t.Logf("after %d notebooks: %s\nafter %d: %s", count/2, first, count, second)
			second.checkFlat(t, first)
			checkNothingLeft(t, temporary)
		})
	}
}

// soak executes notebooks first to last, so many at a time, and returns what the process
// holds then.
func soak(t *testing.T, work string, atATime, first, last int) holdings {
	t.Helper()
	python := testenv.Python(t)
	turns := make(chan int)
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			for n := range turns {
				s := soakedNotebooks[n%len(soakedNotebooks)]
				if err := s.execute(t.Context(), python, work); err != nil {
					t.Errorf("notebook %d, %s: %v", n, s.name, err)
				}
			}
		})
	}
	for n := first; n < last; n++ {
		turns <- n
	}
	close(turns)
	all.Wait()
	return held(t)
}

// execute does what `nbpress execute` does.
func (s soaked) execute(ctx context.Context, python, work string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	data, err := s.file()
	if err != nil {
		return err
	}
	kernel, err := local.StartKernel(ctx, python, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kernel.Close()) }()
	o := s.o
	o.Interrupt = kernel.Interrupt
	var executed bytes.Buffer
	o.Save = func(write func(io.Writer) error) error {
		executed.Reset()
		return write(&executed)
	}
	if s.cancel > 0 {
		o.Progress = func(runner.Progress) { time.AfterFunc(s.cancel, cancel) }
	}
	_, failure, _, err := runner.ExecuteNotebook(ctx, data, kernel.Connection, kernel.Died, o)
	switch {
	case s.cancel > 0 && errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return err
	case s.code == "" && failure != nil, s.code != "" && (failure == nil || failure.Code != s.code):
		return fmt.Errorf("got %+v, want %q\n%s", failure, s.code, kernel.Log())
	case s.name == "flooding" && !bytes.Contains(executed.Bytes(), []byte("[nbpress: ")):
		return errors.New("no mark says that its output was cut")
	}
	return nil
}

func (s soaked) file() ([]byte, error) {
	type cell struct {
		ID       string   `json:"id"`
		Type     string   `json:"cell_type"`
		Source   string   `json:"source"`
		Metadata struct{} `json:"metadata"`
		Outputs  []string `json:"outputs"`
		Count    *int     `json:"execution_count"`
	}
	var cells []cell
	for i, source := range s.cells {
		cells = append(cells, cell{ID: fmt.Sprintf("cell-%d", i), Type: "code", Source: source, Outputs: []string{}})
	}
	return json.Marshal(map[string]any{"nbformat": 4, "nbformat_minor": 5, "metadata": struct{}{}, "cells": cells})
}

// holdings are what a process holds while it does nothing.
type holdings struct {
	goroutines, descriptors int
	heap, resident          int64 // bytes
}

func (h holdings) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %d KiB of heap, %d KiB resident", h.goroutines, h.descriptors, h.heap>>10, h.resident>>10)
}

// held asks the operating system and the Go runtime.
func held(t *testing.T) holdings {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return holdings{
		goroutines: runtime.NumGoroutine(), descriptors: len(descriptors),
		heap: int64(m.HeapAlloc), resident: pages * int64(os.Getpagesize()),
	}
}

// checkFlat compares with what was held after half as many notebooks.
func (h holdings) checkFlat(t *testing.T, before holdings) {
	t.Helper()
	if h.goroutines > before.goroutines || h.descriptors > before.descriptors {
		stacks := make([]byte, 64<<10)
		t.Errorf("goroutines or descriptors stay\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	if h.heap > before.heap+1<<20 {
		t.Error("the heap grows")
	}
	if h.resident > before.resident+48<<20 { // the Go runtime gives pages back when it likes
		t.Error("the resident memory grows")
	}
}

// isProbe reports whether a file is what Python's tempfile tries a folder with, before it
// first makes a file there. A kernel that is killed just then leaves it.
func isProbe(path string) bool {
	named := regexp.MustCompile("^[a-z0-9_]{8}$").MatchString(filepath.Base(path))
	data, err := os.ReadFile(path)
	return named && err == nil && (len(data) == 0 || string(data) == "blat")
}

// checkNothingLeft looks for processes and files of the notebooks.
func checkNothingLeft(t *testing.T, temporary string) {
	t.Helper()
	left, err := os.ReadDir(temporary)
	left = slices.DeleteFunc(left, func(f os.DirEntry) bool { return isProbe(filepath.Join(temporary, f.Name())) })
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	mark, self := []byte(runnertest.MarkVariable+"="+filepath.Base(temporary)+"\x00"), strconv.Itoa(os.Getpid())
	for _, process := range processes {
		if filepath.Base(process) == self {
			continue
		}
		stat, _ := os.ReadFile(filepath.Join(process, "stat")) // it may have ended meanwhile
		environment, _ := os.ReadFile(filepath.Join(process, "environ"))
		_, rest, _ := strings.Cut(string(stat), ") ") // state and parent
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == self || bytes.Contains(environment, mark) {
			t.Errorf("a process is left: %s", stat)
		}
	}
}

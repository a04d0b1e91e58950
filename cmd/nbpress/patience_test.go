package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/runner"
)

func TestPatience_TellsEachTroubleOnceAndRetriesAsItDeserves(t *testing.T) {
	away, store := errors.New("connection refused"), storeError{errors.New("no space left on device")}
	hook := func(output string) error {
		return fmt.Errorf("commit: %w", &gitsync.DeclinedError{Branch: "runs/2026-11", Reason: "hook declined", Output: output})
	}
	var log bytes.Buffer
	var p patience
	for i, c := range []struct {
		err         error
		least, most time.Duration
		tells       string
	}{
		{nil, 0, 0, ""},
		{away, retryAway, retryAway, "WARN"},
		{errors.New("no route to host"), retryAway, retryAway, ""},
		{errors.Join(nil, store), retryAway, retryAway, "WARN"},
		{store, retryAway, retryAway, ""},
		{nil, 0, 0, "INFO"},
		{hook("see https://host/1"), leastRefused, retryRefused, "ERROR"},
		{hook("see https://host/2"), leastRefused, retryRefused, ""},
		{away, retryAway, retryAway, "WARN"},
		{errors.Join(away, hook("")), leastRefused, retryRefused, ""}, // the same as before
		{fmt.Errorf("commit: %w", gitsync.ErrDenied), leastRefused, retryRefused, "ERROR"},
		{nil, 0, 0, "INFO"},
		{nil, 0, 0, ""},
		{hook(""), leastRefused, retryRefused, "ERROR"},
	} {
		log.Reset()
		least, most := p.after(c.err, slog.New(slog.NewTextHandler(&log, nil)), "it waits")
		_, level, _ := strings.Cut(log.String(), "level=")
		level, _, _ = strings.Cut(level, " ")
		if least != c.least || most != c.most || level != c.tells {
			t.Errorf("%d: after(%v) = %v, %v and told %q, want %v, %v and %q", i, c.err, least, most, level, c.least, c.most, c.tells)
		}
	}
}

// landing runs an agent's land until the test ends, over git's own http-backend.
type landing struct {
	*agent
	store  *watchedStore
	server *gitServer
	bare   string
	log    func() string
}

func startLanding(t *testing.T) landing {
	t.Helper()
	a, store, _ := newLandingAgent(t)
	root := t.TempDir()
	l := landing{agent: a, store: store, bare: filepath.Join(root, "ledger.git")}
	newBareRepo(t, l.bare)
	l.server = newGitServer(t, root)
	var err error
	if a.ledger, err = gitsync.OpenLedger(gitsync.LedgerOptions{URL: l.server.url("ledger.git"), Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var text bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil))
	l.log = func() string { mu.Lock(); defer mu.Unlock(); return text.String() }
	a.recorded = newBell()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.land(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("land() = %v", err)
		}
	})
	return l
}

type lockedWriter struct {
	mu *sync.Mutex
	w  *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// record does what the runner does when a run ends.
func (l landing) record(t *testing.T, n int) {
	t.Helper()
	at := monday.Add(time.Duration(n) * time.Minute)
	l.store.put(t, fmt.Sprintf("run-%04d.yaml", n), runner.Manifest{
		APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: runner.NewRunID("good", "a", at), Generation: 1,
		Report: "good", Asset: "a", ScheduledAt: at, Status: runner.StatusCompleted,
	})
	l.recorded.ring()
}

// eventually waits until something holds, and fails after a limit.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) time.Duration {
	t.Helper()
	started := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		if <-tick.C; time.Since(started) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
	return time.Since(started)
}

func (l landing) outbox(t *testing.T) int {
	keys, err := l.store.Dir.List(t.Context(), runner.OutboxPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return len(keys)
}

func TestLand_ARefusalAlarmsOnceAndDoesNotSpin(t *testing.T) {
	t.Parallel()
	l := startLanding(t)
	pushes := filepath.Join(t.TempDir(), "pushes")
	hook := filepath.Join(l.bare, "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho x >>"+pushes+"\necho closed for stocktaking >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.record(t, 0)
	eventually(t, time.Minute, "an alarm", func() bool { return strings.Contains(l.log(), "level=ERROR") })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	runs := 1
	for began := time.Now(); runs <= 80 && time.Since(began) < leastRefused/2; runs++ { // eight seconds of runs that end
		<-tick.C
		l.record(t, runs)
	}
	if data, err := os.ReadFile(pushes); string(data) != "x\n" || err != nil {
		t.Errorf("%d pushes reached the server, want 1 (%v)", len(data)/2, err)
	}
	if n := strings.Count(l.log(), "\n"); n != 1 || !strings.Contains(l.log(), "closed for stocktaking") {
		t.Errorf("%d lines in the log, want one alarm with the hook's words:\n%s", n, l.log())
	}
	if got := l.outbox(t); got != runs {
		t.Errorf("%d documents in the outbox, want all %d", got, runs)
	}
}

func TestLand_RemoteAwayForHalfAMinute(t *testing.T) {
	t.Parallel()
	l := startLanding(t)
	l.record(t, 0)
	eventually(t, time.Minute, "the first landed", func() bool { return l.outbox(t) == 0 })
	l.server.stop()
	const runs = 60
	tick := time.NewTicker(30 * time.Second / runs)
	defer tick.Stop()
	for n := range runs {
		<-tick.C
		l.record(t, n+1)
	}
	if got := l.outbox(t); got != runs {
		t.Errorf("%d documents wait in the outbox, want %d", got, runs)
	}
	l.server.start()
	took := eventually(t, 3*time.Minute, "all landed", func() bool { return l.outbox(t) == 0 })
	t.Logf("all landed %v after the remote's return; the promise is 10 s on an idle machine", took)

	if paths := runGit(t, l.bare, "ls-tree", "-r", "--name-only", "runs/2026-11"); strings.Count(paths, "\n")+1 != runs+1 {
		t.Errorf("landed:\n%s", paths)
	}
	if n := strings.Count(runGit(t, l.bare, "log", "--format=%H", "runs/2026-11"), "\n"); n > 5 {
		t.Errorf("%d commits since the remote is back, want 5 at most", n)
	}
	var told []string
	for line := range strings.Lines(l.log()) {
		if !strings.Contains(line, "ledger written") {
			_, message, _ := strings.Cut(line, "msg=")
			message, _, _ = strings.Cut(message, `" `)
			told = append(told, strings.TrimSpace(message))
		}
	}
	want := []string{`"ledger not reached; manifests wait in the outbox`, `"ledger takes commits again"`}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// newCutOffAgent is an agent that can land, but for its ledger, which is away.
func newCutOffAgent(t *testing.T) (*agent, *watchedStore) {
	a, s, _ := newLandingAgent(t)
	server := newGitServer(t, t.TempDir())
	server.stop()
	var err error
	if a.ledger, err = gitsync.OpenLedger(gitsync.LedgerOptions{URL: server.url("ledger.git"), Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	return a, s
}

func TestLandOutbox_DoesNotReadALongOutboxForARemoteThatIsAway(t *testing.T) {
	a, s := newCutOffAgent(t)
	for n := range 3 * landBatch {
		s.put(t, fmt.Sprintf("slot-%03d.yaml", n), slotRecord("good", monday.Add(time.Duration(n)*time.Minute)))
	}
	if err := a.landOutbox(t.Context()); err == nil || s.most > landBatch {
		t.Errorf("landOutbox() = %v, and %d documents were read", err, s.most)
	}
}

// What could not be asked for the next commit is no success.
func TestLandOutbox_TellsOfARemoteThatGoesAwayBetweenTwoCommits(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	root := t.TempDir()
	newBareRepo(t, filepath.Join(root, "ledger.git"))
	server := newGitServer(t, root)
	var err error
	a.ledger, err = gitsync.OpenLedger(gitsync.LedgerOptions{URL: server.url("ledger.git"), Dir: t.TempDir(), At: func(point string) {
		if point == "ack:after" {
			server.stop()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range landBatch + 1 {
		s.put(t, fmt.Sprintf("slot-%03d.yaml", n), slotRecord("good", monday.Add(time.Duration(n)*time.Minute)))
	}
	err = a.landOutbox(t.Context())
	if left, listErr := s.List(t.Context(), runner.OutboxPrefix); err == nil || len(left) != 1 || listErr != nil {
		t.Errorf("landOutbox() = %v, and %d documents wait, %v", err, len(left), listErr)
	}
}

func TestLandOutbox_AnHourOfTriesLeavesNothingBehind(t *testing.T) {
	a, s := newCutOffAgent(t)
	s.put(t, "slot.yaml", slotRecord("good", monday))
	tries := func(n int) {
		for range n {
			if err := a.landOutbox(t.Context()); err == nil {
				t.Fatal("landed without a remote")
			}
		}
	}
	tries(20)
	before, goroutines := heap(), runtime.NumGoroutine()
	tries(int(time.Hour / retryAway))
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more in memory", grown)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 5 {
		t.Errorf("%d more goroutines", more)
	}
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

package gitsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hook writes a server's hook, which finds the folder for its notes in $notes.
func hook(t *testing.T, bare, name, script string) (notes string) {
	t.Helper()
	notes = t.TempDir()
	text := "#!/bin/sh\nnotes=" + notes + "\necho x >>$notes/calls\n" + script
	if err := os.WriteFile(filepath.Join(bare, "hooks", name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return notes
}

// calls says how often a hook ran.
func calls(t *testing.T, notes string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(notes, "calls"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(data) / len("x\n")
}

// overTransports runs a test over a path, git's http-backend and sshd. It is given the
// options of a ledger there.
func overTransports(t *testing.T, test func(t *testing.T, bare string, o LedgerOptions)) {
	for name, options := range map[string]func(*testing.T, string) LedgerOptions{
		"path": func(_ *testing.T, bare string) LedgerOptions { return LedgerOptions{URL: bare} },
		"http": func(t *testing.T, bare string) LedgerOptions { return LedgerOptions{URL: serveGit(t, bare, nil)} },
		"ssh": func(t *testing.T, bare string) LedgerOptions {
			server := serveSSH(t)
			return LedgerOptions{URL: server.url(t, bare), Auth: server.auth()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bare := newBare(t)
			test(t, bare, options(t, bare))
		})
	}
}

// once runs a part of a hook the first time only.
const once = `first() { [ ! -e $notes/before ] && touch $notes/before; }
`

func TestLedger_PushesThatGoWrongLandOnce(t *testing.T) {
	for name, c := range map[string]struct {
		hook, script string
		pushes       int // of the first commit
		lock         bool
	}{
		"server killed before the branch moved": {"pre-receive", once + "first && kill -9 $PPID\nexit 0\n", 2, false},
		"server killed after the branch moved":  {"post-receive", once + "first && kill -9 $PPID\nexit 0\n", 1, false},
		"a lock on the branch, for a while":     {"pre-receive", "[ $(wc -l <$notes/calls) -ge 3 ] && rm -f refs/heads/" + month + ".lock\nexit 0\n", 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			overTransports(t, func(t *testing.T, bare string, o LedgerOptions) {
				pushes := hook(t, bare, "pre-receive", "")
				if notes := hook(t, bare, c.hook, c.script); c.hook == "pre-receive" {
					pushes = notes
				}
				if c.lock {
					lockBranch(t, bare)
				}
				l := openLedger(t, o)
				first := commit(t, l, put1("a", "1"))
				if got := calls(t, pushes); got != c.pushes {
					t.Errorf("%d pushes, want %d", got, c.pushes)
				}
				second := commit(t, l, put1("b", "2"))
				if got := execGit(t, bare, "log", "--format=%H", month); got != second.Hash+"\n"+first.Hash {
					t.Errorf("history = %s, want %s on %s", got, second.Hash, first.Hash)
				}
				sound(t, bare, month)
			})
		})
	}
}

func lockBranch(t *testing.T, bare string) (unlock func()) {
	t.Helper()
	lock := filepath.Join(bare, "refs", "heads", month+".lock")
	if err := errors.Join(os.MkdirAll(filepath.Dir(lock), 0o755), os.WriteFile(lock, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(lock); err != nil {
			t.Error(err)
		}
	}
}

func TestLedger_ALockThatStaysIsAnErrorAndTheNextTryLands(t *testing.T) {
	t.Parallel()
	bare := newBare(t)
	unlock := lockBranch(t, bare)
	l := openLedger(t, LedgerOptions{URL: serveGit(t, bare, nil)})
	_, err := l.Commit(t.Context(), put1("a", "1"))
	var declined *DeclinedError
	if err == nil || errors.As(err, &declined) {
		t.Errorf("Commit() = %v, want an error that is no rule's", err)
	}
	unlock()
	commit(t, l, put1("a", "1"))
	if got := count(t, bare, month); got != "1" {
		t.Errorf("%s commits, want 1", got)
	}
	sound(t, bare, month)
}

func TestLedger_AnAnswerAfterTheTimeoutLandsOnce(t *testing.T) {
	t.Parallel()
	overTransports(t, func(t *testing.T, bare string, o LedgerOptions) {
		pushes := hook(t, bare, "pre-receive", "")
		notes := hook(t, bare, "post-receive", once+"first && while [ -d $notes ] && [ ! -e $notes/go ]; do sleep 0.1; done\nexit 0\n")
		t.Cleanup(func() { os.WriteFile(filepath.Join(notes, "go"), nil, 0o600) })
		o.Timeout = 8 * time.Second
		l := openLedger(t, o)
		first := commit(t, l, put1("a", "1"))
		if got := execGit(t, bare, "rev-parse", month); got != first.Hash {
			t.Errorf("Commit() = %s, landed %s", first.Hash, got)
		}
		commit(t, l, put1("b", "2"))
		if got := count(t, bare, month); got != "2" || calls(t, pushes) != 2 {
			t.Errorf("%s commits by %d pushes, want 2 by 2", got, calls(t, pushes))
		}
		sound(t, bare, month)
	})
}

// killServer lets half of the first n pushes through and then kills the server, which
// all of the processes that serve root are.
func killServer(t *testing.T, root string, n int32) func(http.Handler) http.Handler {
	var pushes atomic.Int32
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isPush(r) && pushes.Add(1) <= n {
				rest := func() (int, error) { killServing(t, root); return 0, io.ErrUnexpectedEOF }
				r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), readFunc(rest)))
				next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			next.ServeHTTP(w, r)
		})
	}
}

type readFunc func() (int, error)

func (f readFunc) Read([]byte) (int, error) { return f() }

func killServing(t *testing.T, root string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is well-formed
	killed := 0
	for _, name := range environments {
		environment, _ := os.ReadFile(name) // gone meanwhile, or not ours
		if !strings.Contains(string(environment), "GIT_PROJECT_ROOT="+root+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	if killed == 0 {
		t.Error("no server was there to be killed")
	}
}

func isPush(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/git-receive-pack")
}

func TestLedger_ServerKilledInMidPushLandsOnce(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: serveGit(t, bare, killServer(t, filepath.Dir(bare), 2))})
	noise := make([]byte, 1<<20) // more than pipes hold
	rand.NewChaCha8([32]byte{}).Read(noise)
	commit(t, l, put1("a", string(noise)))
	commit(t, l, put1("b", "2"))
	if got := count(t, bare, month); got != "2" {
		t.Errorf("%s commits, want 2", got)
	}
	sound(t, bare, month)
}

// dropAnswers hands pushes on and keeps the answers to the first n of them.
func dropAnswers(n int32) func(http.Handler) http.Handler {
	var pushes atomic.Int32
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !isPush(r) || pushes.Add(1) > n {
				next.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
	}
}

func TestLedger_PushWithoutAnAnswerLandsOnce(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: serveGit(t, bare, dropAnswers(1))})
	got := commit(t, l, put1("a", "1"))
	commit(t, l, put1("b", "2"))
	if tip := execGit(t, bare, "rev-parse", month+"~1"); tip != got.Hash {
		t.Errorf("Commit() = %s, landed %s", got.Hash, tip)
	}
	if got := count(t, bare, month); got != "2" {
		t.Errorf("%s commits, want 2", got)
	}
	sound(t, bare, month)
}

func TestLedger_RacingWritersAllLand(t *testing.T) {
	for name, serve := range map[string]bool{"path": false, "http": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bare := newBare(t)
			execGit(t, bare, "config", "core.logAllRefUpdates", "always")
			address := bare
			if serve {
				address = serveGit(t, bare, nil)
			}
			const writers, commits = 8, 2
			var all sync.WaitGroup
			for w := range writers {
				l := openLedger(t, LedgerOptions{URL: address})
				all.Go(func() {
					for n := range commits {
						if _, err := l.Commit(t.Context(), put1(fmt.Sprintf("w%d/n%d.yaml", w, n), "x")); err != nil {
							t.Errorf("writer %d: %v", w, err)
						}
					}
				})
			}
			all.Wait()
			if got := count(t, bare, month); got != fmt.Sprint(writers*commits) {
				t.Errorf("%s commits, want %d", got, writers*commits)
			}
			if got := strings.Count(execGit(t, bare, "ls-tree", "-r", "--name-only", month), "\n") + 1; got != writers*commits {
				t.Errorf("%d files, want %d", got, writers*commits)
			}
			sound(t, bare, month)
			for move := range strings.Lines(execGit(t, bare, "log", "-g", "--format=%gd %H %P", month)) {
				if fields := strings.Fields(move); len(fields) == 2 && !strings.HasPrefix(move, fmt.Sprintf("%s@{%d}", month, writers*commits-1)) {
					t.Errorf("the branch was moved to a first commit: %s", move)
				}
			}
			if moves := strings.Count(execGit(t, bare, "log", "-g", "--format=%H", month), "\n") + 1; moves != writers*commits {
				t.Errorf("the branch was moved %d times, want once for each of %d commits", moves, writers*commits)
			}
		})
	}
}

func TestLedger_DeclinedByAHookIsPermanent(t *testing.T) {
	overTransports(t, func(t *testing.T, bare string, o LedgerOptions) {
		notes := hook(t, bare, "pre-receive", "echo 'ledger is closed' >&2\nexit 1\n")
		_, err := openLedger(t, o).Commit(t.Context(), put1("a", "1"))
		var declined *DeclinedError
		if !errors.As(err, &declined) {
			t.Fatalf("Commit() = %v, want a *DeclinedError", err)
		}
		want := &DeclinedError{Branch: month, Reason: "pre-receive hook declined", Output: "ledger is closed"}
		if diff := cmp.Diff(want, declined); diff != "" {
			t.Errorf("error (-want +got):\n%s", diff)
		}
		if n := calls(t, notes); n != 1 {
			t.Errorf("the hook ran %d times", n)
		}
	})
}

func TestLedger_HangingHookDoesNotOutlastTheTimeout(t *testing.T) {
	for name, serve := range map[string]bool{"path": false, "http": true} {
		t.Run(name, func(t *testing.T) {
			bare := newBare(t)
			wait := filepath.Join(t.TempDir(), "wait")
			hook := "#!/bin/sh\nwhile [ ! -e " + wait + " ]; do sleep 0.1; done\n"
			if err := os.WriteFile(filepath.Join(bare, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
				t.Fatal(err)
			}
			address := bare
			if serve {
				address = serveGit(t, bare, nil)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			l := openLedger(t, LedgerOptions{URL: address})
			start := time.Now()
			if _, err := l.Commit(ctx, put1("a", "1")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Commit() = %v", err)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if err := os.WriteFile(wait, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			commit(t, l, put1("a", "1"))
			commit(t, l, put1("b", "1"))
			if got := count(t, bare, month); got != "2" {
				t.Errorf("%s commits, want 2", got)
			}
			sound(t, bare, month)
		})
	}
}

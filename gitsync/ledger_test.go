package gitsync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const month = "runs/2026-11"

func openLedger(t *testing.T, o LedgerOptions) *Ledger {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := OpenLedger(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func commit(t *testing.T, l *Ledger, c Change) Commit {
	t.Helper()
	got, err := l.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func readBranch(t *testing.T, l *Ledger, branch, name string) ([]byte, error) {
	tree, err := l.Tree(t.Context(), branch)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(tree, name)
}

func put1(name, content string) Change {
	return Change{Branch: month, Files: map[string][]byte{name: []byte(content)}, Subject: "Put " + name}
}

// sound checks what must hold for a branch whatever happened: git's own fsck,
// and one line of history.
func sound(t *testing.T, bare, branch string) {
	t.Helper()
	if out := execGit(t, bare, "fsck", "--full", "--strict", "--no-dangling"); out != "" {
		t.Errorf("git fsck: %s", out)
	}
	if merges := execGit(t, bare, "rev-list", "--merges", branch); merges != "" {
		t.Errorf("merges on %s: %s", branch, merges)
	}
}

func count(t *testing.T, bare, branch string) string {
	return execGit(t, bare, "rev-list", "--count", branch)
}

func TestLedger_CommitsOverEveryTransport(t *testing.T) {
	for name, address := range map[string]func(*testing.T, string) string{
		"path": func(_ *testing.T, bare string) string { return bare },
		"http": func(t *testing.T, bare string) string { return serveGit(t, bare, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			bare := newBare(t)
			l := openLedger(t, LedgerOptions{URL: address(t, bare), Author: Author{"Press", "press@example.com"}})
			first := commit(t, l, Change{
				Branch:   month,
				Files:    map[string][]byte{"weekly/2026-11-23T0600+0100/plant-1.yaml": []byte("status: completed\n"), "weekly/slot.yaml": []byte("x")},
				Subject:  "weekly 2026-11-23:\n1 completed",
				Body:     "plant-2: ZeroDivisionError\n  in [4]",
				Trailers: [][2]string{{"Report", "weekly"}, {"Run-Id", "k3v9\nForged: yes"}},
			})
			second := commit(t, l, put1("weekly/2026-11-23T0600+0100/plant-2.yaml", "status: error\n"))

			want := "Press <press@example.com>\nweekly 2026-11-23: 1 completed\n\nplant-2: ZeroDivisionError\n  in [4]\n\nReport: weekly\nRun-Id: k3v9 Forged: yes\n"
			if diff := cmp.Diff(want, execGit(t, bare, "log", "-1", "--format=%an <%ae>%n%B", first.Hash)); diff != "" {
				t.Errorf("first commit (-want +got):\n%s", diff)
			}
			if got := execGit(t, bare, "log", "--format=%H", month); got != second.Hash+"\n"+first.Hash {
				t.Errorf("history = %s, want %s on %s", got, second.Hash, first.Hash)
			}
			files := "weekly/2026-11-23T0600+0100/plant-1.yaml\nweekly/2026-11-23T0600+0100/plant-2.yaml\nweekly/slot.yaml"
			if diff := cmp.Diff(files, execGit(t, bare, "ls-tree", "-r", "--name-only", month)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			sound(t, bare, month)
		})
	}
}

func TestLedger_CommitsNothingWhenNothingChanges(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	first := commit(t, l, put1("a/b", "1"))
	again := commit(t, l, put1("a/b", "1"))
	fromElsewhere := commit(t, openLedger(t, LedgerOptions{URL: bare}), put1("a/b", "1"))
	absent := commit(t, l, Change{Branch: month, Delete: []string{"a/c", "x/y"}, Subject: "Delete nothing"})
	for _, got := range []Commit{again, fromElsewhere, absent} {
		if got.Hash != first.Hash {
			t.Errorf("Commit() = %s, want the tip %s", got.Hash, first.Hash)
		}
	}
	if got := count(t, bare, month); got != "1" {
		t.Errorf("%s commits", got)
	}
}

func TestLedger_KeepsWhatTheCallerKeeps(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	commit(t, l, put1("run.yaml", "status: completed"))
	change := Change{
		Branch: month, Subject: "Late", Files: map[string][]byte{"run.yaml": []byte("status: error"), "slot.yaml": []byte("new")},
		Keep: func(path string, old, new []byte) bool { return bytes.Contains(old, []byte("completed")) },
	}
	commit(t, openLedger(t, LedgerOptions{URL: bare}), change)
	if got := execGit(t, bare, "show", month+":run.yaml") + "|" + execGit(t, bare, "show", month+":slot.yaml"); got != "status: completed|new" {
		t.Errorf("files = %s", got)
	}
}

func TestLedger_DeletesOnlyWhatIsAsked(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	commit(t, l, Change{Branch: month, Subject: "Put", Files: map[string][]byte{"a/b": nil, "a/c": nil, "d/e": nil}})
	commit(t, l, Change{Branch: month, Subject: "Delete", Delete: []string{"d/e", "a/b"}})
	if got := execGit(t, bare, "ls-tree", "-r", "--name-only", month); got != "a/c" {
		t.Errorf("left: %q", got)
	}
	commit(t, l, Change{Branch: month, Subject: "Delete the rest", Delete: []string{"a/c"}})
	if got := execGit(t, bare, "ls-tree", "-r", "--name-only", month); got != "" {
		t.Errorf("left: %q", got)
	}
	sound(t, bare, month)
}

func TestLedger_RefusesBadChanges(t *testing.T) {
	bare := newBare(t)
	push(t, bare, month, "A file where a folder should be", map[string]string{"weekly": "x", "folder/a": "x"})
	l := openLedger(t, LedgerOptions{URL: bare})
	for name, c := range map[string]Change{
		"no subject":        {Branch: month},
		"no branch":         {Subject: "x"},
		"branch":            {Branch: "a..b", Subject: "x"},
		"absolute path":     put1("/etc/passwd", ""),
		"path out":          put1("../x", ""),
		"Git's own":         put1("a/.git/config", ""),
		"newline":           put1("a\nb", ""),
		"file in the way":   put1("weekly/a.yaml", ""),
		"folder in the way": put1("folder", ""),
		"both":              {Branch: month, Subject: "x", Files: map[string][]byte{"a": nil}, Delete: []string{"a"}},
	} {
		if got, err := l.Commit(t.Context(), c); err == nil {
			t.Errorf("%s: committed %v", name, got)
		}
	}
	if got := count(t, bare, month); got != "1" {
		t.Errorf("%s commits", got)
	}
}

func TestLedger_OneLedgerServesManyGoroutines(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			if _, err := l.Commit(t.Context(), put1(fmt.Sprintf("n%d.yaml", n), "x")); err != nil {
				t.Error(err)
			}
			if _, err := readBranch(t, l, month, fmt.Sprintf("n%d.yaml", n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := count(t, bare, month); got != "4" {
		t.Errorf("%s commits", got)
	}
}

func TestLedger_RemoteAwayIsAnErrorAndTheNextTryLands(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	commit(t, l, put1("a", "1"))
	if err := os.Rename(bare, bare+".away"); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Commit(t.Context(), put1("b", "2")); err == nil {
		t.Errorf("Commit() = %v without a remote", got)
	}
	if err := os.Rename(bare+".away", bare); err != nil {
		t.Fatal(err)
	}
	commit(t, l, put1("b", "2"))
	if got := count(t, bare, month); got != "2" {
		t.Errorf("%s commits, want 2", got)
	}
}

func TestLedger_DeniedIsPermanent(t *testing.T) {
	address := serveGit(t, newBare(t), basicAuth("ada", "right"))
	l := openLedger(t, LedgerOptions{URL: address, Auth: Auth{User: "ada", Password: "hunter2"}})
	_, err := l.Commit(t.Context(), put1("a", "1"))
	if !errors.Is(err, ErrDenied) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Commit() = %v", err)
	}
}

func TestLedger_StopsAtTheContextsEnd(t *testing.T) {
	bare := newBare(t)
	address := serveGit(t, bare, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost { // pushes fail, and nobody knows why
				io.Copy(io.Discard, r.Body)
				http.Error(w, "overloaded", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	l := openLedger(t, LedgerOptions{URL: address})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Commit(ctx, put1("a", "1")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit() = %v", err)
	}
	if _, err := l.Commit(t.Context(), put1("a", "1")); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("Commit() = %v, want the last push's error", err)
	}
}

func TestLedger_LocalCopiesAreDisposable(t *testing.T) {
	bare, dir := newBare(t), t.TempDir()
	l := openLedger(t, LedgerOptions{URL: bare, Dir: dir})
	commit(t, l, put1("a/x", "1"))
	commit(t, openLedger(t, LedgerOptions{URL: bare}), put1("a/y", "2"))
	commit(t, l, put1("a/z", "3"))
	damage := func(what func(string) error) {
		packs, _ := filepath.Glob(filepath.Join(dir, "*", "*", "objects", "pack", "*"))
		if len(packs) == 0 {
			t.Fatal("nothing was fetched")
		}
		for _, pack := range packs {
			if err := what(pack); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, what := range map[string]func(string) error{
		"removed":   os.Remove,
		"truncated": func(pack string) error { return errors.Join(os.Chmod(pack, 0o600), os.Truncate(pack, 0)) },
	} {
		damage(what)
		l = openLedger(t, LedgerOptions{URL: bare, Dir: dir})
		commit(t, l, put1("b/"+name, "4"))
		if data, err := readBranch(t, l, month, "a/y"); err != nil || string(data) != "2" {
			t.Errorf("%s: a/y = %q, %v", name, data, err)
		}
	}
	sound(t, bare, month)
}

func TestLedger_FetchesBackWhatItPushed(t *testing.T) {
	bare := newBare(t)
	l := openLedger(t, LedgerOptions{URL: bare})
	l.mirror.maxPushed = 10_000
	big := strings.Repeat("x", 6_000)
	commit(t, l, Change{Branch: "runs/status", Files: map[string][]byte{"README.md": []byte("board")}, Subject: "Board"})
	for n := range 3 {
		commit(t, l, put1(fmt.Sprintf("big%d", n), big+fmt.Sprint(n)))
	}
	if bytes := l.mirror.objects().bytes; bytes > l.mirror.maxPushed {
		t.Errorf("%d bytes stay in memory", bytes)
	}
	for branch, name := range map[string]string{"runs/status": "README.md", month: "big0"} {
		if _, err := readBranch(t, l, branch, name); err != nil {
			t.Error(err)
		}
	}
	sound(t, bare, month)
}

func TestLedger_ReadsBranches(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "Reports", map[string]string{"weekly/config.json": "{}"})
	push(t, bare, month, "Runs", map[string]string{"weekly/s1/a.yaml": "1", "weekly/s2/a.yaml": "2", "weekly-b/s1/a.yaml": "3", "README.md": "x"})
	push(t, bare, "runs/2026-12", "Runs", map[string]string{"weekly/s1/a.yaml": "1"})
	l := openLedger(t, LedgerOptions{URL: serveGit(t, bare, nil)})
	ctx := t.Context()

	branches, err := l.Branches(ctx, "runs/")
	if diff := cmp.Diff([]string{month, "runs/2026-12"}, branches); err != nil || diff != "" {
		t.Errorf("Branches() (-want +got), %v:\n%s", err, diff)
	}
	for prefix, want := range map[string][]string{
		"":          {"README.md", "weekly-b/s1/a.yaml", "weekly/s1/a.yaml", "weekly/s2/a.yaml"},
		"weekly/":   {"weekly/s1/a.yaml", "weekly/s2/a.yaml"},
		"weekly":    {"weekly-b/s1/a.yaml", "weekly/s1/a.yaml", "weekly/s2/a.yaml"},
		"weekly/s2": {"weekly/s2/a.yaml"},
		"none/at":   nil,
	} {
		got, err := l.List(ctx, month, prefix)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("List(%q) (-want +got), %v:\n%s", prefix, err, diff)
		}
	}
	if got, err := readBranch(t, l, month, "weekly/s2/a.yaml"); err != nil || string(got) != "2" {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if _, err := l.Tree(ctx, "runs/2020-01"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Tree() of an absent branch = %v", err)
	}
	push(t, bare, month, "More", map[string]string{"weekly/s2/a.yaml": "changed"})
	if got, err := readBranch(t, l, month, "weekly/s2/a.yaml"); err != nil || string(got) != "changed" {
		t.Errorf("the file holds %q after a push, %v", got, err)
	}
}

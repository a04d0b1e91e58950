package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// sent counts what a server sends.
type sent struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

// Write implements http.ResponseWriter.
func (s sent) Write(p []byte) (int, error) {
	s.bytes.Add(int64(len(p)))
	return s.ResponseWriter.Write(p)
}

// counted serves a repository over http and counts what goes over the line.
func (r rawRepo) counted() (url string, bytes *atomic.Int64) {
	r.t.Helper()
	server, bytes := newGitServer(r.t, filepath.Dir(r.dir)), new(atomic.Int64)
	backend := server.server.Handler
	server.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		backend.ServeHTTP(sent{w, bytes}, req)
	})
	return server.url(filepath.Base(r.dir)), bytes
}

// gigabyte is a blob of zeros, of which Git makes a megabyte.
func (r rawRepo) gigabyte() string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "zeros")
	err := os.WriteFile(file, nil, 0o600)
	if err == nil {
		err = os.Truncate(file, 1<<30)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return runGit(r.t, r.dir, "-c", "core.bigFileThreshold=1m", "-c", "core.compression=1", "hash-object", "-w", file)
}

// Whether the server can leave it out or not, a file of a gigabyte takes no memory, is not
// sent again with the next commit, and its report is the only one that is refused.
func TestLoad_RefusesAGigabyteAlone(t *testing.T) {
	r := newRawRepo(t)
	entries := append(r.goodBundles(3), rawEntry("40000", "gigabyte", r.bundle(rawEntry("100644", "data.csv", r.gigabyte()))))
	for _, filter := range []string{"false", "true"} {
		t.Run("filter "+filter, func(t *testing.T) {
			runGit(t, r.dir, "config", "uploadpack.allowFilter", filter)
			r.commit(r.tree(entries...))
			url, bytes := r.counted()
			a := newReadingAgent(t, url)
			before, _ := allocated()
			items := syncOnce(t, a)
			if after, _ := allocated(); after-before > 256<<20 {
				t.Errorf("%d MiB were allocated", (after-before)>>20)
			}
			first := bytes.Load()
			if filter == "true" && first > 200<<10 {
				t.Errorf("%d bytes were sent, though the server could leave it out", first)
			}
			r.commit(r.tree(append(entries, rawEntry("100644", "README.md", r.blob("more "+filter)))...))
			for name, item := range items {
				if refused := item.bundle == nil; refused != (name == "gigabyte") {
					t.Errorf("%s: refused: %v, for %v", name, refused, item.problems)
				}
			}
			if told := fmt.Sprint(items["gigabyte"].problems); !strings.Contains(told, "too large") {
				t.Errorf("refused for %s", told)
			}
			bytes.Store(0)
			if again := syncOnce(t, a); len(again) != len(items) {
				t.Errorf("%d reports, then %d", len(items), len(again))
			}
			t.Logf("%d bytes at first, then %d", first, bytes.Load())
			if n := bytes.Load(); n > 64<<10 {
				t.Errorf("the next commit took %d bytes: more than what is new", n)
			}
		})
	}
}

// allocated is how much was ever taken from the heap.
func allocated() (bytes, objects uint64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc, m.Mallocs
}

// A name with a NUL in it ends there, and what follows is no tree. No server sends such
// a commit; the one before it stays.
func TestFetch_ATreeThatNobodyCanReadLeavesTheCommitBefore(t *testing.T) {
	r := newRawRepo(t)
	r.commit(r.tree(r.goodBundles(2)...))
	url, _ := r.counted()
	a := newReadingAgent(t, url)
	syncOnce(t, a)
	before, _ := a.repo.Head()
	broken := r.bundle(rawEntry("100644", "a\x00b", r.blob("x")))
	r.commit(r.tree(append(r.goodBundles(2), rawEntry("40000", "nul", broken))...))
	_, _, err := a.repo.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), url) {
		t.Errorf("Fetch() = %v, want an error that names the remote", err)
	}
	if head, ok := a.repo.Head(); !ok || head.Hash != before.Hash {
		t.Errorf("the newest commit is %v, want the one before", head)
	}
	var items map[string]*newsItem
	if items, err = a.load(before); err != nil || len(items) != 2 {
		t.Errorf("%d reports of the commit before, %v", len(items), err)
	}
}

package gitsync

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func openRepository(t *testing.T, o Options) *Repository {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func fetch(t *testing.T, r *Repository) (Commit, bool) {
	t.Helper()
	commit, changed, err := r.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return commit, changed
}

func readFile(t *testing.T, r *Repository, c Commit, name string) string {
	t.Helper()
	tree, err := r.Tree(c)
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestRepository_FetchesOverEveryTransport(t *testing.T) {
	for name, address := range map[string]func(*testing.T, string) string{
		"path": func(_ *testing.T, bare string) string { return bare },
		"file": func(_ *testing.T, bare string) string { return "file://" + bare },
		"http": func(t *testing.T, bare string) string { return serveGit(t, bare, nil) },
		"http with a password": func(t *testing.T, bare string) string {
			u, _ := url.Parse(serveGit(t, bare, basicAuth("ada", "s3cret")))
			u.User = url.UserPassword("ada", "s3cret")
			return u.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare := newBare(t)
			push(t, bare, "main", "First", map[string]string{"a/config.json": "1", "b.txt": "kept"})
			want := push(t, bare, "main", "Second\n\nwith a body", map[string]string{"a/config.json": "2"})
			r := openRepository(t, Options{URL: address(t, bare)})
			if c, ok := r.Head(); ok {
				t.Errorf("Head() before the first fetch = %v", c)
			}

			commit, changed := fetch(t, r)
			if commit.Hash != want || !changed || commit.Subject != "Second" || time.Since(commit.Time) > time.Hour {
				t.Errorf("Fetch() = %+v, %v, want %s", commit, changed, want)
			}
			if got := readFile(t, r, commit, "a/config.json") + readFile(t, r, commit, "b.txt"); got != "2kept" {
				t.Errorf("files = %q", got)
			}
			if _, changed := fetch(t, r); changed {
				t.Error("a second Fetch() found a change")
			}

			// A file that comes back from an ancestor the mirror never had.
			execGit(t, bare, "update-ref", "refs/heads/main", execGit(t, bare, "commit-tree", "-m", "Back", "-p", want, want+"~1^{tree}"))
			commit, changed = fetch(t, r)
			if got := readFile(t, r, commit, "a/config.json"); got != "1" || !changed {
				t.Errorf("after a revert: %q, changed %v", got, changed)
			}
		})
	}
}

func TestRepository_KeepsHeadWhileTheRemoteIsAway(t *testing.T) {
	bare, dir := newBare(t), t.TempDir()
	push(t, bare, "main", "First", map[string]string{"a": "1"})
	away := bare + ".away"
	rename := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}

	rename(bare, away)
	r := openRepository(t, Options{URL: bare, Dir: dir})
	if _, _, err := r.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), bare) {
		t.Fatalf("Fetch() of a remote that is away = %v, want an error that names it", err)
	}
	if c, ok := r.Head(); ok {
		t.Errorf("Head() = %v of nothing", c)
	}

	rename(away, bare)
	want, _ := fetch(t, r)

	rename(bare, away)
	if _, _, err := r.Fetch(t.Context()); err == nil {
		t.Error("Fetch() found a remote that is away")
	}
	restarted := openRepository(t, Options{URL: bare, Dir: dir})
	got, ok := restarted.Head()
	if !ok || !cmp.Equal(got, want) {
		t.Errorf("Head() after a restart = %+v, %v, want %+v", got, ok, want)
	}
	if got := readFile(t, restarted, got, "a"); got != "1" {
		t.Errorf("a = %q", got)
	}
}

func TestRepository_FollowsTheRemotesHead(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "On main", map[string]string{"a": "1"})
	push(t, bare, "trunk", "On trunk", map[string]string{"a": "2"})
	execGit(t, bare, "symbolic-ref", "HEAD", "refs/heads/trunk")
	if commit, _ := fetch(t, openRepository(t, Options{URL: bare})); commit.Subject != "On trunk" {
		t.Errorf("default branch: %+v", commit)
	}
	if commit, _ := fetch(t, openRepository(t, Options{URL: bare, Branch: "main"})); commit.Subject != "On main" {
		t.Errorf("named branch: %+v", commit)
	}
}

func TestRepository_MissingBranchIsErrNotExist(t *testing.T) {
	empty, bare := newBare(t), newBare(t)
	push(t, bare, "main", "First", map[string]string{"a": "1"})
	for name, o := range map[string]Options{
		"empty repository":      {URL: empty},
		"empty repository http": {URL: serveGit(t, empty, nil)},
		"no such branch":        {URL: bare, Branch: "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := openRepository(t, o).Fetch(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Fetch() = %v", err)
			}
		})
	}
}

func TestRepository_ErrorsHoldNoCredentials(t *testing.T) {
	bare := newBare(t)
	server := serveGit(t, bare, basicAuth("ada", "right"))
	with := func(user *url.Userinfo) string {
		u, _ := url.Parse(server)
		u.User = user
		return u.String()
	}
	refused, _ := url.Parse(with(url.UserPassword("ada", "hunter2")))
	refused.Host = "127.0.0.1:1"
	for name, o := range map[string]Options{
		"password in the URL": {URL: with(url.UserPassword("ada", "hunter2"))},
		"token in the URL":    {URL: with(url.User("hunter2"))},
		"password":            {URL: server, Auth: Auth{User: "ada", Password: "hunter2"}},
		"coded password":      {URL: server, Auth: Auth{User: "ada", Password: "hunter2 ü"}},
		"nobody listens":      {URL: refused.String()},
		"bad URL":             {URL: "https://ada:hunter2@example.com:x/%zz"},
		"bad scheme":          {URL: "ftp://ada:hunter2@example.com/r.git"},
	} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			r, err := Open(o)
			if err == nil {
				_, _, err = r.Fetch(t.Context())
			}
			coded := base64.StdEncoding.EncodeToString([]byte("ada:hunter2 ü"))
			if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), coded) {
				t.Errorf("error = %v", err)
			}
			if wantDenied := strings.HasPrefix(o.URL, "http://") && o.URL != refused.String(); wantDenied != errors.Is(err, ErrDenied) {
				t.Errorf("errors.Is(%v, ErrDenied) = %v", err, !wantDenied)
			}
		})
	}
}

func TestRepository_DoesNotFollowRedirects(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "First", map[string]string{"a": "1"})
	elsewhere := serveGit(t, bare, nil)
	server := serveGit(t, bare, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, strings.TrimSuffix(elsewhere, "/repo.git")+r.URL.String(), http.StatusFound)
		})
	})
	if _, _, err := openRepository(t, Options{URL: server}).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("Fetch() = %v", err)
	}
}

func TestRepository_GivesUpOnASilentRemote(t *testing.T) {
	release := make(chan struct{})
	server := serveGit(t, newBare(t), func(http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-release })
	})
	t.Cleanup(func() { close(release) })
	r := openRepository(t, Options{URL: server, Timeout: 50 * time.Millisecond})
	if _, _, err := r.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fetch() = %v", err)
	}
}

func TestRepository_StartsOverWhenTheMirrorIsDamaged(t *testing.T) {
	packs := func(r *Repository) []string { // the oldest first
		packs, _ := filepath.Glob(filepath.Join(r.mirror.objects().packs(), "*.pack"))
		slices.SortFunc(packs, func(a, b string) int {
			return must(os.Stat(a)).ModTime().Compare(must(os.Stat(b)).ModTime())
		})
		return packs
	}
	for name, damage := range map[string]func(r *Repository) error{
		"all packs lost": func(r *Repository) error { return os.RemoveAll(r.mirror.objects().packs()) },
		"the first is cut": func(r *Repository) error {
			return errors.Join(os.Chmod(packs(r)[0], 0o600), os.Truncate(packs(r)[0], 50))
		},
		"the first is lost": func(r *Repository) error {
			first := packs(r)[0]
			return errors.Join(os.Remove(first), os.Remove(strings.TrimSuffix(first, "pack")+"idx"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare, dir := newBare(t), t.TempDir()
			push(t, bare, "main", "First", map[string]string{"a/f": "1", "b/f": "2"})
			r := openRepository(t, Options{URL: bare, Dir: dir})
			fetch(t, r)
			push(t, bare, "main", "Next", map[string]string{"b/f": "3"})
			fetch(t, r)
			if err := damage(r); err != nil {
				t.Fatal(err)
			}
			r = openRepository(t, Options{URL: bare, Dir: dir})
			if c, ok := r.Head(); ok {
				t.Errorf("Head() = %v, which cannot be read", c)
			}
			commit, _ := fetch(t, r)
			if got := readFile(t, r, commit, "a/f") + readFile(t, r, commit, "b/f"); got != "13" {
				t.Errorf("the files hold %q", got)
			}
		})
	}
}

func TestRepository_StartsANewGenerationWhenPacksAreMany(t *testing.T) {
	bare, dir := newBare(t), t.TempDir()
	r := openRepository(t, Options{URL: bare, Dir: dir})
	r.mirror.maxPacks = 3
	var commits []Commit
	var trees []fs.FS
	for n := range 6 {
		push(t, bare, "main", fmt.Sprint("Commit ", n), map[string]string{"a": fmt.Sprint(n), "b": "kept"})
		commit, _ := fetch(t, r)
		commits = append(commits, commit)
		trees = append(trees, must(r.Tree(commit)))
	}
	for n, tree := range trees {
		if data, err := fs.ReadFile(tree, "a"); err != nil || string(data) != fmt.Sprint(n) {
			t.Errorf("a of commit %d, opened then = %q, %v", n, data, err)
		}
		if got := readFile(t, r, commits[n], "b"); got != "kept" {
			t.Errorf("b of commit %d, opened now = %q", n, got)
		}
	}
	if got, err := r.mirror.generations(); err != nil || !cmp.Equal(got, []int{1, 2}) {
		t.Errorf("generations %v, %v", got, err)
	}
	r = openRepository(t, Options{URL: bare, Dir: dir})
	if got, ok := r.Head(); !ok || !cmp.Equal(got, commits[5]) || readFile(t, r, got, "a") != "5" {
		t.Errorf("Head() after a restart = %v, %v", got, ok)
	}
	if got, err := r.mirror.generations(); err != nil || !cmp.Equal(got, []int{2}) {
		t.Errorf("generations after a restart %v, %v", got, err)
	}
}

func TestRepository_TreeStaysReadableWhileOthersFetch(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "First", map[string]string{"a/config.json": "1", "b/config.json": "1"})
	r := openRepository(t, Options{URL: serveGit(t, bare, nil)})
	first, _ := fetch(t, r)
	tree, err := r.Tree(first)
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				if data, err := fs.ReadFile(tree, "a/config.json"); err != nil || string(data) != "1" {
					t.Errorf("a/config.json of the first commit = %q, %v", data, err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for _, content := range []string{"2", "3", "4", "5"} {
		push(t, bare, "main", "Next", map[string]string{"a/config.json": content})
		if commit, changed := fetch(t, r); !changed || readFile(t, r, commit, "a/config.json") != content {
			t.Errorf("Fetch() = %v, %v", commit, changed)
		}
	}
	close(done)
	readers.Wait()
}

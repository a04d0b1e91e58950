package gitsync

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain keeps the user's own Git configuration out of the tests, also out of
// the servers that they start.
func TestMain(m *testing.M) {
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		os.Setenv(name, os.DevNull)
	}
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"} {
		os.Unsetenv(name)
	}
	os.Exit(m.Run())
}

// execGit runs the real git in dir and returns what it prints.
func execGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	return execGitInput(t, dir, nil, args...)
}

func execGitInput(t testing.TB, dir string, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// newBare makes an empty bare repository that accepts pushes over http.
func newBare(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo.git")
	execGit(t, ".", "init", "-q", "--bare", "-b", "main", dir)
	execGit(t, dir, "config", "http.receivepack", "true")
	return dir
}

// push puts files on top of a branch with git's own plumbing and returns the commit.
func push(t testing.TB, bare, branch, subject string, files map[string]string) string {
	t.Helper()
	index := filepath.Join(t.TempDir(), "index")
	run := func(stdin string, args ...string) string {
		return execGitInput(t, bare, []byte(stdin), append([]string{"-c", "core.bare=false"}, args...)...)
	}
	var tree strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&tree, "100644 %s\t%s\n", run(files[name], "hash-object", "-w", "--stdin"), name)
	}
	t.Setenv("GIT_INDEX_FILE", index)
	t.Setenv("GIT_DIR", bare)
	defer os.Unsetenv("GIT_INDEX_FILE")
	defer os.Unsetenv("GIT_DIR")
	var parents []string
	if head, err := exec.Command("git", "rev-parse", "-q", "--verify", "refs/heads/"+branch).Output(); err == nil {
		parents = []string{"-p", strings.TrimSpace(string(head))}
		run("", "read-tree", "refs/heads/"+branch)
	}
	run(tree.String(), "update-index", "--add", "--index-info")
	commit := run("", append([]string{"commit-tree", "-m", subject, run("", "write-tree")}, parents...)...)
	run("", "update-ref", "refs/heads/"+branch, commit)
	return commit
}

// serveGit serves a bare repository with git's own http-backend and returns its
// URL. wrap, if not nil, stands before it.
func serveGit(t testing.TB, bare string, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	var handler http.Handler = &cgi.Handler{
		Path: filepath.Join(execGit(t, ".", "--exec-path"), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull},
		Stderr: t.Output(),
	}
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(bare)
}

// basicAuth lets one user in.
func basicAuth(user, password string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u, p, _ := r.BasicAuth()
			if u != user || p != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
				http.Error(w, "bad credentials: "+u+":"+p+", "+r.Header.Get("Authorization")+", "+url.QueryEscape(p), http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

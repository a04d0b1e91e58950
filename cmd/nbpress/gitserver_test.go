package main

import (
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitServer serves a folder of bare repositories with git's own http-backend. It can go
// away and come back at the same address.
type gitServer struct {
	t       testing.TB
	root    string
	address string // of the listener, chosen at the first start
	server  *http.Server
}

func newGitServer(t testing.TB, root string) *gitServer {
	t.Helper()
	s := &gitServer{t: t, root: root, address: "127.0.0.1:0"}
	s.start()
	t.Cleanup(func() { s.server.Close() })
	return s
}

func (s *gitServer) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: &cgi.Handler{
		Path: filepath.Join(runGit(s.t, s.root, "--exec-path"), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_SYSTEM=" + os.DevNull},
		Stderr: s.t.Output(),
	}}
	go s.server.Serve(listener)
}

// stop refuses connections, and ends those that are there.
func (s *gitServer) stop() { s.server.Close() }

func (s *gitServer) url(repo string) string { return "http://" + s.address + "/" + repo }

// newBareRepo makes an empty repository that takes pushes over http.
func newBareRepo(t testing.TB, dir string) {
	t.Helper()
	runGit(t, ".", "init", "-q", "--bare", "-b", "main", dir)
	runGit(t, dir, "config", "http.receivepack", "true")
}

// runGit runs the real git and returns what it prints.
func runGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n")
}

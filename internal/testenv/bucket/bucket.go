// Package bucket starts S3 servers for tests: versitygw on folders of their own, and
// toxiproxy in front of it for lines that are slow or break. `make s3server` builds
// both, from the module internal/testenv/s3server, which pins them.
package bucket

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv"
)

// Of every server.
const (
	Bucket = "reports"
	Region = "eu-south-2"
	access = "nbpress-tests"
	secret = "not-a-secret-but-long-enough"
)

// patience bounds every wait for a server. Machines of tests are slow.
const patience = 2 * time.Minute

// Environ is the environment in which programs find the credential, and nothing else of
// AWS that is on this machine.
func Environ() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + access, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
		"AWS_SESSION_TOKEN=", "AWS_PROFILE=", "AWS_CA_BUNDLE=", "AWS_ROLE_ARN=", "AWS_WEB_IDENTITY_TOKEN_FILE=",
		"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=", "AWS_CONTAINER_CREDENTIALS_FULL_URI=", "AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_S3=",
	}
}

// Setenv gives the test's own process that environment.
func Setenv(t *testing.T) {
	for _, pair := range Environ() {
		name, value, _ := bytes.Cut([]byte(pair), []byte("="))
		t.Setenv(string(name), string(value))
	}
}

// Server is an S3 server with one bucket.
type Server struct {
	URL     string
	Address string // host and port
	Dir     string // the bucket's folder: an object is a file
	Log     string // the file

	t    testing.TB
	args []string

	mu      sync.Mutex // guards process
	process *process
}

// Start starts a server, which ends with the test. Flags are versitygw's.
func Start(t testing.TB, flags ...string) *Server {
	t.Helper()
	return StartAt(t, "127.0.0.1", flags...)
}

// StartAt is Start at another address of this machine, for who is not on it.
func StartAt(t testing.TB, host string, flags ...string) *Server {
	t.Helper()
	root := t.TempDir()
	s := &Server{t: t, Address: freeAddress(t, host), Dir: filepath.Join(root, "data", Bucket), Log: filepath.Join(root, "versitygw.log")}
	s.URL = "http://" + s.Address
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.args = append(append([]string{
		"--port", s.Address, "--access", access, "--secret", secret, "--region", Region, "--keep-alive", "--quiet",
	}, flags...), "posix", filepath.Dir(s.Dir))
	s.Begin()
	t.Cleanup(s.End)
	return s
}

// Begin starts the server again, after End, on what it kept.
func (s *Server) Begin() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process = start(s.t, s.Log, program(s.t, "versitygw"), s.args...)
	s.process.ready(s.t, s.Address)
}

// End ends the server at once, as a power cut does.
func (s *Server) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.end()
}

// program finds a server's program.
func program(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(testenv.Root(t), "build", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no S3 server for the tests: %v; run `make s3server` first", err)
	}
	return path
}

// freeAddress returns an address that nobody listens at. Its port is none of those that
// Linux gives to who asks for any (32768 and above): nobody else gets it before the server
// listens, or while it is ended.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort(host, strconv.Itoa(20000+rand.IntN(10000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatalf("no port of %s is free", host)
	return ""
}

// process is a server's. It ends with ours too, however that ends: a shell kills it
// when our end of a pipe is closed.
type process struct {
	cmd   *exec.Cmd
	hold  io.Closer
	log   string
	ended sync.Once
}

func start(t testing.TB, log, program string, args ...string) *process {
	t.Helper()
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &process{log: log}
	p.cmd = exec.Command("sh", append([]string{"-c", `"$@" </dev/null & cat >/dev/null; kill -9 $!; wait`, "sh", program}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}
	if p.hold, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) end() {
	p.ended.Do(func() {
		_ = p.hold.Close()
		_ = p.cmd.Wait() // it was killed
	})
}

// ready waits until a server can be reached: it listens when it can answer.
func (p *process) ready(t testing.TB, address string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		connection, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err == nil {
			_ = connection.Close()
			return
		}
		select {
		case <-tick.C:
		case <-late:
			said, _ := os.ReadFile(p.log)
			t.Fatalf("%s does not answer after %v: %v\n%s", filepath.Base(p.cmd.Args[4]), patience, err, said)
		}
	}
}

package gitsync

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshServer is an sshd that lets one key in.
type sshServer struct {
	address    string
	key        string // file of the private key that it lets in
	knownHosts string // file that knows it
}

func newKey(t *testing.T, comment string) (ssh.Signer, string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return must(ssh.NewSignerFromKey(private)), file
}

func newKnownHosts(t *testing.T, address string, host ssh.Signer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{address}, host.PublicKey()) + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serveSSH has Debian's sshd serve the user who runs the tests, with a configuration,
// host key and authorized key of its own. Each connection gets a process, as from inetd.
func serveSSH(t *testing.T) sshServer {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Fatalf("no ssh server for the tests: %v; install openssh-server", err)
	}
	if os.Geteuid() == 0 { // sshd wants it then
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	host, hostKey := newKey(t, "host")
	user, key := newKey(t, "user")
	dir := t.TempDir()
	config, authorized := filepath.Join(dir, "sshd_config"), filepath.Join(dir, "authorized_keys")
	err := errors.Join(
		os.WriteFile(authorized, ssh.MarshalAuthorizedKey(user.PublicKey()), 0o600),
		os.WriteFile(config, fmt.Appendf(nil, "HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\n"+
			"PasswordAuthentication no\nPermitRootLogin prohibit-password\nPrintMotd no\n", hostKey, authorized), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			all.Go(func() { serveConn(ctx, t.Output(), conn, sshd, "-i", "-e", "-f", config) })
		}
	})
	t.Cleanup(func() { listener.Close(); cancel(); all.Wait() })
	address := listener.Addr().String()
	return sshServer{address: address, key: key, knownHosts: newKnownHosts(t, address, host)}
}

// serveConn runs a program on a connection.
func serveConn(ctx context.Context, log io.Writer, conn *net.TCPConn, name string, args ...string) {
	socket, err := conn.File()
	conn.Close()
	if err != nil {
		return
	}
	defer socket.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = socket, socket, log, time.Second
	_ = cmd.Run() // how it ends is the client's to find out
}

// url is the address of a repository for the user who runs the tests.
func (s sshServer) url(t *testing.T, path string) string {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("ssh://%s@%s%s", me.Username, s.address, path)
}

func (s sshServer) auth() Auth { return Auth{Key: s.key, KnownHosts: s.knownHosts} }

func TestSSH_FetchesAndCommits(t *testing.T) {
	server, bare := serveSSH(t), newBare(t)
	want := push(t, bare, "main", "First", map[string]string{"a": "1"})
	auth, address := server.auth(), server.url(t, bare)

	r := openRepository(t, Options{URL: address, Auth: auth})
	if got, _ := fetch(t, r); got.Hash != want || readFile(t, r, got, "a") != "1" {
		t.Errorf("Fetch() = %+v, want %s", got, want)
	}
	l := openLedger(t, LedgerOptions{URL: address, Auth: auth})
	commit(t, l, put1("a", "1"))
	commit(t, l, put1("b", "2"))
	if got := count(t, bare, month); got != "2" {
		t.Errorf("%s commits, want 2", got)
	}
	sound(t, bare, month)
}

func TestSSH_RefusesStrangers(t *testing.T) {
	server, bare := serveSSH(t), newBare(t)
	other, otherKey := newKey(t, "other")
	address := server.url(t, bare)
	for name, c := range map[string]struct {
		auth Auth
		want string
	}{
		"a host with another key": {Auth{Key: server.key, KnownHosts: newKnownHosts(t, server.address, other)}, "key mismatch"},
		"an unknown host":         {Auth{Key: server.key, KnownHosts: newKnownHosts(t, "127.0.0.2:22", other)}, "key is unknown"},
		"a key not let in":        {Auth{Key: otherKey, KnownHosts: server.knownHosts}, "access denied"},
		"no key file":             {Auth{Key: "/nowhere/id", KnownHosts: server.knownHosts}, "/nowhere/id"},
		"no known hosts":          {Auth{Key: server.key, KnownHosts: "/nowhere/known_hosts"}, "/nowhere/known_hosts"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(Options{URL: address, Dir: t.TempDir(), Auth: c.auth})
			if err == nil {
				_, _, err = r.Fetch(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestSSH_GivesUpOnASilentHost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, key := newKey(t, "user")
	r := openRepository(t, Options{
		URL: "ssh://git@" + listener.Addr().String() + "/r.git", Timeout: 500 * time.Millisecond,
		Auth: Auth{Key: key, KnownHosts: newKnownHosts(t, listener.Addr().String(), host)},
	})
	if _, _, err := r.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Fetch() = %v", err)
	}
}

func TestSSH_LeavesOneConnectionAtASilentHost(t *testing.T) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host, key := newKey(t, "user")
	r := openRepository(t, Options{
		URL: "ssh://git@" + listener.Addr().String() + "/r.git", Timeout: 500 * time.Millisecond,
		Auth: Auth{Key: key, KnownHosts: newKnownHosts(t, listener.Addr().String(), host)},
	})
	accepted := func() (conns []net.Conn) {
		listener.SetDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			conn, err := listener.Accept()
			if err != nil {
				return conns
			}
			conns = append(conns, conn)
		}
	}
	for range 3 {
		if _, _, err := r.Fetch(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Fetch() = %v", err)
		}
	}
	open := accepted()
	if len(open) != 1 {
		t.Fatalf("%d connections are left, want 1", len(open))
	}
	open[0].Close() // the host ends it, and is asked again
	if _, _, err := r.Fetch(t.Context()); err == nil {
		t.Error("Fetch() of a silent host succeeded")
	}
	again := accepted()
	if len(again) != 1 {
		t.Errorf("%d connections after the first one ended, want 1", len(again))
	}
	for _, conn := range again {
		conn.Close()
	}
}

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
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshServer runs git for one key, as sshd does for a Git host.
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

func serveSSH(t *testing.T) sshServer {
	t.Helper()
	host, _ := newKey(t, "host")
	user, key := newKey(t, "user")
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "git" || string(offered.Marshal()) != string(user.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serveConn(ctx, conn, config) })
		}
	})
	t.Cleanup(func() { cancel(); listener.Close(); all.Wait() })
	return sshServer{listener.Addr().String(), key, newKnownHosts(t, listener.Addr().String(), host)}
}

func serveConn(ctx context.Context, conn net.Conn, config *ssh.ServerConfig) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			if r.Type != "exec" {
				r.Reply(false, nil)
				continue
			}
			r.Reply(true, nil)
			runGit(ctx, channel, string(r.Payload[4:]))
			channel.Close()
		}
	}
}

func runGit(ctx context.Context, channel ssh.Channel, command string) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = channel, channel.Stderr(), time.Second
	stdin, _ := cmd.StdinPipe()
	status := struct{ Status uint32 }{1}
	if cmd.Start() == nil {
		go func() { io.Copy(stdin, channel); stdin.Close() }()
		if cmd.Wait() == nil {
			status.Status = 0
		}
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(status))
}

func TestSSH_FetchesAndCommits(t *testing.T) {
	server, bare := serveSSH(t), newBare(t)
	want := push(t, bare, "main", "First", map[string]string{"a": "1"})
	auth := Auth{Key: server.key, KnownHosts: server.knownHosts}
	address := fmt.Sprintf("ssh://git@%s%s", server.address, bare)

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
	address := fmt.Sprintf("ssh://git@%s%s", server.address, bare)
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
		URL: "ssh://git@" + listener.Addr().String() + "/r.git", Timeout: 50 * time.Millisecond,
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
		URL: "ssh://git@" + listener.Addr().String() + "/r.git", Timeout: 50 * time.Millisecond,
		Auth: Auth{Key: key, KnownHosts: newKnownHosts(t, listener.Addr().String(), host)},
	})
	accepted := func() (conns []net.Conn) {
		listener.SetDeadline(time.Now().Add(20 * time.Millisecond))
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

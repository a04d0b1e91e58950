package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// serveSSH serves the repository with Debian's sshd in place of the rig's http server.
func (r *rig) serveSSH() {
	r.t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		r.t.Fatalf("%v: install openssh-server", err)
	}
	dir := filepath.Join(r.root, "ssh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	if os.Geteuid() == 0 { // where its unprivileged half lives; the system's service makes it otherwise
		_ = os.MkdirAll("/run/sshd", 0o755)
	}
	for _, name := range []string{"host", "user"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			r.t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		r.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"known_hosts": fmt.Sprintf("[127.0.0.1]:%d %s", port, host),
		"sshd_config": fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/user.pub\n"+
			"StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\nLogLevel ERROR\n", port, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	cmd.Stderr = r.t.Output()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r.until("sshd listens", func() bool {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	user, err := exec.Command("id", "-un").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	r.url = fmt.Sprintf("ssh://%s@127.0.0.1:%d%s", strings.TrimSpace(string(user)), port, r.bare)
	r.config = strings.Replace(r.config, "poll: 1s", fmt.Sprintf("poll: 1s, credential: {key_file: %[1]s/user, known_hosts: %[1]s/known_hosts}", dir), 1)
}

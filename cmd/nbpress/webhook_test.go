package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nbpress/internal/webhook"
)

// agentAddress finds in an agent's log where it listens.
func agentAddress(ts *testscript.TestScript, log string) string {
	found := regexp.MustCompile(`msg=listening address=(\S+)`).FindStringSubmatch(ts.ReadFile(log))
	if found == nil {
		ts.Fatalf("%s does not tell where the agent listens", log)
	}
	return "http://" + found[1]
}

// cmdDeliver delivers the webhook of a push as a Git host does, to the agent whose log
// is LOG, and wants a status for it: `deliver LOG HOST SECRET REF STATUS`.
func cmdDeliver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: deliver LOG HOST SECRET REF STATUS")
	}
	body := `{"ref": "` + args[3] + `"}`
	r, err := http.NewRequest(http.MethodPost, agentAddress(ts, args[0])+"/webhook", strings.NewReader(body))
	ts.Check(err)
	mac := hmac.New(sha256.New, []byte(args[2]))
	mac.Write([]byte(body))
	sum := hex.EncodeToString(mac.Sum(nil))
	for name, value := range map[string]map[string]string{
		"github": {"X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sum},
		"gitlab": {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": args[2]},
		"gitea":  {"X-Gitea-Event": "push", "X-Gitea-Signature": sum, "X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + sum},
	}[args[1]] {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	ts.Check(err)
	defer answer.Body.Close()
	if got := strconv.Itoa(answer.StatusCode); got != args[4] {
		ts.Fatalf("status %s, want %s", got, args[4])
	}
}

// cmdVisit prints what the agent whose log is LOG shows at PATH, and waits until it does
// so with a status: `visit LOG PATH [STATUS]`.
func cmdVisit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: visit LOG PATH [STATUS]")
	}
	want := http.StatusOK
	if len(args) == 3 {
		var err error
		want, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(awaitTimeout)
	for {
		text, status := look(ts, agentAddress(ts, args[0])+args[1])
		if status == want {
			_, err := ts.Stdout().Write(text)
			ts.Check(err)
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("status %d, want %d: %s", status, want, text)
		}
	}
}

func look(ts *testscript.TestScript, url string) (text []byte, status int) {
	answer, err := http.Get(url)
	ts.Check(err)
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	ts.Check(err)
	return text, answer.StatusCode
}

func TestConfig_HidesItsSecretsFromNotebooks(t *testing.T) {
	dir := t.TempDir()
	text := "repository: {url: reports.git, webhook: {secret_file: hook}}\nlisten: 127.0.0.1:0\nstore: {dir: store}\n"
	if err := os.WriteFile(dir+"/nbpress.yaml", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(dir + "/nbpress.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if paths := strings.Join(c.private(), "\n") + "\n"; !strings.Contains(paths, dir+"/hook\n") {
		t.Errorf("the webhook's secret is not among the private paths:\n%s", paths)
	}
}

// A peer that sends slowly, or nothing, is hung up on; the others are answered.
func TestServer_HangsUpOnWhoDawdles(t *testing.T) {
	hook, err := webhook.New("secret", func() {}, webhook.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(hook, slog.New(slog.DiscardHandler))
	for name, limit := range map[string]time.Duration{
		"header": server.ReadHeaderTimeout, "request": server.ReadTimeout, "answer": server.WriteTimeout, "pause": server.IdleTimeout,
	} {
		if limit <= 0 || limit > time.Minute {
			t.Errorf("a peer may take %v for its %s", limit, name)
		}
	}
	server.ReadHeaderTimeout, server.ReadTimeout = 50*time.Millisecond, 100*time.Millisecond // for the test to be short
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Close()
	for name, sent := range map[string]string{
		"no header": "POST /webhook HTTP/1.1\r\n",
		"no body": "POST /webhook HTTP/1.1\r\nHost: agent\r\nX-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: secret\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if _, err := io.WriteString(connection, sent); err != nil {
			t.Fatal(err)
		}
		_ = connection.SetReadDeadline(time.Now().Add(time.Minute))
		answer, err := io.ReadAll(bufio.NewReader(connection)) // until it hangs up
		if err != nil || bytes.Contains(answer, []byte(" 202 ")) {
			t.Errorf("%s: answered %q, %v", name, answer, err)
		}
	}
}

func TestServer_EndsWithItsContext(t *testing.T) {
	st := &station{log: slog.New(slog.DiscardHandler), metrics: newMetrics(func() *agent { return nil }), pushed: newBell()}
	st.c.Listen = "127.0.0.1:0"
	s, err := st.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.serve(ctx) }()
	address := s.listener.Addr().String()
	answer, err := http.Get("http://" + address + "/webhook")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("without a secret the webhook answers %s", answer.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve() = %v", err)
	}
	if connection, err := net.Dial("tcp", address); err == nil {
		connection.Close()
		t.Error("it still listens")
	}
}

func TestRefusals_AreLoggedOnceAMinute(t *testing.T) {
	var log bytes.Buffer
	r := &refusals{log: slog.New(slog.NewTextHandler(&log, nil))}
	start := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	for second := range 130 {
		r.note(webhook.GitHub, start.Add(time.Duration(second)*time.Second))
	}
	refused := regexp.MustCompile(`refused=\d+`).FindAllString(log.String(), -1)
	if got, want := strings.Join(refused, " "), "refused=1 refused=60 refused=60"; got != want {
		t.Errorf("logged %s, want %s", got, want)
	}
}

func TestOwnPush_KnowsTheLedgersBranches(t *testing.T) {
	for ref, want := range map[string]bool{
		"refs/heads/runs/2026-11": true, "refs/heads/runs/status": true, "refs/tags/v1": true,
		"refs/heads/main": false, "refs/heads/runs/requests": false, "refs/heads/runs": false, "refs/heads/status": false,
	} {
		if got := ownPush(ref); got != want {
			t.Errorf("ownPush(%s) = %v", ref, got)
		}
	}
}

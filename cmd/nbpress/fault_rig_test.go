package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/store"
)

// rig is where agents are hurt: a repository behind a real git server, a store, and
// processes of the program. What is particular to an engine or a store is in these
// fields: the command, its configuration, and how the evidence is read.
type rig struct {
	t    *testing.T
	root string // all of it, and in the text of each of its processes

	bare    string // the repository of reports and ledger
	url     string // where agents find it
	command []string
	config  string // of an agent; %s is its name
	env     []string
	store   runner.StoreReader
	orphans func() []string // what is left of sandboxes that are not on this machine

	due    []dueRun
	missed []dueMissed

	mu     sync.Mutex // guards what follows
	kills  int
	pushed func() // called when the server has taken a push, before it says so; then forgotten
}

// slots is how many runs each agent has under way.
const rigSlots = 2

// noon is the rigs' time: half past, so that no slot falls due while a test runs.
func noon() time.Time {
	return time.Now().UTC().Truncate(24 * time.Hour).Add(-12*time.Hour + 30*time.Minute)
}

// newRig makes a rig in which as many slots are due, one each hour. Each has two runs that
// complete, in two languages, and one that raises.
func newRig(t *testing.T, slots int) *rig {
	t.Helper()
	r := emptyRig(t)
	r.merge("0 * * * *", noon().Add(-time.Duration(slots)*time.Hour))
	for i := range slots {
		r.expect(noon().Truncate(time.Hour).Add(-time.Duration(i) * time.Hour))
	}
	return r
}

// emptyRig makes a rig without reports.
func emptyRig(t *testing.T) *rig {
	t.Helper()
	testenv.HeedSignals()
	root, err := os.MkdirTemp("", "rig") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeRig(t, root) })
	r := &rig{
		t: t, root: root, bare: filepath.Join(root, "reports.git"), store: store.NewDirReader(filepath.Join(root, "store")),
		command: []string{"nbpress", "agent"},
		env: append(os.Environ(), "GORACE=atexit_sleep_ms=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
			"TMPDIR="+filepath.Join(root, "tmp"), clockEnv+"="+time.Until(noon()).String()),
	}
	r.config = fmt.Sprintf(`
repository: {url: URL, poll: 1s}
store: {dir: %[1]s/store}
state: %[1]s/state-NAME
grace: 1s
log: {level: debug}
executor: {slots: %[2]d, local: {dir: %[1]s/boxes-NAME, python: %[3]s}}
`, root, rigSlots, testenv.Python(t))
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.url = r.serveHTTP()
	return r
}

// removeRig removes what a rig left. What is mounted there goes with the mount.
func removeRig(t *testing.T, root string) {
	if err := os.RemoveAll(root); err != nil {
		t.Error(err)
	}
}

// expect adds the runs of a slot to what is due.
func (r *rig) expect(at time.Time) {
	r.due = append(r.due,
		dueRun{"energy", "a", at, []string{"ca", "en"}, runner.StatusCompleted},
		dueRun{"energy", "b", at, []string{"ca", "en"}, runner.StatusCompleted},
		dueRun{"water/levels", "c", at, []string{"en"}, runner.StatusError},
	)
}

// The rig's reports. Retries are for as many kills as one run can meet.
const (
	rigConfig = `{"schedule": {"cron": "%s", "catch_up": "all", "overlap": "queue"}, "window": "yesterday", "retries": 10,
		"languages": [%s], "assets": [%s], "publish": [%s], "env": {"RIG": "%s"}}`
	rigTemplate = "<h1>{{ title }}, {{ language }}</h1>\n"
	rigCatalog  = "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\n\"\n"
	rigGood     = `#Environment
import json
open("data.csv", "w").write("$SCHEDULED_AT")
json.dump({"title": "$ASSET_ID at $SCHEDULED_AT"}, open("output.json", "w"))`
	rigBad = "import json\n1/0 # output.json"
)

// merge puts the reports on the branch main, with a schedule and a date.
func (r *rig) merge(cron string, when time.Time) {
	r.t.Helper()
	work := filepath.Join(r.root, "reports")
	for name, report := range map[string]struct{ notebook, languages, assets, publish string }{
		"energy":       {rigGood, `"en", "ca"`, `"a", "b"`, `"data.csv"`},
		"water/levels": {rigBad, `"en"`, `"c"`, ``},
	} {
		dir := filepath.Join(work, name)
		notebook, err := notebookOf([]byte(report.notebook))
		if err == nil {
			err = os.MkdirAll(dir, 0o755)
		}
		files := map[string]string{
			"config.json":   fmt.Sprintf(rigConfig, cron, report.languages, report.assets, report.publish, r.root),
			"template.html": rigTemplate, "report.ipynb": string(notebook),
		}
		if strings.Contains(report.languages, "ca") {
			files["languages/ca/LC_MESSAGES/messages.po"] = rigCatalog
		}
		for file, text := range files {
			if err == nil {
				err = os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755)
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)
			}
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	date := when.Format(time.RFC3339)
	for _, args := range [][]string{
		{"init", "-q", "--bare", "-b", "main", r.bare},
		{"--git-dir", r.bare, "config", "http.receivepack", "true"},
		{"--git-dir", r.bare, "--work-tree", work, "-c", "core.bare=false", "add", "-A", work},
		{"--git-dir", r.bare, "--work-tree", work, "-c", "core.bare=false", "-c", "user.name=Ada", "-c", "user.email=ada@example.com",
			"commit", "-q", "-m", "Merge the reports"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_DATE="+date, "GIT_COMMITTER_DATE="+date)
		if out, err := cmd.CombinedOutput(); err != nil {
			r.t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
}

// serveHTTP serves the repository with git's own http-backend.
func (r *rig) serveHTTP() string {
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		r.t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + r.root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: r.t.Output(),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || !strings.HasSuffix(q.URL.Path, "/git-receive-pack") {
			backend.ServeHTTP(w, q)
			return
		}
		answer := httptest.NewRecorder()
		backend.ServeHTTP(answer, q)
		r.mu.Lock()
		pushed := r.pushed
		r.pushed = nil
		r.mu.Unlock()
		if pushed != nil {
			pushed()
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the agent may be dead
	}))
	r.t.Cleanup(server.Close)
	return server.URL + "/" + filepath.Base(r.bare)
}

// agentProcess is an agent that lives.
type agentProcess struct {
	rig   *rig
	name  string
	cmd   *exec.Cmd
	log   string // the file
	from  int    // where its part of it begins
	ended chan struct{}
	err   error // of Wait, once ended
}

// start starts an agent; env is beyond the rig's.
func (r *rig) start(name string, env []string, args ...string) *agentProcess {
	r.t.Helper()
	config := filepath.Join(r.root, name+".yaml")
	text := strings.NewReplacer("URL", r.url, "NAME", name).Replace(r.config)
	log, err := os.OpenFile(filepath.Join(r.root, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		err = os.WriteFile(config, []byte(text), 0o644)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		r.t.Fatal(err)
	}
	p := &agentProcess{rig: r, name: name, log: log.Name(), from: int(info.Size()), ended: make(chan struct{})}
	argv := slices.Concat(r.command, []string{"--config", config}, args)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(slices.Clone(r.env), env...), log, log
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	r.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT) // it may have ended
		_ = p.cmd.Process.Kill()
		<-p.ended
		if r.t.Failed() {
			p.show()
		}
	})
	return p
}

// show puts the end of the agent's log into the test's.
func (p *agentProcess) show() {
	const most = 6 << 10
	data, _ := os.ReadFile(p.log)
	p.rig.t.Logf("the log of agent %s ends:\n%s", p.name, data[max(0, len(data)-most):])
}

// signal sends a signal; an agent that has ended does not mind.
func (p *agentProcess) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill kills the agent, and reports whether it still lived.
func (p *agentProcess) kill() bool {
	p.signal(syscall.SIGKILL)
	<-p.ended
	return p.killed()
}

// killed reports whether an agent that has ended was killed.
func (p *agentProcess) killed() bool {
	var exit *exec.ExitError
	if !errors.As(p.err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false
	}
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	p.rig.kills++
	return true
}

// rigPatience bounds each wait of a rig. Machines of tests are slow.
const rigPatience = 4 * time.Minute

// wait waits until the agent has ended by itself.
func (p *agentProcess) wait() {
	p.rig.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(rigPatience):
		p.rig.t.Fatalf("agent %s has not ended after %v", p.name, rigPatience)
	}
}

// stop ends an agent in order.
func (p *agentProcess) stop() {
	p.rig.t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait()
	if p.err != nil {
		p.rig.t.Errorf("agent %s ended with %v", p.name, p.err)
	}
}

// said waits until the agent has logged a text, after a place in its log or 0, and
// returns the place behind.
func (p *agentProcess) said(text string, after int) int {
	p.rig.t.Helper()
	place := 0
	p.rig.until("agent "+p.name+" says "+text, func() bool {
		select {
		case <-p.ended:
			p.rig.t.Fatalf("agent %s ended without saying %q: %v", p.name, text, p.err)
		default:
		}
		data, _ := os.ReadFile(p.log)
		from := min(max(after, p.from), len(data))
		i := bytes.Index(data[from:], []byte(text))
		place = from + i + len(text)
		return i >= 0
	})
	return place
}

// takeover is what is promised, times five for a machine that does much else.
const takeover = 5 * 20 * time.Second

// tookOver waits until an agent works that has stood by.
func (p *agentProcess) tookOver(from string) {
	t := p.rig.t
	t.Helper()
	began := time.Now()
	p.said("agent started", 0)
	took := time.Since(began)
	t.Logf("taken over %s after %v", from, took.Round(100*time.Millisecond))
	if took > takeover {
		t.Errorf("that is more than %v", takeover)
	}
}

// until waits for something.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(rigPatience); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			r.t.Fatalf("after %v still not: %s", rigPatience, what)
		}
	}
}

// killAt lets an agent begin that is killed when it first passes a point.
func (r *rig) killAt(point string) {
	r.t.Helper()
	p := r.start("first", []string{killAtEnv + "=" + point + "=1"}, "--once")
	if p.wait(); !p.killed() {
		r.t.Errorf("no agent came to %s: it ended with %v", point, p.err)
	}
}

// killAtRandom kills one agent after the other, each at any instant of the time that
// begins when it has said something; "" is at once.
func (r *rig) killAtRandom(kills int, said string, within time.Duration) {
	r.t.Helper()
	var delays []time.Duration
	for range kills {
		p := r.start("first", nil) // not --once: there always is somebody to kill
		if said != "" {
			p.said(said, 0)
		}
		delay := rand.N(within)
		delays = append(delays, delay)
		select {
		case <-p.ended:
			r.t.Errorf("the agent ended by itself: %v", p.err)
		case <-time.After(delay):
		}
		p.kill()
	}
	r.t.Logf("killed after %v", delays)
}

// done reports whether all that is due has ended and landed.
func (r *rig) done() bool {
	outbox, err := r.store.List(r.t.Context(), "outbox/")
	slots, otherErr := r.store.List(r.t.Context(), "slots/")
	if err != nil || otherErr != nil || len(outbox)+len(slots) > 0 {
		return false
	}
	keys, err := r.store.List(r.t.Context(), "runs/")
	manifests := 0
	for _, key := range keys {
		if filepath.Base(key) == "manifest.yaml" {
			manifests++
		}
	}
	return err == nil && manifests >= len(r.due)
}

// finish lets an agent that nobody hurts do the rest, and judges.
func (r *rig) finish(env ...string) {
	r.t.Helper()
	p := r.start("first", env, "--once")
	if p.wait(); p.err != nil {
		r.t.Fatalf("an agent that nobody hurt ended with %v", p.err)
	}
	r.judge()
}

// judge complains of what does not hold at the end.
func (r *rig) judge() {
	r.t.Helper()
	for _, complaint := range append(r.evidence().complaints(r.t.Context()), r.debris()...) {
		r.t.Error(complaint)
	}
}

func (r *rig) evidence() evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	return evidence{store: r.store, ledger: r.bare, due: r.due, missed: r.missed, kills: r.kills, atOnce: rigSlots}
}

// debris lists sandboxes, processes and temporary files that are left on the machine.
func (r *rig) debris() []string {
	var found []string
	for _, pattern := range []string{"boxes-*/*", "tmp/*"} {
		left, _ := filepath.Glob(filepath.Join(r.root, pattern)) // the pattern is well-formed
		for _, path := range left {
			found = append(found, "left over: "+path)
		}
	}
	if r.orphans != nil {
		for _, name := range r.orphans() {
			found = append(found, "left over: "+name)
		}
	}
	deadline := time.Now().Add(rigPatience)
	for left := r.sandboxed(); len(left) > 0; left = r.sandboxed() {
		if time.Now().After(deadline) {
			return append(found, fmt.Sprintf("left over: processes %q", left))
		}
		_ = wait(context.Background(), 50*time.Millisecond) // they may be ending
	}
	return found
}

// sandboxed lists the processes whose environment or command line is of the rig's
// sandboxes: what a report's `env` put there, or a path.
func (r *rig) sandboxed() []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, proc := range files {
		line, _ := os.ReadFile(proc + "/cmdline") // it may end meanwhile
		environment, _ := os.ReadFile(proc + "/environ")
		if bytes.Contains(environment, []byte("RIG="+r.root)) || bytes.Contains(line, []byte(r.root+"/boxes-")) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte(" "))))
		}
	}
	return found
}

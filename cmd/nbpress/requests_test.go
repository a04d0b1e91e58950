package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/request"
	"nbpress/runner/runnertest"
	"nbpress/schedule"
)

// asking is a repository whose reports are asked for, and the store of its agents.
type asking struct {
	t     *testing.T
	top   string
	store runnertest.Memory
	exec  runnertest.FakeExecutor
}

const energyConfig = `{"schedule": {"cron": "0 6 * * *", "timezone": "Europe/Madrid"}, "window": "yesterday", "assets": ["a", "b"]}`

func newAsking(t *testing.T) *asking {
	k := &asking{t: t, top: t.TempDir()}
	k.exec.OnCell = func(context.Context, runner.Spec, string) (map[string][]byte, error) {
		return map[string][]byte{"output.json": []byte("{}")}, nil
	}
	k.git("init", "-q", "--bare", "-b", "main", k.bare())
	k.merge(map[string]string{"energy": energyConfig})
	return k
}

func (k *asking) bare() string { return filepath.Join(k.top, "reports.git") }

func (k *asking) git(args ...string) {
	k.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+filepath.Join(k.top, "index"), "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// merge makes these the reports: their configurations, by name.
func (k *asking) merge(reports map[string]string) {
	k.t.Helper()
	work := k.t.TempDir()
	notebook, err := notebookOf([]byte(plainNotebook))
	if err != nil {
		k.t.Fatal(err)
	}
	for name, config := range reports {
		for file, content := range map[string]string{"config.json": config, "template.html": plainTemplate, "report.ipynb": string(notebook)} {
			path := filepath.Join(work, name, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
				k.t.Fatal(err)
			}
		}
	}
	in := []string{"--git-dir", k.bare(), "--work-tree", work, "-c", "core.bare=false"}
	k.git(append(in, "add", "-A", work)...)
	k.git(append(in, "commit", "-q", "--allow-empty", "-m", "Merge")...)
}

// forget rewrites the branch of the reports, so that older commits are not to be had.
func (k *asking) forget(reports map[string]string) {
	k.git("--git-dir", k.bare(), "update-ref", "-d", "refs/heads/main")
	k.merge(reports)
}

// life is an agent at work, until the test ends or it is killed.
type life struct {
	*agent
	log  *bytes.Buffer
	kill func()
}

// begin starts an agent with a state folder of its own.
func (k *asking) begin() *life {
	k.t.Helper()
	state, log := k.t.TempDir(), &bytes.Buffer{}
	a := &agent{
		store: &k.store, log: slog.New(slog.NewTextHandler(log, nil)), metrics: newMetrics(func() *agent { return nil }),
		recorded: newBell(), changed: newBell(), pushed: newBell(), endings: endings{}, paged: map[string]bool{},
	}
	var err error
	if a.repo, err = gitsync.Open(gitsync.Options{URL: k.bare(), Branch: "main", Dir: filepath.Join(state, "r")}); err != nil {
		k.t.Fatal(err)
	}
	if a.ledger, err = gitsync.OpenLedger(gitsync.LedgerOptions{URL: k.bare(), Dir: filepath.Join(state, "l")}); err != nil {
		k.t.Fatal(err)
	}
	a.runner = runner.New(&k.exec, &k.store, runner.Options{Slots: 2, Alone: true, Log: slog.New(slog.DiscardHandler), Grace: time.Nanosecond})
	a.planner = schedule.NewPlanner(a.fire, schedule.Options{Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.runner.Run(ctx) }()
	kill := func() {
		if cancel(); ended != nil {
			<-ended
			ended = nil
		}
	}
	k.t.Cleanup(kill)
	return &life{agent: a, log: log, kill: kill}
}

// answer syncs and answers, and waits for the runs.
func (l *life) answer(t *testing.T) error {
	t.Helper()
	if err := l.sync(t.Context()); err != nil {
		return err
	}
	err := l.answerRequests(t.Context())
	select {
	case <-l.runner.Idle():
	case <-time.After(time.Minute):
		t.Fatal("the runs do not end")
	}
	return err
}

// ask puts files on the branch of requests.
func (k *asking) ask(l *life, files map[string]string) {
	k.t.Helper()
	change := gitsync.Change{Branch: requestsBranch, Files: map[string][]byte{}, Subject: "Ask"}
	for name, text := range files {
		change.Files[name] = []byte(text)
	}
	if _, err := l.ledger.Commit(k.t.Context(), change); err != nil {
		k.t.Fatal(err)
	}
}

// answers returns the answers that wait for the ledger, by the request's file.
func (k *asking) answers() map[string]runner.Answer {
	k.t.Helper()
	all := map[string]runner.Answer{}
	for key, data := range k.store.Objects() {
		if strings.HasPrefix(key, runner.OutboxPrefix+"answer-") {
			answer, err := runner.Decode[runner.Answer]([]byte(data), runner.KindAnswer)
			if err != nil {
				k.t.Fatal(err)
			}
			all[answer.Request] = answer
		}
	}
	return all
}

// runs returns the terminal manifests of the store.
func (k *asking) runs() (all []runner.Manifest) {
	k.t.Helper()
	objects := k.store.Objects()
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if strings.HasPrefix(key, "runs/") && strings.HasSuffix(key, "/manifest.yaml") {
			m, err := runner.Decode[runner.Manifest]([]byte(objects[key]), runner.KindRun)
			if err != nil {
				k.t.Fatal(err)
			}
			all = append(all, m)
		}
	}
	return all
}

// places returns where runs stand in the ledger, and how they ended.
func places(runs []runner.Manifest) (all []string) {
	for _, m := range runs {
		all = append(all, fmt.Sprintf("%s %s %s", runPath(m), m.Window.FromDay, m.Status))
	}
	slices.Sort(all)
	return all
}

func backfill(report, from, to, more string) string {
	return fmt.Sprintf("kind: Request\nreport: %s\nslots: {from: %s, to: %s}\nreason: x\n%s", report, from, to, more)
}

var errAway = errors.New("the store is away")

// The agent dies before and after each write of accepting and carrying out; its next life
// does what is left, of this request and of one that comes after it.
func TestAnswerRequests_SurvivesDeathAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n, died := 0, true; died; n++ {
			k := newAsking(t)
			first := k.begin()
			k.ask(first, map[string]string{"r.yaml": backfill("energy", "2026-01-05", "2026-01-06", "")})
			if err := first.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			writes := 0
			died = false
			hook := func(_ context.Context, operation, _ string) error {
				if operation == "get" || operation == "list" {
					return nil
				}
				if writes++; writes > n {
					died = true
					return errAway
				}
				return nil
			}
			first.kill() // its runs are of no interest here
			if after {
				k.store.After = hook
			} else {
				k.store.Before = hook
			}
			ctx, cancel := context.WithCancel(t.Context())
			err := func() error { defer cancel(); return first.answerRequests(ctx) }()
			if died != (err != nil) {
				t.Fatalf("write %d: %v", n, err)
			}
			k.store.Before, k.store.After = nil, nil
			second := k.begin()
			k.ask(second, map[string]string{"s.yaml": backfill("energy", "2026-01-07", "2026-01-07", "")})
			if err := second.answer(t); err != nil {
				t.Fatal(err)
			}
			if got := len(k.runs()); got != 6 {
				t.Errorf("write %d, after it: %v: %d runs, want 6", n, after, got)
			}
			if got := k.answers(); len(got) != 2 || got["r.yaml"].Status != runner.AnswerAccepted || len(got["r.yaml"].Runs) != 4 {
				t.Errorf("write %d, after it: %v: answers %+v", n, after, got)
			}
			second.kill()
		}
	}
}

func TestAnswerRequests_CarriesOutWhatItAcceptedThoughTheReportIsGone(t *testing.T) {
	k := newAsking(t)
	l := k.begin()
	k.ask(l, map[string]string{"r.yaml": backfill("energy", "2026-01-05", "2026-01-05", "")})
	k.store.Before = func(_ context.Context, operation, key string) error {
		if operation == "create" && strings.HasPrefix(key, "slots/") {
			k.store.Before = nil
			return errAway
		}
		return nil
	}
	if err := l.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.answerRequests(t.Context()); !errors.Is(err, errAway) {
		t.Fatalf("answerRequests() = %v", err)
	}
	k.merge(map[string]string{"other": plainConfig})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	if got := k.answers()["r.yaml"]; got.Status != runner.AnswerAccepted || len(k.runs()) != 2 {
		t.Errorf("answer %+v, %d runs", got, len(k.runs()))
	}
}

// What one accepted request cannot do does not hold up the others, and what it named
// ends.
func TestAnswerRequests_EndsWhatCannotRunAnyMore(t *testing.T) {
	k := newAsking(t)
	first := k.begin()
	k.ask(first, map[string]string{"r.yaml": backfill("energy", "2026-01-05", "2026-01-05", "")})
	first.kill()
	if err := first.answerOnly(t); err != nil {
		t.Fatal(err)
	}
	for key := range k.store.Objects() {
		if strings.HasPrefix(key, "slots/") || strings.HasPrefix(key, carriedOutPrefix) {
			if err := k.store.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := k.store.Put(t.Context(), acceptedPrefix+"broken.yaml", []byte("\x00{")); err != nil {
		t.Fatal(err)
	}
	k.forget(map[string]string{"energy": strings.Replace(energyConfig, `"a", `, "", 1)})
	second := k.begin()
	k.ask(second, map[string]string{"s.yaml": backfill("energy", "2026-01-07", "2026-01-07", "")})
	if err := second.answer(t); err == nil || !strings.Contains(err.Error(), "broken.yaml") {
		t.Errorf("answerRequests() = %v, want the broken one named", err)
	}
	want := []string{
		"energy/2026-01-05T0600+0100/a.yaml 2026-01-04 error",
		"energy/2026-01-05T0600+0100/b.yaml 2026-01-04 completed",
		"energy/2026-01-07T0600+0100/b.yaml 2026-01-06 completed",
	}
	if diff := cmp.Diff(want, places(k.runs())); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// answerOnly answers without waiting for runs.
func (l *life) answerOnly(t *testing.T) error {
	t.Helper()
	return errors.Join(l.sync(t.Context()), l.answerRequests(t.Context()))
}

// A run that was made before stays where it was, over the days that it had.
func TestAnswerRequests_KeepsARunsSlotAndWindow(t *testing.T) {
	k := newAsking(t)
	l := k.begin()
	k.ask(l, map[string]string{"1.yaml": backfill("energy", "2026-01-05", "2026-01-05", "assets: [a]\n")})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	moved := strings.NewReplacer("0 6", "0 5", "Europe/Madrid", "UTC", "yesterday", "last_7_days").Replace(energyConfig)
	k.merge(map[string]string{"energy": moved})
	id := k.runs()[0].ID
	k.ask(l, map[string]string{
		"2.yaml": backfill("energy", "2026-01-05", "2026-01-05", "force: true\n"),
	})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	k.ask(l, map[string]string{
		"3.yaml": fmt.Sprintf("kind: Request\nreport: energy\nruns: {ids: [%s]}\nforce: true\nreason: x\n", id),
	})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"energy/2026-01-05T0500+0000/b.yaml 2025-12-29 completed",
		"energy/2026-01-05T0600+0100/a.g2.yaml 2026-01-04 completed",
		"energy/2026-01-05T0600+0100/a.g3.yaml 2026-01-04 completed",
		"energy/2026-01-05T0600+0100/a.yaml 2026-01-04 completed",
	}
	if diff := cmp.Diff(want, places(k.runs())); diff != "" {
		t.Errorf("runs (-want +got):\n%s\n%s", diff, l.log)
	}
}

// In Cairo a day begins at one o'clock when the clocks go forward; in Saint John's of old
// a minute after midnight they went back to the day before.
func TestAnswerRequests_BackfillsTheSlotsOfADay(t *testing.T) {
	for _, test := range []struct {
		zone, cron, from, to string
		want                 int
	}{
		{"Africa/Cairo", "30 * * * *", "2026-04-24", "2026-04-24", 23},
		{"Africa/Cairo", "30 * * * *", "2026-04-23", "2026-04-23", 24},
		{"Africa/Cairo", "0 0 * * *", "2026-04-24", "2026-04-24", 1},
		{"America/Havana", "30 * * * *", "2025-11-02", "2025-11-02", 25},
		{"America/St_Johns", "30 * * * *", "2005-10-29", "2005-10-29", 25},
		{"America/St_Johns", "30 * * * *", "2005-10-30", "2005-10-30", 24},
		{"Europe/Madrid", "30 2 * * *", "2026-03-29", "2026-03-29", 1},
		{"Europe/Madrid", "30 2 * * *", "2025-10-26", "2025-10-26", 1},
	} {
		t.Run(fmt.Sprint(test.zone, test.from, test.cron), func(t *testing.T) {
			k := newAsking(t)
			k.merge(map[string]string{"energy": fmt.Sprintf(`{"schedule": {"cron": %q, "timezone": %q}, "window": "yesterday", "assets": ["a"]}`, test.cron, test.zone)})
			l := k.begin()
			k.ask(l, map[string]string{"r.yaml": backfill("energy", test.from, test.to, "")})
			l.kill()
			if err := l.answerOnly(t); err != nil {
				t.Fatal(err)
			}
			runs := k.answers()["r.yaml"].Runs
			for _, run := range runs {
				if day := run.ScheduledAt.Format(time.DateOnly); day < test.from || day > test.to {
					t.Errorf("%s is not asked for", run.ScheduledAt)
				}
			}
			if len(runs) != test.want {
				t.Errorf("%d slots, want %d: %+v", len(runs), test.want, runs)
			}
		})
	}
}

func TestAnswerRequests_RefusesWhatIsNoRequest(t *testing.T) {
	k := newAsking(t)
	k.merge(map[string]string{"energy": energyConfig, "asleep": `{"schedule": "* * * * *", "window": "yesterday", "assets": [{"id": "a", "enabled": false}]}`})
	l := k.begin()
	k.ask(l, map[string]string{
		"README.md": "requests", "1 é.yml": "kind: [", strings.Repeat("long", 50) + ".yaml": "", "large.yaml": strings.Repeat("#", request.MaxSize+1),
		"latin.yaml": "kind: Request\nreason: \xe9\n", "early.yaml": backfill("energy", "0001-01-01", "2026-01-01", ""),
		"asleep.yaml": backfill("asleep", "2000-01-01", "2026-01-01", ""),
		"huge.yaml":   backfill("energy", "2000-01-01", "2026-01-01", ""),
	})
	k.git("--git-dir", k.bare(), "read-tree", requestsBranch)
	for _, entry := range []string{"120000,%s,link.yaml", "160000,%s,module.yaml", "100644,%s,new\nline.yaml", "100644,%s,\xff.yaml"} {
		k.git("--git-dir", k.bare(), "update-index", "--add", "--cacheinfo", fmt.Sprintf(entry, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"))
	}
	k.git("--git-dir", k.bare(), "-c", "core.bare=false", "--work-tree", k.top, "symbolic-ref", "HEAD", "refs/heads/"+requestsBranch)
	k.git("--git-dir", k.bare(), "-c", "core.bare=false", "--work-tree", k.top, "commit", "-q", "-m", "Odd")
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, answer := range k.answers() {
		if answer.Status != runner.AnswerRefused || len(k.runs()) > 0 {
			t.Errorf("%s: %+v", name, answer)
			continue
		}
		got[name] = answer.Error.Problems[0]
	}
	for name, want := range map[string]string{
		"1 é.yml": "1:", "large.yaml": "it has more than 512 KiB", "latin.yaml": "latin.yaml:", "early.yaml": "early.yaml:3:", "asleep.yaml": "nothing fits",
		"huge.yaml": "more than 10000 runs", "link.yaml": "it is no regular file", "module.yaml": "it is no regular file", strings.Repeat("long", 50) + ".yaml": "",
	} {
		if problem, ok := got[name]; !ok || !strings.Contains(problem, want) {
			t.Errorf("%s: %q, want %q", name, problem, want)
		}
		delete(got, name)
	}
	if len(got) != 2 { // of the two names that cannot be shown
		t.Errorf("also answered: %q", got)
	}
	if !strings.Contains(l.log.String(), "request refused") {
		t.Error("nothing is logged")
	}
}

// Manifests by hand that name no run, or another's, change nothing and are named.
func TestAnswerRequests_NamesManifestsThatAreNotOurs(t *testing.T) {
	k := newAsking(t)
	k.merge(map[string]string{"energy": energyConfig, "other": plainConfig})
	l := k.begin()
	k.exec.OnCell = func(context.Context, runner.Spec, string) (map[string][]byte, error) {
		return nil, errors.New("raised")
	}
	k.ask(l, map[string]string{"1.yaml": "kind: Request\nreport: other\nwindow: {from_day: 2026-01-01, to_day: 2026-01-01}\nreason: x\n"})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	forged := k.runs()[0]
	forged.Report, forged.ScheduledAt, forged.OnDemand = "energy", monday, ""
	change := gitsync.Change{Branch: "runs/2026-11", Subject: "Forge", Files: map[string][]byte{}}
	for asset, id := range map[string]runner.RunID{"a": forged.ID, "b": "../../../x", "c": "line\nline", "d": "aaaaaaaaaaaaaaaaaaaa"} {
		m := forged
		m.Asset, m.ID = asset, id
		data, err := runner.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		change.Files[runPath(m)] = data
	}
	if _, err := l.ledger.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	k.ask(l, map[string]string{"2.yaml": "kind: Request\nreport: energy\nruns: {status: error, since: 2026-11-01}\nreason: x\n"})
	if err := l.answer(t); err != nil {
		t.Fatal(err)
	}
	answer := k.answers()["2.yaml"]
	if answer.Status != runner.AnswerAccepted || len(answer.Runs) != 0 || len(answer.LeftOut) != 4 || len(k.runs()) != 1 {
		t.Errorf("answer: %+v", answer)
	}
	for _, run := range answer.LeftOut {
		if !strings.Contains(run.Why, "not ours") {
			t.Errorf("left out: %+v", run)
		}
	}
}

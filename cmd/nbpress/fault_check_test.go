package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"nbpress/runner"
)

// What must hold of a store and a ledger when all that was due is done, whatever
// happened to the agents. It is told what was due, and knows nothing of agents, engines
// or kinds of stores.

// dueRun is a run that must have happened, by the scenario's own calculation.
type dueRun struct {
	report, asset string
	at            time.Time // in the report's zone
	languages     []string
	status        runner.Status
}

func (d dueRun) name() string {
	return fmt.Sprintf("%s/%s of %s", d.report, d.asset, d.at.Format(time.RFC3339))
}

// dueMissed is a slot that must have been told as missed, alone.
type dueMissed struct {
	report string
	at     time.Time
}

// evidence is what agents left.
type evidence struct {
	store  runner.StoreReader
	ledger string // the bare repository
	due    []dueRun
	missed []dueMissed
	kills  int // agents that were killed, or lost their lease
	atOnce int // runs that an agent had under way
}

// complaints lists what does not hold.
func (e evidence) complaints(ctx context.Context) []string {
	stored, found := e.terminal(ctx)
	found = append(found, e.expected(stored)...)
	found = append(found, e.artifacts(ctx, stored)...)
	found = append(found, e.attempts(ctx)...)
	found = append(found, e.rest(ctx)...)
	found = append(found, e.latest(ctx, stored)...)
	found = append(found, e.committed(stored)...)
	found = append(found, e.history()...)
	slices.Sort(found)
	return found
}

// storedRun is a manifest of the store.
type storedRun struct {
	manifest runner.Manifest
	data     []byte
}

var manifestKey = regexp.MustCompile(`^runs/([a-z2-7]{20})/g1/manifest\.yaml$`)

// terminal returns the manifests of the store, by their runs' folders.
func (e evidence) terminal(ctx context.Context) (map[string]storedRun, []string) {
	stored := map[string]storedRun{}
	keys, err := e.store.List(ctx, "runs/")
	if err != nil {
		return nil, []string{fmt.Sprint("store: ", err)}
	}
	var found []string
	for _, key := range keys {
		folder := path.Join(strings.Split(key, "/")[:2]...)
		if _, known := stored[folder]; !known {
			stored[folder] = storedRun{}
		}
		if path.Base(key) != "manifest.yaml" {
			continue
		}
		if !manifestKey.MatchString(key) {
			found = append(found, "store: a manifest at "+key)
			continue
		}
		data, err := e.store.Get(ctx, key)
		if err != nil {
			found = append(found, fmt.Sprint("store: ", err))
			continue
		}
		m, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			found = append(found, fmt.Sprintf("store: %s: %v", key, err))
		}
		stored[folder] = storedRun{m, data}
	}
	for folder, run := range stored {
		if run.data == nil {
			found = append(found, "store: "+folder+" has no terminal manifest")
			delete(stored, folder)
		}
	}
	return stored, found
}

// expected compares the runs of the store with those that were due.
func (e evidence) expected(stored map[string]storedRun) []string {
	var found []string
	left := maps.Clone(stored)
	for _, due := range e.due {
		var folders []string
		for folder, run := range stored {
			if m := run.manifest; m.Report == due.report && m.Asset == due.asset && m.ScheduledAt.Equal(due.at) {
				folders = append(folders, folder)
				delete(left, folder)
			}
		}
		switch len(folders) {
		case 0:
			found = append(found, "lost: "+due.name())
		case 1:
			if got := stored[folders[0]].manifest.Status; got != due.status {
				found = append(found, fmt.Sprintf("%s ended as %q, not %q", due.name(), got, due.status))
			}
		default:
			found = append(found, fmt.Sprintf("doubled: %s is in %q", due.name(), folders))
		}
	}
	for folder, run := range left {
		found = append(found, fmt.Sprintf("doubled: %s, %s/%s of %v, was not due", folder, run.manifest.Report, run.manifest.Asset, run.manifest.ScheduledAt))
	}
	return found
}

// artifacts compares what completed manifests name with what is there.
func (e evidence) artifacts(ctx context.Context, stored map[string]storedRun) []string {
	var found []string
	for folder, run := range stored {
		pages := map[string]bool{}
		for _, a := range run.manifest.Artifacts {
			data, err := e.store.Get(ctx, a.Key)
			sum := sha256.Sum256(data)
			if err != nil || hex.EncodeToString(sum[:]) != a.SHA256 || len(data) != a.Bytes {
				found = append(found, fmt.Sprintf("%s: artifact %s is not what the manifest says: %d bytes, %v", folder, a.Key, len(data), err))
			}
			pages[a.Language] = pages[a.Language] || strings.HasPrefix(a.Key, "pages/") && a.Name == "index.html"
		}
		for _, language := range e.languages(run.manifest) {
			if !pages[language] {
				found = append(found, fmt.Sprintf("%s: completed without a page in %s", folder, language))
			}
		}
	}
	return found
}

// languages returns those that a completed run must have pages in.
func (e evidence) languages(m runner.Manifest) []string {
	for _, due := range e.due {
		if m.Status == runner.StatusCompleted && due.report == m.Report && due.asset == m.Asset {
			return due.languages
		}
	}
	return nil
}

var claimKey = regexp.MustCompile(`^(runs/[a-z2-7]{20})/g1/claim-([0-9]+)$`)

// attempts counts claims: a kill costs each run one more at most.
func (e evidence) attempts(ctx context.Context) []string {
	keys, err := e.store.List(ctx, "runs/")
	if err != nil {
		return []string{fmt.Sprint("store: ", err)}
	}
	claims := map[string]int{}
	for _, key := range keys {
		if match := claimKey.FindStringSubmatch(key); match != nil {
			claims[match[1]]++
		}
	}
	var found []string
	total := 0
	for folder, n := range claims {
		if total += n; n > e.kills+1 {
			found = append(found, fmt.Sprintf("%s was attempted %d times after %d kills", folder, n, e.kills))
		}
	}
	if most := len(e.due) + e.kills*e.atOnce; total > most {
		found = append(found, fmt.Sprintf("%d attempts of %d runs after %d kills, of at most %d each", total, len(e.due), e.kills, e.atOnce))
	}
	return found
}

// rest looks for what should have gone.
func (e evidence) rest(ctx context.Context) []string {
	var found []string
	for _, prefix := range []string{"outbox/", "slots/", "rejected/"} {
		keys, err := e.store.List(ctx, prefix)
		if err != nil {
			found = append(found, fmt.Sprint("store: ", err))
		}
		for _, key := range keys {
			found = append(found, "left over: "+key)
		}
	}
	return found
}

// latest compares the latest pages with those of the newest slot that completed.
func (e evidence) latest(ctx context.Context, stored map[string]storedRun) []string {
	newest := map[string]runner.Manifest{}
	for _, run := range stored {
		m := run.manifest
		if name := m.Report + "/" + m.Asset; m.Status == runner.StatusCompleted && m.ScheduledAt.After(newest[name].ScheduledAt) {
			newest[name] = m
		}
	}
	var found []string
	for name, m := range newest {
		for _, a := range m.Artifacts {
			if !strings.HasPrefix(a.Key, "pages/") {
				continue
			}
			key := runner.LatestKey(m.Report, m.Asset, a.Language, a.Name)
			data, err := e.store.Get(ctx, key)
			if sum := sha256.Sum256(data); err != nil || hex.EncodeToString(sum[:]) != a.SHA256 {
				found = append(found, fmt.Sprintf("latest: %s is not of %s's slot %v", key, name, m.ScheduledAt))
			}
		}
	}
	return found
}

// git runs git on the ledger.
func (e evidence) git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"--git-dir", e.ledger}, args...)...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// months are the branches with manifests.
func (e evidence) months() ([]string, error) {
	out, err := e.git("for-each-ref", "--format=%(refname)", "refs/heads/runs/2*")
	return strings.Fields(out), err
}

// committed compares the ledger with the store: each run is in it, under its path,
// with the same bytes, and nothing else.
func (e evidence) committed(stored map[string]storedRun) []string {
	want := map[string][]byte{}
	for _, run := range stored {
		m := run.manifest
		at := m.ScheduledAt
		want["refs/heads/runs/"+at.Format("2006-01")+":"+path.Join(m.Report, at.Format("2006-01-02T1504-0700"), m.Asset+".yaml")] = run.data
	}
	slots := map[string]bool{}
	for name := range want {
		slots[path.Join(path.Dir(name), "slot.yaml")] = true
	}
	missed := map[string]dueMissed{}
	for _, m := range e.missed {
		missed["refs/heads/runs/"+m.at.Format("2006-01")+":"+path.Join(m.report, "missed-"+m.at.Format("2006-01-02T1504-0700")+".yaml")] = m
	}
	months, err := e.months()
	if err != nil {
		return []string{fmt.Sprint("ledger: ", err)}
	}
	var found []string
	for _, month := range months {
		files, err := e.git("ls-tree", "-r", "--name-only", month)
		if err != nil {
			return []string{fmt.Sprint("ledger: ", err)}
		}
		for _, file := range strings.Fields(files) {
			name := month + ":" + file
			data, err := e.git("cat-file", "blob", name)
			switch {
			case err != nil:
				found = append(found, fmt.Sprint("ledger: ", err))
			case slots[name]:
				delete(slots, name)
			case missed[name].tells(data):
				delete(missed, name)
			case missedPath.MatchString(file):
				found = append(found, "ledger: told as missed: "+name)
			case want[name] == nil:
				found = append(found, "ledger: "+name+" is not of the store")
			case data != string(want[name]):
				found = append(found, "ledger: "+name+" differs from the store's")
			}
			delete(want, name)
		}
	}
	for name := range want {
		found = append(found, "ledger: there is no "+name)
	}
	for name := range slots {
		found = append(found, "ledger: there is no "+name)
	}
	for name := range missed {
		found = append(found, "ledger: there is no "+name)
	}
	return found
}

// tells reports whether a document is the record of a missed slot.
func (d dueMissed) tells(data string) bool {
	m, err := runner.Decode[runner.MissedRecord]([]byte(data), runner.KindMissed)
	return err == nil && m.Report == d.report && m.Count == 1 && m.First.Equal(d.at) && m.Last.Equal(d.at)
}

var missedPath = regexp.MustCompile(`/missed-[^/]+\.yaml$`)

var ownPath = regexp.MustCompile(`^([a-z/-]+/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{4}[+-][0-9]{4}/[a-z-]+\.yaml|[a-z/-]+/missed-[0-9T+-]+\.yaml|README\.md|cursors\.yaml)$`)

// history looks at the commits: a line, each manifest in one of them, nothing outside
// our paths, and sound.
func (e evidence) history() []string {
	var found []string
	if out, err := e.git("fsck", "--strict", "--full", "--no-dangling"); err != nil {
		found = append(found, fmt.Sprintf("ledger: %v %s", err, out))
	}
	if out, err := e.git("rev-list", "--merges", "--glob=refs/heads/runs/*"); err != nil || out != "" {
		found = append(found, fmt.Sprintf("ledger: merges: %s %v", out, err))
	}
	months, err := e.months()
	if err != nil {
		return append(found, fmt.Sprint("ledger: ", err))
	}
	for _, branch := range append(months, "refs/heads/runs/status") {
		out, err := e.git("log", "--format=", "--name-only", branch)
		if err != nil {
			found = append(found, fmt.Sprint("ledger: ", err))
		}
		commits := map[string]int{}
		for _, file := range strings.Fields(out) {
			commits[file]++
		}
		for file, n := range commits {
			run := branch != "refs/heads/runs/status" && path.Base(file) != "slot.yaml" && !missedPath.MatchString(file)
			if run && n > 1 {
				found = append(found, fmt.Sprintf("ledger: doubled: %s:%s is in %d commits", branch, file, n))
			}
			if !ownPath.MatchString(file) {
				found = append(found, fmt.Sprintf("ledger: %s:%s is not one of our paths", branch, file))
			}
		}
		if roots, err := e.git("rev-list", "--max-parents=0", "--count", branch); err != nil || strings.TrimSpace(roots) != "1" {
			found = append(found, fmt.Sprintf("ledger: %s has %s roots, %v", branch, strings.TrimSpace(roots), err))
		}
	}
	return found
}

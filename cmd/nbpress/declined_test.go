package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nbpress/gitsync"
	"nbpress/runner"
)

// hook makes the repository run a script on what is pushed, which it counts.
func (l landing) hook(t *testing.T, script string) (pushes func() int) {
	t.Helper()
	count := filepath.Join(t.TempDir(), "pushes")
	text := "#!/bin/sh\necho x >>" + count + "\nread old new ref\n" + script
	if err := os.WriteFile(filepath.Join(l.bare, "hooks", "pre-receive"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return func() int {
		data, _ := os.ReadFile(count)
		return len(data) / len("x\n")
	}
}

// scanner declines a push with a document whose name has poison in it.
const scanner = `if git ls-tree -r --name-only $new | grep -q poison; then echo "looks like a secret" >&2; exit 1; fi
`

func (l landing) recordOf(t *testing.T, asset string, n int) {
	t.Helper()
	l.recordIn(t, "good", asset, n)
}

func (l landing) recordIn(t *testing.T, report, asset string, n int) {
	t.Helper()
	at := monday.Add(time.Duration(n) * time.Minute)
	l.store.put(t, fmt.Sprintf("run-%s-%04d.yaml", asset, n), runner.Manifest{
		APIVersion: runner.APIVersion, Kind: runner.KindRun, ID: runner.NewRunID(report, asset, at), Generation: 1,
		Report: report, Asset: asset, ScheduledAt: at, Status: runner.StatusCompleted,
	})
}

func TestLand_OneDeclinedDocumentHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	l := startLanding(t)
	pushes := l.hook(t, scanner)
	for n := range landBatch - 1 {
		l.recordOf(t, "a", n)
	}
	l.recordOf(t, "poison", 17)
	l.recorded.ring()
	eventually(t, 2*time.Minute, "all but one landed", func() bool { return l.outbox(t) == 1 })
	eventually(t, time.Minute, "an alarm", func() bool { return strings.Contains(l.log(), "level=ERROR") })
	if n := pushes(); n > 20 {
		t.Errorf("%d pushes to find one of %d", n, landBatch)
	}
	before := pushes()
	for n := range 3 { // runs go on ending
		l.recordOf(t, "b", n)
		l.recorded.ring()
		eventually(t, time.Minute, "the next one landed", func() bool { return l.outbox(t) == 1 })
	}
	if n := pushes() - before; n > 3 {
		t.Errorf("%d pushes of 3 documents: what is declined was tried again", n)
	}
	if n := strings.Count(l.log(), "level=ERROR"); n != 1 || !strings.Contains(l.log(), "document=outbox/run-poison-0017.yaml") || !strings.Contains(l.log(), "looks like a secret") {
		t.Errorf("%d alarms, want one that names the document and has the hook's words:\n%s", n, l.log())
	}
	if n, why := l.declined.count("good"); n != 1 || why != "pre-receive hook declined" {
		t.Errorf("held: %d, %q", n, why)
	}
	if err := l.declined.err(); err == nil || !strings.Contains(err.Error(), "runs/2026-11:good/2026-11-23T0617+0000/poison.yaml") {
		t.Errorf("held: %v", err)
	}
}

func TestLand_WhatWasDeclinedLandsOnceItIsAllowed(t *testing.T) {
	a, s, log := newLandingAgent(t)
	a.landed = &dependency{name: "ledger"}
	l := landing{agent: a, store: s, bare: filepath.Join(t.TempDir(), "ledger.git")}
	newBareRepo(t, l.bare)
	a.ledger = ledgerAt(t, newGitServer(t, filepath.Dir(l.bare)).url("ledger.git"))
	l.hook(t, scanner)
	l.recordOf(t, "poison", 1)
	l.recordOf(t, "a", 1)
	for range 2 {
		if err := a.landOutbox(t.Context()); err != nil || l.outbox(t) != 1 {
			t.Fatalf("landOutbox() = %v, and %d wait", err, l.outbox(t))
		}
	}
	key := runner.OutboxPrefix + "run-poison-0001.yaml"
	due := func() { a.declined.postpone([]string{key}, time.Now()) }
	due()
	if err := a.landOutbox(t.Context()); err != nil || l.outbox(t) != 1 {
		t.Fatalf("tried again: landOutbox() = %v, and %d wait", err, l.outbox(t))
	}
	if _, err := a.landed.state(t.Context()); err != nil {
		t.Errorf("the ledger is not ready for what it does not take: %v", err)
	}
	if wait := a.declined.next(time.Now()); wait < retryRefused-time.Minute || wait > retryRefused {
		t.Errorf("it is due again in %v, want some %v", wait, retryRefused)
	}
	l.hook(t, "exit 0")
	due()
	if err := a.landOutbox(t.Context()); err != nil || l.outbox(t) != 0 || a.declined.err() != nil {
		t.Errorf("allowed: landOutbox() = %v, %d wait, held: %v", err, l.outbox(t), a.declined.err())
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alarms, want 1:\n%s", n, log)
	}
}

func TestLand_AClosedBranchIsNoDocumentsFault(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	l := landing{agent: a, store: s, bare: filepath.Join(t.TempDir(), "ledger.git")}
	newBareRepo(t, l.bare)
	a.ledger = ledgerAt(t, newGitServer(t, filepath.Dir(l.bare)).url("ledger.git"))
	pushes := l.hook(t, "exit 1")
	for n := range landBatch {
		l.recordOf(t, "a", n)
	}
	if err := a.landOutbox(t.Context()); refusal(err) == "" {
		t.Errorf("landOutbox() = %v, want a refusal", err)
	}
	if err := a.declined.err(); err != nil || l.outbox(t) != landBatch {
		t.Errorf("held: %v; %d wait, want all", err, l.outbox(t))
	}
	if n := pushes(); n > 15 {
		t.Errorf("%d pushes to a branch that is closed", n)
	}
}

func TestLand_ASearchEndsWhereMuchIsDeclined(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	l := landing{agent: a, store: s, bare: filepath.Join(t.TempDir(), "ledger.git")}
	newBareRepo(t, l.bare)
	a.ledger = ledgerAt(t, newGitServer(t, filepath.Dir(l.bare)).url("ledger.git"))
	pushes := l.hook(t, scanner)
	for n := range landBatch / 2 {
		l.recordOf(t, "poison", n)
		l.recordOf(t, "a", n)
	}
	left := landBatch
	for tries := 0; left > landBatch/2; tries++ {
		before := pushes()
		err := a.landOutbox(t.Context())
		if err != nil && refusal(err) == "" {
			t.Fatal(err)
		}
		if n := pushes() - before; n > mostProbes+1 {
			t.Errorf("%d pushes at once", n)
		}
		if left = l.outbox(t); tries > 20 {
			t.Fatalf("%d still wait after %d tries", left, tries)
		}
	}
}

// Somebody made a folder where a manifest should stand.
func TestLand_AFolderInAManifestsPlaceHoldsUpNoOther(t *testing.T) {
	a, s, log := newLandingAgent(t)
	l := landing{agent: a, store: s}
	const place = "good/2026-11-23T0601+0000/in-the-way.yaml"
	change := gitsync.Change{Branch: "runs/2026-11", Subject: "x", Files: map[string][]byte{place + "/file": []byte("x")}}
	if _, err := a.ledger.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		l.recordOf(t, "in-the-way", n)
		l.recordOf(t, "a", n)
	}
	if err := a.landOutbox(t.Context()); err != nil || l.outbox(t) != 1 {
		t.Errorf("landOutbox() = %v, and %d wait, want 1", err, l.outbox(t))
	}
	if err := a.declined.err(); err == nil || !strings.Contains(err.Error(), place+" is a folder on the branch") {
		t.Errorf("held: %v", err)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d alarms, want 1:\n%s", n, log)
	}
}

// All runs of a report say the same secret, and stand before the others in the outbox.
func TestLand_ADeclinedReportHoldsUpNoOther(t *testing.T) {
	a, s, _ := newLandingAgent(t)
	l := landing{agent: a, store: s, bare: filepath.Join(t.TempDir(), "ledger.git")}
	newBareRepo(t, l.bare)
	a.ledger = ledgerAt(t, newGitServer(t, filepath.Dir(l.bare)).url("ledger.git"))
	l.hook(t, scanner)
	for n := range landBatch + landBatch/5 {
		l.recordIn(t, "bad", "a-poison", n)
	}
	l.recordIn(t, "good", "b", 0)
	good := runner.OutboxPrefix + "run-b-0000.yaml"
	for tries := 1; ; tries++ {
		err := a.landOutbox(t.Context())
		a.landing.after(err, a.log, waiting)
		if refusal(err) == "" {
			t.Fatal(err)
		}
		keys, err := s.List(t.Context(), runner.OutboxPrefix)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(keys, good) {
			t.Logf("it landed with try %d", tries)
			return
		}
		if tries > 20 { // five of six times it is among the first some
			t.Fatal("it did not land")
		}
	}
}

// ledgerAt opens a ledger with a mirror of its own.
func ledgerAt(t *testing.T, url string) *gitsync.Ledger {
	t.Helper()
	ledger, err := gitsync.OpenLedger(gitsync.LedgerOptions{URL: url, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

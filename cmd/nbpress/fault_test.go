package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nbpress/runner/runnertest"
)

// The scenarios. Each hurts agents in its way, lets one finish what was due, and judges
// by what is left. A few run with all other tests; `make faults` runs all of them, each
// point once and 40 kills at random, `make soak` each point 20 times and 500 kills.

// faults returns how often the tests are to kill at each point and at random; the second
// is false where only a few seconds of it are wanted.
func faults(t *testing.T) (perPoint, random int, all bool) {
	number := func(name string) int {
		n, err := strconv.Atoi(cmp.Or(os.Getenv(name), "0"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	perPoint, random = number("NBPRESS_FAULTS"), number("NBPRESS_KILLS")
	return perPoint, random, perPoint+random > 0
}

// needFaults skips a scenario that takes long where not all are wanted.
func needFaults(t *testing.T) {
	t.Helper()
	if _, _, all := faults(t); !all {
		t.Skip("`make faults` runs it")
	}
	t.Parallel()
}

// toll sums up what rigs of a test have seen, for one line at its end.
type toll struct {
	mu                                  sync.Mutex // guards what follows
	kills, runs, lost, doubled, attempt int
}

// finishAndCount is finish, with the sum.
func (s *toll) finishAndCount(r *rig) {
	r.t.Helper()
	r.finish()
	s.count(r)
}

func (s *toll) count(r *rig) {
	e := r.evidence()
	keys, err := r.store.List(r.t.Context(), "runs/")
	if err != nil {
		r.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills += e.kills
	s.runs += len(e.due)
	s.attempt -= len(e.due)
	for _, key := range keys {
		if claimKey.MatchString(key) {
			s.attempt++
		}
	}
	for _, complaint := range e.complaints(r.t.Context()) {
		if strings.HasPrefix(complaint, "lost: ") {
			s.lost++
		}
		if strings.Contains(complaint, "doubled: ") {
			s.doubled++
		}
	}
}

func (s *toll) tell(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("%d kills in %d runs: %d lost, %d doubled, %d extra attempts", s.kills, s.runs, s.lost, s.doubled, s.attempt)
}

// pointsAtOnce is how many points one rig is killed at, before and after each: less than
// the retries of its reports.
const pointsAtOnce = 4

// TestFaults_KilledAtEachPoint kills one agent after the other, each at the first passing
// of the next point.
func TestFaults_KilledAtEachPoint(t *testing.T) {
	perPoint, _, _ := faults(t)
	needFaults(t)
	var sum toll
	t.Cleanup(func() { sum.tell(t) })
	for round := range perPoint {
		for names := range slices.Chunk(append(runnertest.Points(), "commit", "push", "ack"), pointsAtOnce) {
			t.Run(fmt.Sprintf("%s/%d", strings.Join(names, ","), round+1), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 3)
				for _, name := range names {
					if name != "execute" && name != "ack" { // connect:after, push:after
						r.killAt(name + ":before")
					}
					r.killAt(name + ":after")
				}
				sum.finishAndCount(r)
			})
		}
	}
}

// killsAtOnce is how many agents of one rig are killed at random, at most.
const killsAtOnce = 8

// TestFaults_KilledAtRandom kills agents at any instant.
func TestFaults_KilledAtRandom(t *testing.T) {
	_, kills, all := faults(t)
	if !all {
		kills = 3
	}
	t.Parallel()
	var sum toll
	t.Cleanup(func() { sum.tell(t) })
	t.Run("rigs", func(t *testing.T) {
		for left := kills; left > 0; left -= killsAtOnce {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 3)
				r.killAtRandom(min(left, killsAtOnce), "", 3*time.Second)
				sum.finishAndCount(r)
			})
		}
	})
}

// TestFaults_KilledBeforeItHearsThatThePushLanded: the ledger has the commit, and the
// agent does not know.
func TestFaults_KilledBeforeItHearsThatThePushLanded(t *testing.T) {
	needFaults(t)
	r := newRig(t, 2)
	for range 3 {
		p := r.start("first", nil)
		r.mu.Lock()
		r.pushed = func() { p.signal(syscall.SIGKILL) }
		r.mu.Unlock()
		if p.wait(); !p.killed() {
			t.Errorf("the agent ended with %v", p.err)
		}
	}
	r.finish()
}

// TestFaults_RemoteKilledInMidPush kills the server's receive-pack before it moves the
// branch, and after, so that its answer is lost.
func TestFaults_RemoteKilledInMidPush(t *testing.T) {
	needFaults(t)
	for _, hook := range []string{"pre-receive", "update", "post-receive"} {
		t.Run(hook, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2)
			left := filepath.Join(r.root, "left")
			script := fmt.Sprintf("#!/bin/sh\nif [ -s %[1]s ]; then sed -i 1d %[1]s; kill -9 $PPID; fi\n", left)
			if err := os.WriteFile(left, []byte("1\n2\n3\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(r.bare, "hooks", hook), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			p := r.start("first", nil)
			r.until("all is done", r.done)
			p.stop()
			if data, err := os.ReadFile(left); err != nil || len(data) > 0 {
				t.Errorf("the server was not killed as often as it should: %q %v", data, err)
			}
			r.finish()
		})
	}
}

// TestFaults_OverSSH kills an agent around its pushes to a real sshd.
func TestFaults_OverSSH(t *testing.T) {
	needFaults(t)
	r := newRig(t, 2)
	r.serveSSH()
	for _, point := range []string{"commit:after", "push:before", "push:after", "ack:after"} {
		r.killAt(point)
	}
	r.finish()
}

// TestFaults_ClockJumps: the wall clock is a day ahead, and back by two hours. What the
// jump passed is caught up once; nothing fires again.
func TestFaults_ClockJumps(t *testing.T) {
	needFaults(t)
	r := emptyRig(t)
	r.merge("0 6,12,13,18 * * *", noon().Add(-time.Hour))
	clock := func(ahead time.Duration) string { return clockEnv + "=" + (time.Until(noon()) + ahead).String() }
	slot := func(hours int) { r.expect(noon().Truncate(24 * time.Hour).Add(time.Duration(hours) * time.Hour)) }
	slot(12)
	r.finish(clock(0))
	for _, hours := range []int{18, 24 + 6, 24 + 12, 24 + 13} {
		slot(hours)
	}
	for _, report := range []string{"energy", "water/levels"} { // more than a day late
		r.missed = append(r.missed, dueMissed{report, noon().Truncate(time.Hour).Add(time.Hour)})
	}
	r.finish(clock(25 * time.Hour))
	for _, ahead := range []time.Duration{23 * time.Hour, 25 * time.Hour, -2 * time.Hour, 25 * time.Hour} {
		r.finish(clock(ahead))
	}
}

// TestFaults_TwoAgents kills the one of two agents that works, and then the other.
func TestFaults_TwoAgents(t *testing.T) {
	needFaults(t)
	r := newRig(t, 4)
	works, stands := r.start("first", nil), (*agentProcess)(nil)
	for _, next := range []string{"second", "first"} {
		works.said("attempt started", 0)
		stands = r.start(next, nil)
		stands.said("standing by", 0)
		works.kill()
		stands.tookOver("from a dead agent")
		works = stands
	}
	r.until("all is done", r.done)
	works.stop()
	last := r.start("second", nil) // which removes its own sandboxes
	last.said("agent started", 0)
	last.stop()
	r.judge()
}

// TestFaults_AgentsAtOnce starts two agents at the same instant, again and again.
func TestFaults_AgentsAtOnce(t *testing.T) {
	needFaults(t)
	r := newRig(t, 3)
	for range 3 {
		first, second := r.start("first", nil), r.start("second", nil)
		r.until("one of them works", func() bool {
			for _, p := range []*agentProcess{first, second} {
				data, _ := os.ReadFile(p.log)
				if strings.Contains(string(data[min(p.from, len(data)):]), "attempt started") {
					return true
				}
			}
			return false
		})
		first.kill()
		second.kill()
	}
	first, second := r.start("first", nil), r.start("second", nil)
	r.until("all is done", r.done)
	first.stop()
	second.stop()
	r.judge()
}

// TestFaults_Sleeper stops the agent that works, lets another take over and do all, and
// wakes it.
func TestFaults_Sleeper(t *testing.T) {
	needFaults(t)
	r := newRig(t, 4)
	first := r.start("first", nil)
	first.said("run finished", 0)
	second := r.start("second", nil)
	first.signal(syscall.SIGSTOP)
	r.mu.Lock()
	r.kills++ // to the successor it is dead
	r.mu.Unlock()
	second.said("agent started", 0)
	r.until("all is done", r.done)
	first.signal(syscall.SIGCONT)
	first.said("the lease was taken over", 0)
	first.said("standing by", 0)
	first.stop()
	second.stop()
	r.judge()
}

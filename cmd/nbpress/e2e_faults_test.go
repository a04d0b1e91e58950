package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"nbpress/internal/testenv"
	"nbpress/runner/runnertest"
)

// The scenarios of faults on a cluster: the same rigs, whose agents run reports as pods.
// The agents are processes of this machine, which reaches the pods at their addresses.

// newClusterRig is newRig with pods.
func newClusterRig(t *testing.T, slots int) *rig {
	t.Helper()
	c := onCluster(t)
	r := newRig(t, slots)
	r.config = r.config[:strings.Index(r.config, "executor:")] + c.executor(rigSlots)
	r.orphans = func() []string { return c.orphans() }
	return r
}

// clusterKills is how many agents are killed at random on a cluster.
const clusterKills = 8

// TestE2E_AgentsKilledAtRandom kills agents at any instant, while their pods start, run
// and end.
func TestE2E_AgentsKilledAtRandom(t *testing.T) {
	t.Parallel()
	var sum toll
	t.Cleanup(func() { sum.tell(t) })
	r := newClusterRig(t, 2)
	r.killAtRandom(clusterKills, "agent started", 6*time.Second)
	sum.finishAndCount(r)
}

// TestE2E_AgentsKilledAtEachStep kills one agent after the other around each step of an
// attempt in its pod.
func TestE2E_AgentsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	var sum toll
	t.Cleanup(func() { sum.tell(t) })
	t.Run("steps", func(t *testing.T) {
		for _, steps := range [][]string{{"claim", "sandbox", "files", "connect"}, {"execute", "output", "render", "close"}} {
			t.Run(strings.Join(steps, ","), func(t *testing.T) {
				t.Parallel()
				r := newClusterRig(t, 1)
				for _, step := range steps {
					if step != "execute" { // connect:after
						r.killAt(step + ":before")
					}
					r.killAt(step + ":after")
				}
				sum.finishAndCount(r)
			})
		}
	})
	if names := strings.Join(runnertest.Points(), " "); !strings.Contains(names, "sandbox files connect execute output render close") {
		t.Errorf("an attempt has other steps by now: %s", names)
	}
}

// TestE2E_AgentsTakeOver kills the one of two agents that works, and stops the other for
// a minute when it works: in the end each run has one manifest, and no page has changed.
func TestE2E_AgentsTakeOver(t *testing.T) {
	testenv.HeedSignals()
	t.Parallel()
	r := newClusterRig(t, 3)
	first := r.start("first", nil)
	first.said("attempt started", 0)
	second := r.start("second", nil)
	second.said("standing by", 0)
	first.kill()
	second.tookOver("from a dead agent")

	third := r.start("third", nil)
	third.said("standing by", 0)
	second.said("attempt started", 0)
	second.signal(syscall.SIGSTOP)
	slept := time.After(time.Minute)
	r.mu.Lock()
	r.kills++ // to its successor it is dead
	r.mu.Unlock()
	third.tookOver("from a stopped agent")
	r.until("all is done", r.done)
	<-slept
	second.signal(syscall.SIGCONT)
	second.said("the lease was taken over", 0)
	second.said("standing by", 0)
	second.stop()
	third.stop()
	r.judge()
}

// TestE2E_StoppedInOrder ends an agent by SIGTERM while a run is under way: it is released,
// and its pod is gone when the agent is.
func TestE2E_StoppedInOrder(t *testing.T) {
	t.Parallel()
	r := newClusterRig(t, 1)
	p := r.start("first", nil)
	p.said("attempt started", 0)
	p.stop()
	r.mu.Lock()
	r.kills++ // what was released is attempted again
	r.mu.Unlock()
	if left := r.orphans(); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
	r.finish()
}

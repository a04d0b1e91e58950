package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/runnertest"
	"nbpress/schedule"
)

// mortal is the store of an agent that dies at some of its writes, before or after they
// happened, and loses answers to others.
type mortal struct {
	runnertest.Memory
	mu     sync.Mutex // guards what follows
	random *rand.Rand
	dead   bool
	die    func()
}

func newMortal(random *rand.Rand) *mortal {
	m := &mortal{random: random, die: func() {}}
	fate := func(_ context.Context, operation, key string) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		switch chance := m.random.IntN(100); {
		case m.dead:
			return errors.New("dead")
		case operation == "get" || operation == "list":
		case chance < 1:
			m.dead = true
			m.die()
			return errors.New("killed")
		case chance < 6:
			return errors.New("the store stumbles")
		}
		return nil
	}
	m.Before, m.After = fate, fate
	return m
}

// live begins a life, which ends with its context.
func (m *mortal) live(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.die = false, cancel
	return ctx, cancel
}

// finish notes the slots that were submitted, and ends the runs of those that the cursor
// has passed.
func (m *mortal) finish(t *testing.T, name string, fired map[int64]bool) {
	t.Helper()
	_, cancel := m.live(t.Context())
	defer cancel()
	objects := m.Objects()
	var c cursor
	if err := yaml.Unmarshal([]byte(objects[cursorKey(name)]), &c); err != nil {
		t.Fatal(err)
	}
	for key, data := range objects {
		if !strings.HasPrefix(key, "slots/") {
			continue
		}
		record, err := runner.Decode[runner.SlotRecord]([]byte(data), runner.KindSlot)
		if err != nil {
			t.Fatal(err)
		}
		fired[record.ScheduledAt.Unix()] = true
		if !record.ScheduledAt.After(c.Fired) {
			_ = m.Delete(t.Context(), key) // else it finishes later
		}
	}
}

// scheduling is an agent without a repository, whose runs never end.
func scheduling(s runner.Store) *agent {
	log := slog.New(slog.DiscardHandler)
	return &agent{
		log: log, store: s, recorded: newBell(), changed: newBell(), endings: endings{},
		runner: runner.New(nil, s, runner.Options{Log: log, Alone: true}),
	}
}

// newsOf is the news of one commit with one report.
func newsOf(name string, merged time.Time, c report.Schedule, assets ...string) map[string]*newsItem {
	config := report.Config{Schedule: c, Window: report.Window{Name: "yesterday"}, Enabled: true, Languages: []string{"en"}}
	for _, id := range assets {
		config.Assets = append(config.Assets, report.Asset{ID: id, Enabled: true})
	}
	return map[string]*newsItem{name: {bundle: &report.Bundle{Name: name, Config: config}, commit: gitsync.Commit{Hash: "c1"}, merged: merged}}
}

// begin does what an agent does with its first commit.
func (a *agent) begin(ctx context.Context, items map[string]*newsItem) bool {
	if !a.adopt(ctx, items) || a.resume(ctx) != nil {
		return false
	}
	a.planner = schedule.NewPlanner(a.fire, schedule.Options{Missed: a.miss})
	a.planner.Update(a.entries(items))
	return true
}

// TestAgent_FiresOrTellsEverySlotOnceOverItsLives kills agents at their writes, and lets
// their store stumble: in the end each slot since the merge was either submitted or told
// as missed, and never both.
func TestAgent_FiresOrTellsEverySlotOnceOverItsLives(t *testing.T) {
	outages := 0
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 5))
				config := report.Schedule{
					Cron: "*/20 * * * *", Timezone: "Europe/Madrid", Overlap: "queue",
					CatchUp:     []string{"last", "none", "all"}[random.IntN(3)],
					MaxLateness: time.Duration(15+random.IntN(600)) * time.Minute,
					Jitter:      []time.Duration{0, 0, 5 * time.Minute, time.Hour}[random.IntN(4)],
				}
				merged := time.Now()
				s := newMortal(random)
				fired := map[int64]bool{}
				for time.Since(merged) < 4*24*time.Hour {
					ctx, cancel := s.live(t.Context())
					a := scheduling(s)
					if a.begin(ctx, newsOf("daily/load", merged, config, "plant-1")) {
						time.AfterFunc(time.Duration(random.Int64N(int64(6*time.Hour))), cancel)
						if err := a.planner.Run(ctx); !errors.Is(err, context.Canceled) {
							t.Fatal(err)
						}
					}
					cancel()
					s.finish(t, "daily/load", fired)
					<-time.After(time.Duration(random.Int64N(int64(3 * time.Hour))))
				}
				cron, err := schedule.Parse(config.Cron, config.Timezone)
				if err != nil {
					t.Fatal(err)
				}
				outages += checkLives(t, s.Objects(), fired, cron, merged)
			})
		})
	}
	if outages < 100 {
		t.Errorf("only %d outages", outages)
	}
}

// checkLives wants every slot up to the last one that is known to have either fired or
// been missed, and returns how many outages there were.
func checkLives(t *testing.T, objects map[string]string, fired map[int64]bool, cron schedule.Schedule, merged time.Time) int {
	t.Helper()
	var missed []runner.MissedRecord
	last := time.Unix(slices.Max(append(slices.Collect(maps.Keys(fired)), merged.Unix())), 0)
	for key, data := range objects {
		if strings.HasPrefix(key, runner.OutboxPrefix+"missed-") {
			record, err := runner.Decode[runner.MissedRecord]([]byte(data), runner.KindMissed)
			if err != nil {
				t.Fatal(err)
			}
			missed = append(missed, record)
			if record.Last.After(last) {
				last = record.Last
			}
		}
	}
	counts := make([]int, len(missed))
	slots := 0
	for at := cron.Next(merged); !at.After(last); at = cron.Next(at) {
		slots++
		times := 0
		if fired[at.Unix()] {
			times++
		}
		for i, m := range missed {
			if !at.Before(m.First) && !at.After(m.Last) {
				counts[i]++
				times++
			}
		}
		if times != 1 {
			t.Errorf("slot %v is told %d times", at, times)
		}
	}
	for i, m := range missed {
		if counts[i] != m.Count {
			t.Errorf("%d slots lie in %+v", counts[i], m)
		}
	}
	if slots < 3*24*3 || len(fired) < 50 {
		t.Errorf("too little happened: %d slots, %d fired", slots, len(fired))
	}
	return len(missed)
}

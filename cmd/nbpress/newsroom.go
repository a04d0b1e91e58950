package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"nbpress/gitsync"
	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// newsItem is a report of the newest commit.
type newsItem struct {
	bundle   *report.Bundle   // nil: broken
	problems []strict.Problem // why
	commit   gitsync.Commit
	cursor   cursor
	ended    map[string]runner.Status // of the latest slot, by asset
}

// follow asks for new commits until ctx ends. With the remote away, everything goes
// on with the last good commit.
func (a *agent) follow(ctx context.Context) error {
	if commit, ok := a.repo.Head(); ok { // from the mirror: do not wait for the remote
		if err := a.plan(ctx, commit); err != nil {
			a.log.Error("commit not read", "commit", short(commit.Hash), "error", err)
		}
	}
	away := false
	for ctx.Err() == nil {
		err := a.sync(ctx)
		if err != nil && ctx.Err() == nil && !away {
			a.log.Warn("repository is away", "error", err)
		} else if err == nil && away {
			a.log.Info("repository is back")
		}
		away = err != nil
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(a.c.Repository.Poll)):
		}
	}
	return ctx.Err()
}

// sync takes the newest commit and plans its reports, if they are not planned yet.
func (a *agent) sync(ctx context.Context) error {
	commit, _, err := a.repo.Fetch(ctx)
	if err != nil || commit.Hash == a.planned {
		return err
	}
	return a.plan(ctx, commit)
}

// plan loads every report of a commit and hands the good ones to the planner.
func (a *agent) plan(ctx context.Context, commit gitsync.Commit) error {
	tree, err := a.repo.Tree(commit)
	if err != nil {
		return err
	}
	names, err := report.Find(tree)
	if err != nil {
		return err
	}
	options, shared := reading(tree, &a.zones)
	items := map[string]*newsItem{}
	for _, name := range names {
		item := &newsItem{commit: commit}
		if item.bundle, item.problems = report.Load(tree, name, options); len(shared) > 0 {
			item.bundle, item.problems = nil, append(shared, item.problems...)
		}
		if item.bundle == nil {
			if err := a.markBroken(ctx, name, item); err != nil {
				return err
			}
		}
		items[name] = item
	}
	if err := a.adopt(ctx, items); err != nil {
		return err
	}
	a.log.Info("commit planned", "commit", short(commit.Hash), "subject", commit.Subject, "reports", len(items))
	if !a.resumed {
		if err := a.resume(ctx); err != nil {
			return err
		}
		a.resumed = true
	}
	a.planner.Update(a.entries(items))
	a.planned = commit.Hash
	a.changed.ring()
	return nil
}

// adopt makes items the reports, with their cursors.
func (a *agent) adopt(ctx context.Context, items map[string]*newsItem) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, item := range items {
		if before := a.reports[name]; before != nil {
			item.cursor, item.ended = before.cursor, before.ended
		} else if item.cursor, err = a.loadCursor(ctx, name); err != nil {
			return err
		}
		now := item.cursor.follow(item)
		if reflect.DeepEqual(now, item.cursor) {
			continue
		}
		if err := a.saveCursor(ctx, name, now); err != nil {
			return err
		}
		item.cursor = now
	}
	if err := a.dropCursors(ctx, items); err != nil {
		return err
	}
	a.reports = items
	return nil
}

// entries returns what the planner needs to know of the reports that can run.
func (a *agent) entries(items map[string]*newsItem) []schedule.Entry {
	a.mu.Lock() // cursors move as slots fire
	defer a.mu.Unlock()
	var entries []schedule.Entry
	for _, name := range slices.Sorted(maps.Keys(items)) {
		item := items[name]
		if item.bundle == nil || !item.bundle.Config.Enabled {
			continue
		}
		c := item.bundle.Config
		cron, err := a.zones.Parse(c.Schedule.Cron, c.Schedule.Timezone)
		window, windowErr := schedule.ParseWindow(c.Window.Name, c.Window.From, c.Window.To)
		if err := errors.Join(err, windowErr); err != nil {
			a.log.Error("report not planned", "report", name, "error", err) // report.Load has checked both
			continue
		}
		entries = append(entries, schedule.Entry{
			Report: name, Schedule: cron, Window: window, CatchUp: schedule.CatchUp(c.Schedule.CatchUp),
			MaxLateness: c.Schedule.MaxLateness, Since: item.cursor.since(),
		})
	}
	return entries
}

// fire submits a slot's runs. The planner offers a slot again when it failed, and a
// restarted agent may offer one that had been submitted: both do no harm.
func (a *agent) fire(ctx context.Context, slot schedule.Slot) (err error) {
	a.mu.Lock()
	item := a.reports[slot.Report]
	var due []string
	if item != nil && item.bundle != nil {
		due = item.cursor.due(item.bundle, slot.At)
	}
	a.mu.Unlock()
	if len(due) > 0 {
		if due, err = a.submit(ctx, slot, item, due); err != nil {
			return err
		}
	}
	return a.fired(ctx, slot, due)
}

// submit hands a slot to the runner, or records that it is skipped. It returns the
// assets that run.
func (a *agent) submit(ctx context.Context, slot schedule.Slot, item *newsItem, due []string) ([]string, error) {
	config := item.bundle.Config.Schedule
	record := runner.SlotRecord{
		Report: slot.Report, ScheduledAt: slot.At, Timezone: config.Timezone,
		Window:       runner.Window{FromDay: runner.Day(slot.Days.From), ToDay: runner.Day(slot.Days.To)},
		Trigger:      runner.Trigger(slot.Trigger),
		BundleCommit: item.commit.Hash, Assets: due,
	}
	if m := slot.Missed; m != nil {
		record.Missed = &runner.Missed{First: m.First, Last: m.Last, Count: m.Count}
	}
	log := a.log.With("report", slot.Report, "slot", runner.SlotName(slot.At), "trigger", slot.Trigger)
	if slot.Trigger == schedule.TriggerSchedule && config.Overlap == "skip" && a.runner.Busy(slot.Report, slot.At) {
		log.Warn("slot skipped: the one before is under way")
		return nil, a.runner.Skip(ctx, record)
	}
	if err := a.runner.Submit(ctx, runner.Slot{Record: record, Bundle: item.bundle}); err != nil {
		return nil, err
	}
	log.Info("slot fired", "runs", len(due))
	return due, nil
}

// fired moves a report's cursor past a slot.
func (a *agent) fired(ctx context.Context, slot schedule.Slot, due []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	item := a.reports[slot.Report] // of a newer commit, perhaps, than the one that fired
	if item == nil {
		return nil
	}
	item.cursor.Fired, item.cursor.Due, item.ended = slot.At, due, map[string]runner.Status{}
	a.changed.ring()
	return a.saveCursor(ctx, slot.Report, item.cursor)
}

// resume submits the slots again that an earlier life left open, each with the bundle
// of its commit, or the newest where that commit cannot be had.
func (a *agent) resume(ctx context.Context) error {
	records, err := a.runner.Open(ctx)
	if err != nil {
		return err
	}
	for _, record := range records {
		bundle, commit := a.bundleAt(record)
		if bundle == nil {
			a.log.Error("slot left open: its report is gone", "report", record.Report, "slot", runner.SlotName(record.ScheduledAt))
			continue
		}
		record.BundleCommit = commit
		if err := a.runner.Submit(ctx, runner.Slot{Record: record, Bundle: bundle}); err != nil {
			a.log.Error("slot left open", "report", record.Report, "error", err)
			continue
		}
		a.log.Info("slot resumed", "report", record.Report, "slot", runner.SlotName(record.ScheduledAt))
	}
	return nil
}

// bundleAt returns the bundle of a slot's commit, else the newest.
func (a *agent) bundleAt(record runner.SlotRecord) (*report.Bundle, string) {
	tree, err := a.repo.Tree(gitsync.Commit{Hash: record.BundleCommit})
	if err == nil {
		options, _ := reading(tree, &a.zones)
		if bundle, _ := report.Load(tree, record.Report, options); bundle != nil {
			return bundle, record.BundleCommit
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if item := a.reports[record.Report]; item != nil && item.bundle != nil {
		return item.bundle, item.commit.Hash
	}
	return nil, ""
}

// finished notes for the board how a run ended.
func (a *agent) finished(m runner.Manifest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	item := a.reports[m.Report]
	if item != nil && item.cursor.Fired.Equal(m.ScheduledAt) {
		if item.ended == nil {
			item.ended = map[string]runner.Status{}
		}
		item.ended[m.Asset] = m.Status
		a.changed.ring()
	}
}

// markBroken records a broken bundle, once for what is wrong with it: further commits
// that leave it as it is add nothing.
func (a *agent) markBroken(ctx context.Context, name string, item *newsItem) error {
	var lines []string
	for _, p := range item.problems {
		lines = append(lines, p.String())
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	mark := "broken/" + flat(name) + "/" + hex.EncodeToString(sum[:8])
	if _, err := a.store.Get(ctx, mark); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.log.Warn("bundle is invalid", "report", name, "commit", short(item.commit.Hash), "problems", len(lines), "first", lines[0])
	data, err := runner.Encode(runner.ReportRecord{
		APIVersion: runner.APIVersion, Kind: runner.KindReport, Report: name,
		SeenAt: time.Now().Truncate(time.Second), BundleCommit: item.commit.Hash, Status: runner.StatusError,
		Error: &runner.RunError{
			Code: runner.InvalidReport, Fault: runner.InvalidReport.Fault(),
			Message: mistakes(len(lines)) + " in the bundle", Advice: runner.InvalidReport.Advice(), Problems: lines,
		},
	})
	if err != nil {
		return err
	}
	if err := a.store.Put(ctx, runner.OutboxPrefix+"broken-"+flat(name)+"-"+hex.EncodeToString(sum[:8])+".yaml", data); err != nil {
		return err
	}
	a.recorded.ring()
	return a.store.Put(ctx, mark, []byte(item.commit.Hash+"\n"))
}

func mistakes(n int) string {
	if n == 1 {
		return "1 mistake"
	}
	return fmt.Sprintf("%d mistakes", n)
}

// flat makes one path segment of a report's name.
func flat(report string) string { return strings.ReplaceAll(report, "/", "~") }

func short(hash string) string { return hash[:min(len(hash), 12)] }

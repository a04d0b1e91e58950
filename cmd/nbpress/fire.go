package main

import (
	"context"
	"fmt"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// fire submits a slot's runs. The planner offers a slot again when it failed, and a
// restarted agent may offer one that had been submitted: both do no harm.
func (a *agent) fire(ctx context.Context, slot schedule.Slot) (err error) {
	a.mu.Lock()
	item, at := a.reports[slot.Report], a.cursors[slot.Report]
	a.mu.Unlock()
	var due []string
	if item != nil && item.bundle != nil {
		due = at.due(item.bundle, slot.At)
	}
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

// fired moves a report's cursor past a slot, of which these assets run, unless it is there.
func (a *agent) fired(ctx context.Context, slot schedule.Slot, due []string) error {
	a.desk.Lock()
	defer a.desk.Unlock()
	a.mu.Lock()
	c, ok := a.cursors[slot.Report]
	a.mu.Unlock()
	if !ok || !slot.At.After(c.Fired) {
		return nil // the report is gone since it was planned, or the slot was resumed
	}
	c.Fired = slot.At
	if len(due) > 0 {
		c.Slot, c.Due = slot.At, due
	}
	if err := a.saveCursor(ctx, slot.Report, c); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cursors[slot.Report] = c
	a.changed.ring()
	return nil
}

// finished notes for the board and the metrics how a run ended.
func (a *agent) finished(m runner.Manifest) {
	a.metrics.finished(m)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.endings.note(m)
	a.changed.ring()
}

// resume submits the slots again that an earlier life left open, each with the bundle
// of its commit, or the newest where that commit cannot be had. That life may have died
// before it moved the cursor: the planner would take an open slot for a missed one.
func (a *agent) resume(ctx context.Context) error {
	records, err := a.runner.Open(ctx)
	if err != nil {
		return err
	}
	for _, record := range records {
		if record.Request == "" {
			if err := a.fired(ctx, schedule.Slot{Report: record.Report, At: record.ScheduledAt}, record.Assets); err != nil {
				return err
			}
		}
		log := a.log.With("report", record.Report, "slot", runner.SlotName(record.ScheduledAt))
		if err := a.goOn(ctx, record); err != nil {
			log.Error("slot left open", "error", err)
			continue
		}
		log.Info("slot resumed")
	}
	return nil
}

// goOn submits a slot with the bundle of its commit, or the newest. Where there is none
// any more, nothing of the slot can run.
func (a *agent) goOn(ctx context.Context, record runner.SlotRecord) error {
	bundle, commit := a.bundleAt(record)
	if bundle == nil {
		return a.runner.Fail(ctx, record, &runner.Failure{
			Code: runner.InvalidReport, Message: fmt.Sprintf("the report is gone from the repository, and its commit %s is not to be had any more", short(record.BundleCommit)),
		})
	}
	record.BundleCommit = commit
	return a.runner.Submit(ctx, runner.Slot{Record: record, Bundle: bundle})
}

// bundleAt returns the bundle of a slot's commit, else the newest.
func (a *agent) bundleAt(record runner.SlotRecord) (*report.Bundle, string) {
	if bundle := a.bundleOf(record.Report, record.BundleCommit); bundle != nil {
		return bundle, record.BundleCommit
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if newest := a.reports[record.Report]; newest != nil && newest.bundle != nil {
		return newest.bundle, newest.commit.Hash
	}
	return nil, ""
}

// bundleOf returns the bundle of a commit, nil where that is not to be had.
func (a *agent) bundleOf(name, commit string) *report.Bundle {
	a.mu.Lock()
	newest := a.reports[name]
	a.mu.Unlock()
	if newest != nil && newest.bundle != nil && newest.commit.Hash == commit {
		return newest.bundle
	}
	tree, err := a.repo.Tree(gitsync.Commit{Hash: commit})
	if err != nil {
		return nil
	}
	options, _ := a.reading(tree)
	bundle, _ := report.Load(tree, name, options)
	return bundle
}

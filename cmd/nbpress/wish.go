package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/request"
	"nbpress/schedule"
)

// maxWish is how many runs one request is about at most.
const maxWish = 10_000

// wish is a request on its way to an answer.
type wish struct {
	*request.Request
	by runner.Asked
	at time.Time // when it is answered

	item  *newsItem
	cron  schedule.Schedule
	zone  *time.Location
	plan  accepted
	wrong []strict.Problem

	records map[moment][]int          // the plan's slots by what they have in common: indices
	bundles map[string]*report.Bundle // the report as it was, by commit; nil: not to be had
}

// answer returns what all answers to the wish have in common.
func (w *wish) answer() runner.Answer {
	return runner.Answer{
		APIVersion: runner.APIVersion, Kind: runner.KindAnswer, Report: w.Report, Asked: w.by, AnsweredAt: w.at,
	}
}

func (w *wish) refuse(pointer, what, do string) {
	w.wrong = append(w.wrong, w.Problem(pointer, what, do))
}

// grant works out what a request comes to: which runs, of which generation. The problems
// are the request's, the error is the store's or the ledger's.
func (a *agent) grant(ctx context.Context, w wish) (accepted, []strict.Problem, error) {
	w.zone = time.UTC
	w.records, w.bundles = map[moment][]int{}, map[string]*report.Bundle{}
	if w.Want() != request.Cancel {
		a.check(&w)
	}
	if len(w.wrong) > 0 {
		return accepted{}, w.wrong, nil
	}
	w.at = w.at.In(w.zone)
	w.plan.Answer = w.answer()
	w.plan.Answer.Status = runner.AnswerAccepted
	var err error
	switch w.Want() {
	case request.OnDemand:
		a.grantOnDemand(&w)
	case request.Backfill:
		err = a.grantBackfill(ctx, &w)
	case request.Rerun:
		err = a.grantRerun(ctx, &w)
	case request.Cancel:
		err = a.grantCancel(ctx, &w)
	}
	answer := w.plan.Answer
	if named := len(answer.Runs) + len(answer.Canceled) + len(answer.LeftOut); named == 0 && len(w.wrong) == 0 {
		w.refuse("/"+string(w.Want()), "nothing fits", "`nbpress list` shows the runs that there are, `nbpress check` when the report fires")
	} else if named > maxWish {
		w.refuse("/"+string(w.Want()), fmt.Sprintf("more than %d runs", maxWish), "ask for less at a time")
	}
	return w.plan, w.wrong, err
}

// check holds a request against its report.
func (a *agent) check(w *wish) {
	a.mu.Lock()
	var names []string
	for name := range a.reports {
		names = append(names, name)
	}
	w.item = a.reports[w.Report]
	a.mu.Unlock()
	switch {
	case w.item == nil:
		do := "write its folder's path in the repository"
		if near := strict.Closest(w.Report, names); near != "" {
			do = fmt.Sprintf("did you mean %q?", near)
		}
		w.refuse("/report", fmt.Sprintf("no report is called %s", strict.Quote(w.Report)), do)
		return
	case w.item.bundle == nil:
		w.refuse("/report", fmt.Sprintf("the report is broken: %s", w.item.problems[0]), "mend it and merge, then this file again")
		return
	}
	config := w.item.bundle.Config
	cron, err := a.zones.Parse(config.Schedule.Cron, config.Schedule.Timezone)
	if err != nil { // report.Load has checked it
		w.refuse("/report", err.Error(), "mend the report")
		return
	}
	w.cron, w.zone = cron, cron.Location()
	for i, id := range w.Assets {
		if _, ok := w.item.bundle.Asset(id); !ok {
			w.refuse(strict.Pointer("assets", i), fmt.Sprintf("the report has no asset %s", strict.Quote(id)), "write an id of its config.json")
		}
	}
	for i, language := range w.Languages {
		if !slices.Contains(config.Languages, language) {
			w.refuse(strict.Pointer("languages", i), fmt.Sprintf("the report has no language %s", strict.Quote(language)),
				"write one of "+strings.Join(config.Languages, ", "))
		}
	}
}

// assets returns those that are asked for: by name, or all that are enabled.
func (w *wish) assets() []string {
	if len(w.Assets) > 0 {
		return w.Assets
	}
	var all []string
	for _, asset := range w.item.bundle.Config.Assets {
		if asset.Enabled {
			all = append(all, asset.ID)
		}
	}
	return all
}

// grantOnDemand makes a slot of the request's own.
func (a *agent) grantOnDemand(w *wish) {
	own := runner.RequestID(w.by.Request)
	record := runner.SlotRecord{
		Report: w.Report, ScheduledAt: w.at, Timezone: w.zone.String(), OnDemand: own,
		Window:  runner.Window{FromDay: runner.Day(w.Window.FromDay), ToDay: runner.Day(w.Window.ToDay)},
		Trigger: runner.TriggerRequest, Asked: w.by, BundleCommit: w.item.commit.Hash,
		Assets: w.assets(), Languages: w.Languages,
	}
	w.plan.Slots = append(w.plan.Slots, record)
	for _, asset := range record.Assets {
		w.plan.Answer.Runs = append(w.plan.Answer.Runs, runner.AnsweredRun{
			ID: runner.NewOnDemandID(w.Report, asset, own), Generation: 1, Asset: asset, ScheduledAt: w.at,
		})
	}
}

// firstSlot is the first day that can be asked for: the ledger's branches are those of
// this millennium, and further back zones have odd seconds.
const firstSlot = "2000-01-01"

// grantBackfill takes the slots of the schedule on the days asked for, as far as they
// have passed.
func (a *agent) grantBackfill(ctx context.Context, w *wish) error {
	if w.Slots.From < firstSlot {
		w.refuse("/slots/from", "the ledger begins with "+firstSlot, "write a later day")
		return nil
	}
	from, err := w.Slots.From.In(w.zone)
	to, err2 := w.Slots.To.In(w.zone)
	if err != nil || err2 != nil { // the schema has checked them
		return fmt.Errorf("days %s to %s", w.Slots.From, w.Slots.To)
	}
	config := w.item.bundle.Config
	window, err := schedule.ParseWindow(config.Window.Name, config.Window.From, config.Window.To)
	assets := w.assets()
	if err != nil || len(assets) == 0 {
		return err
	}
	// A day may begin at one o'clock, and an hour of it may come after the next day's first
	// minute: the slot's own date decides.
	end := to.AddDate(0, 0, 2)
	for at := w.cron.Next(from.AddDate(0, 0, -1)); !at.IsZero() && at.Before(end) && !at.After(w.at); at = w.cron.Next(at) {
		if day := request.Day(at.Format(time.DateOnly)); day < w.Slots.From || day > w.Slots.To {
			continue
		}
		days := window.Days(at)
		record := runner.SlotRecord{
			Report: w.Report, ScheduledAt: at, Timezone: w.zone.String(),
			Window:       runner.Window{FromDay: runner.Day(days.From), ToDay: runner.Day(days.To)},
			BundleCommit: w.item.commit.Hash, Languages: w.Languages,
		}
		if len(w.plan.Answer.Runs)+len(w.plan.Answer.LeftOut) > maxWish {
			return nil
		}
		ids := make([]runner.RunID, len(assets))
		for i, asset := range assets {
			ids[i] = runner.NewRunID(w.Report, asset, at)
		}
		err := a.runner.Histories(ctx, ids, func(i int, past runner.History) error {
			w.grantRun(record, assets[i], ids[i], past)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// grantRun adds a run of a slot to the plan, as the generation that is next, or says why
// it is left out. A run that there was stays where it was, over the days that it had,
// whatever the report's zone and window are now.
func (w *wish) grantRun(record runner.SlotRecord, asset string, id runner.RunID, past runner.History) {
	run := runner.AnsweredRun{ID: id, Generation: len(past.Ended) + 1, Asset: asset, ScheduledAt: record.ScheduledAt}
	switch {
	case past.Open:
		run.Why = "it is under way"
	case past.Completed() && !w.Force:
		run.Why = "it is completed; `force: true` runs it again"
	}
	if run.Why != "" {
		run.Generation = 0
		w.plan.Answer.LeftOut = append(w.plan.Answer.LeftOut, run)
		return
	}
	if len(past.Ended) > 0 {
		first := past.Ended[0]
		record.ScheduledAt, record.Timezone, record.Window = first.ScheduledAt, "", first.Window
		run.ScheduledAt = first.ScheduledAt
	}
	w.plan.Answer.Runs = append(w.plan.Answer.Runs, run)
	w.add(record, asset, run.Generation)
}

// moment is what the records of one slot have in common.
type moment struct {
	at       int64 // Unix seconds
	onDemand string
}

// add puts a run into the record of its slot, and of what else records tell apart.
func (w *wish) add(record runner.SlotRecord, asset string, generation int) {
	record.Trigger, record.Asked = runner.TriggerRequest, w.by
	slots, when := &w.plan.Slots, moment{record.ScheduledAt.Unix(), record.OnDemand}
	known := w.records[when]
	i := slices.IndexFunc(known, func(i int) bool {
		r := &(*slots)[i]
		return r.Slot() == record.Slot() && r.Window == record.Window &&
			r.BundleCommit == record.BundleCommit && slices.Equal(r.Languages, record.Languages)
	})
	if i < 0 {
		record.Part = len(known)
		i, known = len(known), append(known, len(*slots))
		w.records[when], *slots = known, append(*slots, record)
	}
	slot := &(*slots)[known[i]]
	slot.Assets = append(slot.Assets, asset)
	if generation > 1 {
		if slot.Generations == nil {
			slot.Generations = map[string]int{}
		}
		slot.Generations[asset] = generation
	}
}

// grantCancel looks whether the runs are under way.
func (a *agent) grantCancel(ctx context.Context, w *wish) error {
	return a.runner.Histories(ctx, runIDs(w.Cancel), func(i int, past runner.History) error {
		id := w.Cancel[i]
		run := runner.AnsweredRun{ID: runner.RunID(id)}
		switch {
		case past.Open:
			w.plan.Answer.Canceled = append(w.plan.Answer.Canceled, run)
			w.plan.Answer.Report = past.Report
		case past.Report == "":
			w.refuse(strict.Pointer("cancel", i), "no run has this id", "look for it in the agent's log, or name it report/asset/SLOT")
		default:
			w.leaveOut(id, fmt.Sprintf("it has ended: %s", past.Status()))
			w.plan.Answer.Report = past.Report
		}
		return nil
	})
}

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
	"nbpress/runner/request"
)

// grantRerun takes runs that ended, over the days that they had. The ledger only says
// which ones there may be: whatever somebody wrote there, the store's manifests count.
func (a *agent) grantRerun(ctx context.Context, w *wish) error {
	ids, listed := w.Runs.IDs, len(w.Runs.IDs) > 0
	if !listed {
		var err error
		if ids, err = a.fitting(ctx, w); err != nil {
			return err
		}
	}
	return a.runner.Histories(ctx, runIDs(ids), func(i int, past runner.History) error {
		id := ids[i]
		pointer := strict.Pointer("runs", "ids", i)
		switch known := len(past.Ended) > 0 || past.Open; {
		case !known && !listed:
			w.leaveOut(id, "the ledger has a manifest of it that is not ours: the store knows no such run")
		case !known:
			w.refuse(pointer, "no run has this id", "`nbpress list` shows them")
		case past.Report != w.Report && !listed:
			w.leaveOut(id, fmt.Sprintf("the ledger has a manifest of it that is not ours: the run is of the report %s", strict.Quote(past.Report)))
		case past.Report != w.Report:
			w.refuse(pointer, fmt.Sprintf("the run is of the report %s", strict.Quote(past.Report)), "make a request for each report")
		case past.Open && len(past.Ended) == 0:
			w.leaveOut(id, "it is under way")
		case !listed && !w.fits(past):
		default:
			a.grantAgain(w, past)
		}
		return nil
	})
}

func runIDs(texts []string) []runner.RunID {
	ids := make([]runner.RunID, len(texts))
	for i, text := range texts {
		ids[i] = runner.RunID(text)
	}
	return ids
}

func (w *wish) leaveOut(id, why string) {
	w.plan.Answer.LeftOut = append(w.plan.Answer.LeftOut, runner.AnsweredRun{ID: runner.RunID(id), Why: why})
}

// fits reports whether a run is one of those described.
func (w *wish) fits(past runner.History) bool {
	first := past.Ended[0]
	status := past.Status()
	switch {
	case first.ScheduledAt.In(w.zone).Format(time.DateOnly) < string(w.Runs.Since):
		return false
	case len(w.Assets) > 0 && !slices.Contains(w.Assets, first.Asset):
		return false
	case w.Runs.Status != "":
		return string(status) == w.Runs.Status
	}
	return w.Force || status != runner.StatusCompleted
}

// asItWas returns the report with which a run was made, nil where it is not to be had.
func (a *agent) asItWas(w *wish, m runner.Manifest) *report.Bundle {
	bundle, known := w.bundles[m.BundleCommit]
	if !known {
		bundle = a.bundleOf(m.Report, m.BundleCommit)
		w.bundles[m.BundleCommit] = bundle
	}
	return bundle
}

// maxLooked is how many runs are looked at, at most, for those that fit.
const maxLooked = 100_000

// fitting lists the ids that manifests of the ledger have, of the report's slots on
// the day asked for and later.
func (a *agent) fitting(ctx context.Context, w *wish) ([]string, error) {
	since, err := w.Runs.Since.In(w.zone)
	if err != nil { // the schema has checked it
		return nil, err
	}
	var ids []string
	seen := map[string]bool{}
	view := ledgerView{ledger: a.ledger}
	only := sieve{
		first: monthBranch(since.AddDate(0, 0, -1)), // a slot's own clock may be of another zone
		path:  func(p string) bool { return reportOf(p) == w.Report },
	}
	err = view.runs(ctx, only, func(d document) bool {
		id := string(d.run.ID)
		switch {
		case seen[id]:
		case !d.run.ID.Valid():
			w.leaveOut("", fmt.Sprintf("the ledger's %s is not ours: %s is no run's id", d.path, strict.Quote(id)))
		default:
			ids = append(ids, id)
		}
		seen[id] = true
		return len(seen) <= maxLooked
	})
	if len(seen) > maxLooked {
		w.refuse("/runs/since", fmt.Sprintf("there are more than %d runs since then", maxLooked), "write a later day, or name the runs")
		return nil, err
	}
	return ids, err
}

// grantAgain adds the next generation of a run that has ended.
func (a *agent) grantAgain(w *wish, past runner.History) {
	m := past.Ended[0]
	record := runner.SlotRecord{
		Report: m.Report, ScheduledAt: m.ScheduledAt, OnDemand: m.OnDemand, Window: m.Window,
		BundleCommit: w.item.commit.Hash, Languages: w.Languages,
	}
	bundle := w.item.bundle
	if w.Commit == request.CommitSame {
		record.BundleCommit = m.BundleCommit
		if bundle = a.asItWas(w, m); bundle == nil {
			w.leaveOut(string(m.ID), fmt.Sprintf("its commit %s is not to be had any more; `commit: newest` takes the report as it is", short(m.BundleCommit)))
			return
		}
	}
	asset, ok := bundle.Asset(m.Asset)
	if !ok {
		w.leaveOut(string(m.ID), fmt.Sprintf("the report has no asset %s any more", strict.Quote(m.Asset)))
		return
	}
	if len(w.Languages) == 0 && m.OnDemand != "" { // it may have been asked for in some of them
		have := bundle.AssetLanguages(asset)
		record.Languages = slices.DeleteFunc(slices.Clone(m.Languages), func(l string) bool { return !slices.Contains(have, l) })
	}
	w.grantRun(record, m.Asset, m.ID, past)
}

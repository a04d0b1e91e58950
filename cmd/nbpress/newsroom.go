package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"nbpress/gitsync"
	"nbpress/internal/strict"
	"nbpress/runner/report"
	"nbpress/schedule"
)

// newsItem is a report of the newest commit. It is not changed once it is made.
type newsItem struct {
	bundle   *report.Bundle   // nil: broken
	problems []strict.Problem // why
	commit   gitsync.Commit
	merged   time.Time // when the agent takes the commit to have been merged
}

// awayError is an error of the repository's remote.
type awayError struct{ error }

func isAway(err error) bool {
	var away awayError
	return errors.As(err, &away)
}

// follow asks for new commits until ctx ends: as often as configured, and at once when
// a webhook says so. Deliveries get lost, so they do not replace the poll. With the
// remote away, everything goes on with the last good commit.
func (a *agent) follow(ctx context.Context) error {
	if commit, ok := a.first(ctx); ok {
		if err := a.plan(ctx, commit); err != nil {
			a.log.Error("commit not planned", "commit", short(commit.Hash), "error", err)
		}
	}
	away := false
	for ctx.Err() == nil {
		err := a.sync(ctx)
		switch gone := isAway(err); {
		case ctx.Err() != nil:
		case err != nil && !gone:
			a.log.Error("commit not planned", "error", err)
		case gone && !away:
			a.log.Warn("repository is away", "error", err)
		case away && !gone:
			a.log.Info("repository is back")
		}
		away = isAway(err)
		if err == nil {
			if err := a.answerRequests(ctx); err != nil && ctx.Err() == nil {
				a.log.Error("requests not answered", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-a.pushed:
		case <-time.After(time.Duration(a.c.Repository.Poll)):
		}
	}
	return ctx.Err()
}

// firstFetch is how long the agent waits for the remote before it goes by its mirror.
const firstFetch = 5 * time.Second

// first returns the commit to begin with: the newest, or the mirror's where the remote
// does not answer soon. The mirror may be old: another agent was at work meanwhile, or
// none.
func (a *agent) first(ctx context.Context) (gitsync.Commit, bool) {
	soon, cancel := context.WithTimeout(ctx, firstFetch)
	defer cancel()
	if commit, err := a.fetch(soon); err == nil {
		return commit, true
	}
	return a.repo.Head()
}

// fetch asks the remote for the newest commit.
func (a *agent) fetch(ctx context.Context) (gitsync.Commit, error) {
	commit, _, err := a.repo.Fetch(ctx)
	a.synced.note(ctx, err)
	return commit, err
}

// sync takes the newest commit and plans its reports, if they are not planned yet.
func (a *agent) sync(ctx context.Context) error {
	commit, err := a.fetch(ctx)
	if err != nil {
		return awayError{err}
	}
	if commit.Hash != a.planned {
		err = a.plan(ctx, commit)
	}
	a.asked = time.Now()
	return err
}

// plan loads every report of a commit and hands the good ones to the planner.
func (a *agent) plan(ctx context.Context, commit gitsync.Commit) error {
	items, err := a.load(commit)
	if err != nil {
		return err
	}
	whole := a.adopt(ctx, items)
	if err := a.markBroken(ctx, items); err != nil {
		a.log.Error("broken bundles not recorded", "error", err)
		whole = false
	}
	a.log.Info("commit planned", "commit", short(commit.Hash), "subject", commit.Subject, "reports", len(items))
	if !a.resumed {
		if err := a.resume(ctx); err != nil {
			return err
		}
		a.resumed = true
	}
	a.planner.Update(a.entries(items))
	if a.changed.ring(); whole { // else the next poll plans it again
		a.planned = commit.Hash
	}
	return nil
}

// load reads every report of a commit.
func (a *agent) load(commit gitsync.Commit) (map[string]*newsItem, error) {
	tree, err := a.repo.Tree(commit)
	if err != nil {
		return nil, err
	}
	names, err := report.Find(tree)
	if err != nil {
		return nil, err
	}
	options, shared := a.reading(tree)
	items := map[string]*newsItem{}
	for _, name := range names {
		item := &newsItem{commit: commit, merged: a.mergedAt(commit)}
		if item.bundle, item.problems = report.Load(tree, name, options); len(shared) > 0 {
			item.bundle, item.problems = nil, strict.Sort(append(slices.Clone(shared), item.problems...))
		}
		items[name] = item
	}
	return items, nil
}

// mergedAt says when a commit came to the branch: when it was made, or where we were
// watching, not before we last saw another one there. A clock that goes ahead may not
// hold reports back.
func (a *agent) mergedAt(commit gitsync.Commit) time.Time {
	merged := commit.Time
	if a.planned != "" && a.asked.After(merged) {
		merged = a.asked
	}
	if now := time.Now(); merged.After(now) {
		merged = now
	}
	return merged.Truncate(time.Second)
}

// adopt makes items the reports, with their cursors. A report whose cursor cannot be
// had is left out; the result then is false, and so it is where one was not saved.
func (a *agent) adopt(ctx context.Context, items map[string]*newsItem) (whole bool) {
	a.desk.Lock()
	defer a.desk.Unlock()
	a.mu.Lock()
	known := maps.Clone(a.cursors)
	a.mu.Unlock()
	cursors := map[string]cursor{}
	var errs []error
	for name, item := range items {
		before, ok := known[name]
		if !ok {
			var err error
			if before, err = a.loadCursor(ctx, name); err != nil {
				errs = append(errs, err)
				delete(items, name)
				continue
			}
		}
		cursors[name] = before.follow(item)
		if !cursors[name].equal(before) {
			errs = append(errs, a.saveCursor(ctx, name, cursors[name]))
		}
	}
	errs = append(errs, a.dropCursors(ctx, items))
	err := errors.Join(errs...)
	if err != nil {
		a.log.Error("cursors not in order", "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reports, a.cursors = items, cursors
	return err == nil
}

// entries returns what the planner needs to know of the reports that can run.
func (a *agent) entries(items map[string]*newsItem) []schedule.Entry {
	a.mu.Lock()
	cursors := maps.Clone(a.cursors)
	a.mu.Unlock()
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
			MaxLateness: c.Schedule.MaxLateness, Jitter: c.Schedule.Jitter, Since: cursors[name].since(),
		})
	}
	return entries
}

func short(hash string) string { return hash[:min(len(hash), 12)] }

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"nbpress/gitsync"
	"nbpress/runner"
)

// The board's branch and what stands on it.
const (
	boardBranch  = "runs/status"
	boardFile    = "README.md"
	cursorsFile  = "cursors.yaml"
	boardPause   = 30 * time.Second
	overdueAfter = 5 * time.Minute
)

// keepBoard posts the board when it would look different, but not all the time.
func (a *agent) keepBoard(ctx context.Context) error {
	overdue := time.NewTicker(overdueAfter) // what does not start changes nothing by itself
	defer overdue.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-overdue.C:
		case <-a.changed:
		}
		pause := max(boardPause, a.boardNow(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// boardNow posts the board if the ledger can be reached within a short time. It returns
// how long to leave the ledger alone then.
func (a *agent) boardNow(ctx context.Context) (pause time.Duration) {
	post, cancel := context.WithTimeout(ctx, landTimeout)
	defer cancel()
	err := a.postBoard(post)
	if ctx.Err() != nil {
		return 0
	}
	if err != nil {
		a.changed.ring()
	}
	_, pause = a.posting.after(err, a.log, "the board is not posted")
	return pause
}

// postBoard commits the board and the cursors, if they say something new. Before the
// first commit is planned there is nothing to say, nor once another agent works.
func (a *agent) postBoard(ctx context.Context) error {
	a.mu.Lock()
	planned := a.reports != nil
	a.mu.Unlock()
	if !planned || !a.leads() {
		return nil
	}
	rows, cursors, err := a.boardRows(ctx)
	if err != nil {
		return storeError{err}
	}
	data, err := runner.Encode(cursors)
	if err != nil {
		return err
	}
	shown := string(gitsync.Board(rows, time.Time{})) + string(data)
	if shown == a.posted {
		return nil
	}
	now := time.Now()
	_, err = a.ledger.Commit(ctx, gitsync.Change{
		Branch:  boardBranch,
		Files:   map[string][]byte{boardFile: gitsync.Board(rows, now), cursorsFile: data},
		Subject: fmt.Sprintf("Status at %s", now.UTC().Format("2006-01-02 15:04 UTC")),
	})
	a.landed.note(ctx, err)
	if err == nil {
		a.posted = shown
	}
	return err
}

// boardRows returns a row for each report, and all cursors.
func (a *agent) boardRows(ctx context.Context) ([]gitsync.BoardRow, map[string]cursor, error) {
	a.mu.Lock()
	items, cursors := maps.Clone(a.reports), maps.Clone(a.cursors)
	a.mu.Unlock()
	var rows []gitsync.BoardRow
	for _, name := range slices.Sorted(maps.Keys(items)) {
		ended, err := a.ended(ctx, name, cursors[name])
		if err != nil {
			return nil, nil, err
		}
		next, _ := a.planner.Next(name)
		row := a.boardRow(name, items[name], cursors[name], ended, next)
		if row.Pages, row.PagesAt, err = a.pages(ctx, name, items[name].bundle); err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return rows, cursors, nil
}

// boardRow shows a report: its latest slot, how the slot's runs ended, by asset, and
// when it fires next.
func (a *agent) boardRow(name string, item *newsItem, c cursor, ended map[string]result, next time.Time) gitsync.BoardRow {
	row := gitsync.BoardRow{Report: name, Slot: c.Slot, Next: next}
	row.Off = item.bundle != nil && !item.bundle.Config.Enabled
	by := map[runner.Status]int{}
	for _, asset := range c.Due {
		by[ended[asset].status]++
	}
	failed := by[runner.StatusError]
	row.Counts = []gitsync.Count{
		{Status: string(runner.StatusCompleted), Runs: by[runner.StatusCompleted]},
		{Status: string(runner.StatusError), Runs: failed},
		{Status: string(runner.StatusCanceled), Runs: by[runner.StatusCanceled]},
		{Status: "under way", Runs: by[""]},
	}
	unrecorded := ""
	if n, why := a.declined.count(name); n > 0 {
		unrecorded = fmt.Sprintf("the ledger takes %d of its documents not: %s", n, why)
	}
	switch {
	case item.bundle == nil:
		row.Trouble, row.Detail = gitsync.Broken, fmt.Sprintf("%s, the first: %s", mistakes(len(item.problems)), item.problems[0])
	case row.Off: // somebody has seen to it
	case !next.IsZero() && time.Since(next) > overdueAfter:
		row.Trouble, row.Detail = gitsync.Overdue, "due since "+next.Format("2006-01-02 15:04 -0700")
	case failed > 0:
		row.Trouble, row.Detail = gitsync.Failed, fmt.Sprintf("%d of %d runs", failed, len(c.Due))
	case unrecorded != "":
		row.Trouble, row.Detail = gitsync.Declined, unrecorded
	}
	if unrecorded != "" && row.Trouble == gitsync.Failed {
		row.Detail += "; " + unrecorded
	}
	if item.bundle != nil {
		row.Title = item.bundle.Config.Title
		if zone, err := time.LoadLocation(item.bundle.Config.Schedule.Timezone); err == nil && !row.Slot.IsZero() {
			row.Slot = row.Slot.In(zone)
		}
	}
	if !c.Slot.IsZero() { // by the zone that it fired in, as in the ledger
		row.Where = a.slotLink(name, c.Slot)
	}
	if row.Trouble == gitsync.Failed {
		row.Failed, row.More = a.failedLinks(name, c.Slot, c.Due, ended)
	}
	return row
}

// endings says of each report how the runs of its latest slot ended.
type endings map[string]*ending

type ending struct {
	slot  time.Time
	by    map[string]result // asset
	whole bool              // by holds also what an earlier life saw
}

// result is how a run stands: completed once a generation was, else as the last ended.
// The zero value is one that has not ended.
type result struct {
	status     runner.Status
	generation int
}

// of returns a report's ending for a slot, a new one where it had another.
func (e endings) of(report string, slot time.Time) *ending {
	if e[report] == nil || !e[report].slot.Equal(slot) {
		e[report] = &ending{slot: slot, by: map[string]result{}}
	}
	return e[report]
}

// note takes a run in, unless it is of an older slot or of none of the schedule's. A
// rerun that failed does not hide that the run completed.
func (e endings) note(m runner.Manifest) {
	if m.OnDemand != "" {
		return
	}
	if known := e[m.Report]; known == nil || !m.ScheduledAt.Before(known.slot) {
		by := e.of(m.Report, m.ScheduledAt).by
		if by[m.Asset].status != runner.StatusCompleted {
			by[m.Asset] = result{m.Status, m.Generation}
		}
	}
}

// ended returns how the runs of a report's latest slot ended, by asset. What an earlier
// life of the agent saw end it reads from the store, once.
func (a *agent) ended(ctx context.Context, name string, c cursor) (map[string]result, error) {
	a.mu.Lock()
	whole := c.Slot.IsZero() || a.endings.of(name, c.Slot).whole
	a.mu.Unlock()
	stored := map[string]result{}
	if !whole {
		var err error
		if stored, err = a.recall(ctx, name, c); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.endings.of(name, c.Slot)
	for asset, r := range stored {
		if e.by[asset].status == "" { // what ended meanwhile is newer
			e.by[asset] = r
		}
	}
	e.whole = true
	return maps.Clone(e.by), nil
}

// recall reads from the store how the runs of a report's latest slot ended, by asset.
func (a *agent) recall(ctx context.Context, name string, c cursor) (map[string]result, error) {
	stored := map[string]result{}
	ids := make([]runner.RunID, len(c.Due))
	for i, asset := range c.Due {
		ids[i] = runner.NewRunID(name, asset, c.Slot)
	}
	err := a.runner.Histories(ctx, ids, func(i int, past runner.History) error {
		if len(past.Ended) > 0 {
			stored[c.Due[i]] = result{past.Status(), past.Ended[len(past.Ended)-1].Generation}
		}
		return nil
	})
	return stored, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.changed:
		}
		a.changed.ring()
		a.boardNow(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(boardPause):
		}
	}
}

// boardNow posts the board if it has changed and the ledger can be reached.
func (a *agent) boardNow(ctx context.Context) {
	select {
	case <-a.changed:
	default:
		return
	}
	post, cancel := context.WithTimeout(ctx, landTimeout)
	defer cancel()
	if err := a.postBoard(post); err != nil {
		a.changed.ring()
		if ctx.Err() == nil {
			a.log.Warn("board not posted", "error", err)
		}
	}
}

// postBoard commits the board and the cursors.
func (a *agent) postBoard(ctx context.Context) error {
	rows, cursors, err := a.boardRows(ctx)
	if err != nil {
		return err
	}
	data, err := runner.Encode(cursors)
	if err != nil {
		return err
	}
	now := time.Now()
	_, err = a.ledger.Commit(ctx, gitsync.Change{
		Branch:  boardBranch,
		Files:   map[string][]byte{boardFile: gitsync.Board(rows, now), cursorsFile: data},
		Subject: fmt.Sprintf("Status at %s", now.UTC().Format("2006-01-02 15:04 UTC")),
	})
	return err
}

// boardRows returns a row for each report, and all cursors.
func (a *agent) boardRows(ctx context.Context) ([]gitsync.BoardRow, map[string]cursor, error) {
	a.mu.Lock()
	items := maps.Clone(a.reports)
	a.mu.Unlock()
	var rows []gitsync.BoardRow
	cursors := map[string]cursor{}
	for _, name := range slices.Sorted(maps.Keys(items)) {
		row, at, err := a.boardRow(ctx, name, items[name])
		if err != nil {
			return nil, nil, err
		}
		rows, cursors[name] = append(rows, row), at
	}
	return rows, cursors, nil
}

func (a *agent) boardRow(ctx context.Context, name string, item *newsItem) (gitsync.BoardRow, cursor, error) {
	if err := a.recall(ctx, name, item); err != nil {
		return gitsync.BoardRow{}, cursor{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	row := gitsync.BoardRow{Report: name, Slot: item.cursor.Fired}
	counts := map[runner.Status]int{}
	for _, status := range item.ended {
		counts[status]++
	}
	under := len(item.cursor.Due) - counts[runner.StatusCompleted] - counts[runner.StatusError]
	row.Counts = []gitsync.Count{
		{Status: string(runner.StatusCompleted), Runs: counts[runner.StatusCompleted]},
		{Status: string(runner.StatusError), Runs: counts[runner.StatusError]},
		{Status: "under way", Runs: under},
	}
	if next, ok := a.planner.Next(name); ok {
		row.Next = next
		if late := time.Since(next); late > overdueAfter {
			row.Trouble, row.Detail = gitsync.Overdue, fmt.Sprintf("due since %s", next.Format("2006-01-02 15:04 -0700"))
		}
	}
	if counts[runner.StatusError] > 0 {
		row.Trouble, row.Detail = gitsync.Failed, fmt.Sprintf("%d of %d runs", counts[runner.StatusError], len(item.cursor.Due))
	}
	if item.bundle == nil {
		row.Trouble, row.Detail = gitsync.Broken, fmt.Sprintf("%s, the first: %s", mistakes(len(item.problems)), item.problems[0])
	} else {
		row.Title = item.bundle.Config.Title
		if zone, err := time.LoadLocation(item.bundle.Config.Schedule.Timezone); err == nil && !row.Slot.IsZero() {
			row.Slot = row.Slot.In(zone)
		}
	}
	if !row.Slot.IsZero() {
		row.Where = monthBranch(row.Slot) + ":" + slotPath(name, row.Slot)
	}
	return row, item.cursor, nil
}

// recall reads from the store how the latest slot's runs ended, where an earlier life
// of the agent saw them end.
func (a *agent) recall(ctx context.Context, name string, item *newsItem) error {
	a.mu.Lock()
	known, at, due := item.ended != nil, item.cursor.Fired, item.cursor.Due
	a.mu.Unlock()
	if known || at.IsZero() {
		return nil
	}
	ended := map[string]runner.Status{}
	for _, asset := range due {
		data, err := a.store.Get(ctx, runner.ManifestKey(runner.NewRunID(name, asset, at), 1))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		m, err := runner.Decode[runner.Manifest](data, runner.KindRun)
		if err != nil {
			return err
		}
		ended[asset] = m.Status
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if item.ended == nil {
		item.ended = ended
	}
	return nil
}

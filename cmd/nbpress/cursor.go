package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/runner"
	"nbpress/runner/report"
)

// cursor is what must outlive the agent of a report's schedule. It stands in the
// store, and a copy of all of them on the board's branch.
type cursor struct {
	Schedule string               `yaml:"schedule"`           // "" while the report cannot run
	Merged   time.Time            `yaml:"merged"`             // when it was merged: nothing before that fires
	Fired    time.Time            `yaml:"fired,omitempty"`    // the latest slot that fired, was skipped or was missed
	Slot     time.Time            `yaml:"slot,omitempty"`     // the latest slot with runs
	Due      []string             `yaml:"due,omitempty,flow"` // its assets
	Assets   map[string]time.Time `yaml:"assets"`             // when each was merged
}

func (c cursor) equal(other cursor) bool {
	return c.Schedule == other.Schedule && c.Merged.Equal(other.Merged) && c.Fired.Equal(other.Fired) &&
		c.Slot.Equal(other.Slot) && slices.Equal(c.Due, other.Due) && maps.EqualFunc(c.Assets, other.Assets, time.Time.Equal)
}

// since is the instant after which slots are due.
func (c cursor) since() time.Time {
	if c.Fired.After(c.Merged) {
		return c.Fired
	}
	return c.Merged
}

// due returns the assets of a slot: the enabled ones that were merged before it.
func (c cursor) due(bundle *report.Bundle, at time.Time) []string {
	var due []string
	for _, asset := range bundle.Config.Assets {
		if asset.Enabled && c.Assets[asset.ID].Before(at) {
			due = append(due, asset.ID)
		}
	}
	return due
}

// follow returns the cursor brought up to a report of a newer commit: what is new
// there, a schedule or an asset, counts from that commit. What is broken or disabled
// has no schedule, so that it begins anew when it comes back.
func (c cursor) follow(item *newsItem) cursor {
	if item.bundle == nil || !item.bundle.Config.Enabled {
		c.Schedule = ""
		return c
	}
	s := item.bundle.Config.Schedule
	if text := s.Cron + " " + s.Timezone; text != c.Schedule {
		c.Schedule, c.Merged = text, item.merged
	}
	assets := map[string]time.Time{}
	for _, asset := range item.bundle.Config.Assets {
		if !asset.Enabled {
			continue
		}
		if assets[asset.ID] = item.merged; !c.Assets[asset.ID].IsZero() {
			assets[asset.ID] = c.Assets[asset.ID]
		}
	}
	c.Assets = assets
	return c
}

func cursorKey(name string) string { return "cursors/" + runner.FlatName(name) + ".yaml" }

func (a *agent) loadCursor(ctx context.Context, name string) (cursor, error) {
	var c cursor
	data, err := a.store.Get(ctx, cursorKey(name))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = yaml.Unmarshal(data, &c)
	}
	if err != nil {
		return c, fmt.Errorf("cursor of %s: %w", name, err)
	}
	return c, nil
}

// saveCursor writes a cursor, unless another agent may have moved it since we read it.
func (a *agent) saveCursor(ctx context.Context, name string, c cursor) error {
	data, err := runner.Encode(c)
	if err != nil {
		return err
	}
	if !a.leads() {
		return runner.ErrDeposed
	}
	return a.store.Put(ctx, cursorKey(name), data)
}

// dropCursors deletes the cursors of reports that are gone: should one come back, it
// is new.
func (a *agent) dropCursors(ctx context.Context, items map[string]*newsItem) error {
	kept := map[string]bool{}
	for name := range items {
		kept[cursorKey(name)] = true
	}
	keys, err := a.store.List(ctx, "cursors/")
	for _, key := range keys {
		if !kept[key] {
			err = errors.Join(err, a.store.Delete(ctx, key))
		}
	}
	return err
}

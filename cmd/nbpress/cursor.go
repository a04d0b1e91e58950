package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/runner"
	"nbpress/runner/report"
)

// cursor is what must outlive the agent of a report's schedule. It stands in the
// store, and a copy of all of them on the board's branch.
type cursor struct {
	Schedule string               `yaml:"schedule"`        // as it was when Merged was set
	Merged   time.Time            `yaml:"merged"`          // when this schedule was merged: nothing before it fires
	Fired    time.Time            `yaml:"fired,omitempty"` // the latest slot that fired
	Due      []string             `yaml:"due,omitempty,flow"`
	Assets   map[string]time.Time `yaml:"assets"` // when each was merged
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

// cursorOf returns a report's cursor, brought up to the item's commit: a new report,
// schedule or asset counts from the commit that brought it.
func (a *agent) cursorOf(ctx context.Context, name string, item *newsItem) (cursor, error) {
	c, err := a.loadCursor(ctx, name)
	if err != nil || item.bundle == nil {
		return c, err
	}
	merged := item.commit.Time
	if now := time.Now(); merged.After(now) { // a clock that goes ahead may not keep reports from running
		merged = now
	}
	before := fmt.Sprintf("%v", c)
	s := item.bundle.Config.Schedule
	if text := s.Cron + " " + s.Timezone; text != c.Schedule {
		c.Schedule, c.Merged = text, merged
	}
	if c.Assets == nil {
		c.Assets = map[string]time.Time{}
	}
	for _, asset := range item.bundle.Config.Assets {
		if _, known := c.Assets[asset.ID]; !known {
			c.Assets[asset.ID] = merged
		}
	}
	for id := range c.Assets { // one that comes back is new
		if !slices.ContainsFunc(item.bundle.Config.Assets, func(a report.Asset) bool { return a.ID == id }) {
			delete(c.Assets, id)
		}
	}
	if fmt.Sprintf("%v", c) == before {
		return c, nil
	}
	return c, a.saveCursor(ctx, name, c)
}

func cursorKey(name string) string { return "cursors/" + flat(name) + ".yaml" }

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

func (a *agent) saveCursor(ctx context.Context, name string, c cursor) error {
	data, err := runner.Encode(c)
	if err != nil {
		return err
	}
	return a.store.Put(ctx, cursorKey(name), data)
}

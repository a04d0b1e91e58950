package main

import (
	"fmt"
	"strings"
	"time"

	"nbpress/runner/report"
	"nbpress/schedule"
)

// firesShown is how many of its next times check tells of a report.
const firesShown = 5

// firing is when a report fires next, for people who wonder what they wrote.
type firing struct {
	Report   string      `json:"report"` // its folder
	Enabled  bool        `json:"enabled"`
	Timezone string      `json:"timezone"`
	Next     []time.Time `json:"next"`             // in that zone
	Jitter   string      `json:"jitter,omitempty"` // how much later each may start
	Either   bool        `json:"either_day"`       // day of month or day of week: one is enough
}

// firingOf returns when a bundle fires after an instant.
func firingOf(bundle *report.Bundle, zones *schedule.Parser, now time.Time) (firing, error) {
	c := bundle.Config.Schedule
	cron, err := zones.Parse(c.Cron, c.Timezone)
	if err != nil { // report.Load has checked it
		return firing{}, err
	}
	f := firing{Enabled: bundle.Config.Enabled, Timezone: c.Timezone, Either: cron.EitherDay(), Next: schedule.Upcoming(cron, now, firesShown)}
	if c.Jitter > 0 {
		f.Jitter = strings.NewReplacer("m0s", "m", "h0m0s", "h").Replace(c.Jitter.String())
	}
	return f, nil
}

// String says it in a line: "weekly: fires Mon 2026-11-30 06:00 CET, ...".
func (f firing) String() string {
	times := make([]string, len(f.Next))
	for i, at := range f.Next {
		times[i] = at.Format("Mon 2006-01-02 15:04 MST")
	}
	line := f.Report + ": fires "
	if !f.Enabled {
		line = f.Report + `: does not fire, since "enabled" is false; else `
	}
	line += strings.Join(times, ", ")
	if f.Jitter != "" {
		line += fmt.Sprintf("; each starts up to %s later", f.Jitter)
	}
	if f.Either {
		line += "; the day of month or the day of week is enough"
	}
	return line
}

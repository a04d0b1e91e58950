package runner

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"

	"nbpress/runner/report"
)

// task is one run on its way through the runner.
type task struct {
	id         RunID
	generation int
	report     string
	asset      report.Asset
	commit     string // of the bundle below
	bundle     *report.Bundle
	slot       *slotState
	notBefore  time.Time
	stop       func() // ends the work on it; nil while it waits; guarded by Runner.mu
}

// line is where the run waits: the schedule's runs of a report in one line, those of
// each request in another, so that neither keeps the other waiting.
type line struct{ report, request string }

func (t *task) key() runKey { return runKey{t.id, t.generation} }

func (t *task) line() line { return line{t.report, t.slot.record.Request} }

// order is ascending in the time due, then in the asset's name.
func (t *task) order(other *task) int {
	return cmp.Or(
		t.slot.record.ScheduledAt.Compare(other.slot.record.ScheduledAt),
		cmp.Compare(t.report, other.report),
		cmp.Compare(t.asset.ID, other.asset.ID),
	)
}

func (t *task) languages() []string {
	if asked := t.slot.record.Languages; len(asked) > 0 {
		return asked
	}
	return t.bundle.AssetLanguages(t.asset)
}

// SlotName is a slot's scheduled time as paths have it, in the report's zone.
func SlotName(scheduledAt time.Time) string { return scheduledAt.Format("2006-01-02T1504-0700") }

// slotName is SlotName, and for a slot that a request made something that no other has.
func slotName(scheduledAt time.Time, onDemand string) string {
	if onDemand == "" {
		return SlotName(scheduledAt)
	}
	return SlotName(scheduledAt) + "-" + onDemand
}

// The keys of the store. What the public may see is below pages/ alone.

func (t *task) stored(name string) string {
	return fmt.Sprintf("runs/%s/g%d/%s", t.id, t.generation, name)
}

func (t *task) claimKey(attempt int) string { return t.stored(fmt.Sprintf("claim-%d", attempt)) }

func (t *task) attemptKey(attempt int, name string) string {
	return t.stored(fmt.Sprintf("a%d/%s", attempt, name))
}

func (t *task) pageKey(attempt int, language, name string) string {
	version := fmt.Sprintf("g%da%d", t.generation, attempt)
	return path.Join("pages", t.report, t.asset.ID, t.slot.record.Slot(), version, language, name)
}

// LatestKey is where the newest page of a report's asset always stands.
func LatestKey(report, asset, language, name string) string {
	return path.Join("pages", report, asset, "latest", language, name)
}

// marksPrefix holds a mark for each slot whose pages stood at the latest keys, the newest
// last. The report's name is one segment: reports stand inside each other, and an object
// is no folder.
func marksPrefix(report, asset string) string {
	return path.Join("latest", FlatName(report), asset) + "/"
}

func (t *task) markKey() string {
	at := t.slot.record.ScheduledAt.UTC().Format("2006-01-02T150405Z")
	return fmt.Sprintf("%s%s-g%06d.yaml", marksPrefix(t.report, t.asset.ID), at, t.generation)
}

// ManifestKey is where a run's manifest stands.
func ManifestKey(id RunID, generation int) string {
	return fmt.Sprintf("runs/%s/g%d/manifest.yaml", id, generation)
}

// OutboxPrefix holds copies of the documents that the ledger does not have yet.
const OutboxPrefix = "outbox/"

// slotsPrefix holds the slots that have fired and are not finished.
const slotsPrefix = "slots/"

func slotKey(record SlotRecord) string { return slotsPrefix + slotFile(record) }

// FlatName makes one path segment of a report's name. No two reports share one: "~"
// is no character of a name.
func FlatName(report string) string { return strings.ReplaceAll(report, "/", "~") }

// slotFile is one flat name for a slot, or for what a request wants of it.
func slotFile(record SlotRecord) string {
	name := FlatName(record.Report) + "~" + record.Slot()
	if record.Request != "" {
		name += fmt.Sprintf("~%s-%d", RequestID(record.Request), record.Part)
	}
	return name + ".yaml"
}

// CacheControl is what browsers and proxies are told of a key of the store: a page may be
// kept, but for the latest, which has to be asked for each time; the rest is nobody's to keep.
func CacheControl(key string) string {
	switch {
	case !strings.HasPrefix(key, "pages/"):
		return "no-store"
	case strings.Contains(key, "/latest/"):
		return "no-cache"
	}
	return "private, max-age=31536000, immutable"
}

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"time"
)

// terminal returns the run's terminal manifest: the one that is there, or what comes
// of as many attempts as it takes.
func (r *Runner) terminal(taking, work context.Context, t *task, log *slog.Logger) (Manifest, error) {
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		var m Manifest
		err := r.read(work, ManifestKey(t.id, t.generation), &m)
		if !errors.Is(err, fs.ErrNotExist) {
			return m, err
		}
		if taking.Err() != nil {
			return m, taking.Err()
		}
		past, err := r.claim(taking, t)
		if errors.Is(err, errExhausted) {
			return r.commit(work, t.manifest(past.attempts, Outcome{Failure: exhausted(past)}, nil))
		}
		if err != nil {
			return m, err
		}
		log.Info("attempt started", "attempt", past.next)
		m, done, err := r.attempt(taking, work, t, past, log)
		if done || err != nil {
			return m, err
		}
		select {
		case <-time.After(pause):
		case <-taking.Done():
			return m, taking.Err()
		}
	}
}

// exhausted is the failure of a run whose attempts all ended without a result.
func exhausted(past history) *Failure {
	var ended []string
	for _, a := range past.attempts {
		ended = append(ended, a.Ended)
	}
	return &Failure{Code: Internal, Message: "every attempt ended without a result: " + strings.Join(ended, ", ")}
}

// attempt makes one attempt under our claim. It is done when the run has a terminal
// manifest, not done when the run may be tried again.
func (r *Runner) attempt(taking, work context.Context, t *task, past history, log *slog.Logger) (m Manifest, done bool, err error) {
	started := now()
	outcome, err := Press(work, r.exec, r.job(t, past))
	record := Attempt{StartedAt: started, FinishedAt: now(), Sandbox: outcome.Sandbox, Seconds: outcome.Seconds}
	var artifacts []Artifact
	if err == nil {
		artifacts, err = r.publish(work, t, past.next, outcome)
	}
	if err != nil && work.Err() != nil {
		return m, false, errors.Join(err, r.release(work, t, past, record))
	}
	if err != nil {
		failure := &Failure{Code: StoreFailed, Message: err.Error()}
		outcome = Outcome{Failure: failure.fit(), Seconds: outcome.Seconds}
	}
	record.Ended = endedCompleted
	if f := outcome.Failure; f != nil {
		record.Ended, record.Message = string(f.Code), f.Message
		log.Warn("attempt failed", "attempt", past.next, "code", f.Code, "message", f.Message)
		if f.Code.Retried() && !f.final && past.counted < t.bundle.Config.Retries {
			return m, false, r.persist(work, func() error { return r.settle(work, t, past, record) })
		}
	}
	m, err = r.commit(work, t.manifest(append(past.attempts, record), outcome, artifacts))
	if err != nil && work.Err() != nil {
		return m, false, errors.Join(err, r.release(work, t, past, record))
	}
	if err != nil {
		return m, false, err
	}
	return m, true, r.settle(work, t, past, record)
}

// release lets go of an attempt whose work was ended under it. It counts for nothing.
func (r *Runner) release(work context.Context, t *task, past history, record Attempt) error {
	record.Ended, record.Message = endedReleased, ""
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(work), releaseTimeout)
	defer cancel()
	return r.settle(cleanup, t, past, record)
}

// now is the time as documents have it: UTC, to the millisecond.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// releaseTimeout bounds what a released attempt still writes.
const releaseTimeout = 5 * time.Second

// job returns what an attempt needs to know.
func (r *Runner) job(t *task, past history) Job {
	return Job{
		Run: t.id, Generation: t.generation, Attempt: past.next, Commit: past.commit,
		Report: t.report, Bundle: t.bundle, Asset: t.asset, Languages: t.languages(),
		Window: t.slot.record.Window, ScheduledAt: t.slot.record.ScheduledAt,
		Pongo2: r.o.Pongo2, PlainPages: r.o.PlainPages, Vault: r.o.Vault, Tokens: r.o.Tokens, Env: r.env(t.report),
	}
}

// env returns what the operator adds to the environment of a report's notebook.
func (r *Runner) env(report string) map[string]string {
	if r.o.Env == nil {
		return nil
	}
	return r.o.Env(report)
}

// manifest returns the terminal manifest of a run that ended so.
func (t *task) manifest(attempts []Attempt, o Outcome, artifacts []Artifact) Manifest {
	m := t.slot.record.manifest(t.asset.ID)
	m.Languages, m.BundleCommit = t.languages(), t.commit
	m.Parameters = plain(t.bundle.AssetParameters(t.asset)).(map[string]any)
	m.Status, m.Attempts, m.Artifacts, m.Warnings = StatusCompleted, attempts, artifacts, o.Warnings
	if o.Failure != nil {
		m.Status, m.Error = StatusError, o.Failure.record()
	}
	return m
}

// manifest returns what the manifests of a slot's run say however it ended.
func (s SlotRecord) manifest(asset string) Manifest {
	return Manifest{
		APIVersion: APIVersion, Kind: KindRun, ID: s.runID(asset), Generation: s.generation(asset),
		Report: s.Report, Asset: asset, Window: s.Window, Languages: s.Languages,
		ScheduledAt: s.ScheduledAt, OnDemand: s.OnDemand, Trigger: s.Trigger, Asked: s.Asked,
		BundleCommit: s.BundleCommit,
	}
}

// record returns a failure as manifests have it.
func (f *Failure) record() *RunError {
	return &RunError{
		Code: f.Code, Fault: f.Code.Fault(), Message: f.Message, Advice: f.Advice(),
		Cell: f.Cell, Traceback: f.Traceback,
	}
}

// plain returns a value of JSON as YAML shows it best: numbers as numbers.
func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n
		}
		if f, err := value.Float64(); err == nil {
			return f
		}
		return value.String()
	case []any:
		list := make([]any, len(value))
		for i := range value {
			list[i] = plain(value[i])
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(value))
		for key := range value {
			object[key] = plain(value[key])
		}
		return object
	}
	return value
}

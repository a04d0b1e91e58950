package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// How an attempt ended, beyond the codes: its agent let go of it on purpose, or died.
const (
	endedCompleted = "completed"
	endedReleased  = "released"
	endedAbandoned = "abandoned"
)

// claim is what the store holds of an attempt: who has it, until when, and in the
// end what became of it.
type claim struct {
	Holder   string    `yaml:"holder"`   // the agent, the same after a restart
	Deadline time.Time `yaml:"deadline"` // after it anybody may try again
	Commit   string    `yaml:"commit"`
	Attempt  Attempt   `yaml:"attempt"` // Ended is "" while it goes on
}

// heldError says that somebody else is at work on the run.
type heldError struct {
	holder string
	until  time.Time
}

func (e *heldError) Error() string {
	return fmt.Sprintf("claimed by %s until %s", e.holder, e.until.Format(time.RFC3339))
}

// errExhausted says that a run has used up its attempts, each without a result.
var errExhausted = errors.New("no attempts left")

// history is what the claims of a generation tell before the next attempt.
type history struct {
	attempts []Attempt // ended or given up, in order
	counted  int       // those that count towards retries + 1
	commit   string    // pinned by the first claim
	next     int       // the next attempt's number
}

// claim takes the next attempt of a run for us. Of several agents one gets it; the
// others see a heldError.
func (r *Runner) claim(ctx context.Context, t *task) (history, error) {
	for {
		past, err := r.history(ctx, t)
		if err != nil {
			return past, err
		}
		if past.counted > t.bundle.Config.Retries {
			return past, errExhausted
		}
		started := now()
		if past.commit == "" {
			past.commit = t.commit
		}
		ours := claim{
			Holder: r.o.Holder, Commit: past.commit,
			Deadline: started.Add(t.bundle.Config.Timeout.Run + claimSlack),
			Attempt:  Attempt{StartedAt: started},
		}
		err = r.persist(ctx, func() error { return r.create(ctx, t.claimKey(past.next), ours) })
		if !errors.Is(err, ErrExists) {
			return past, err
		}
		// It may be there because the answer to an earlier try was lost.
		var there claim
		if err := r.read(ctx, t.claimKey(past.next), &there); err != nil {
			return past, err
		}
		if there.Holder == ours.Holder && there.Attempt.StartedAt.Equal(started) {
			return past, nil
		}
	}
}

// claimSlack is how long starting, rendering and publishing may take on top of a
// run's own timeout before another agent may think us dead.
const claimSlack = 10 * time.Minute

// history reads the claims of a generation.
func (r *Runner) history(ctx context.Context, t *task) (history, error) {
	h := history{next: 1}
	for {
		var c claim
		err := r.read(ctx, t.claimKey(h.next), &c)
		if errors.Is(err, fs.ErrNotExist) {
			return h, nil
		}
		if err != nil {
			return h, err
		}
		if c.Attempt.Ended == "" {
			// A holder has one life at a time, and in it a run has one attempt at a
			// time: what is open under our name is over.
			if c.Holder != r.o.Holder && !r.o.Alone && time.Now().Before(c.Deadline) {
				return h, &heldError{holder: c.Holder, until: c.Deadline}
			}
			c.Attempt.Ended = endedAbandoned
		}
		if c.Attempt.Ended != endedReleased {
			h.counted++
		}
		if h.commit == "" {
			h.commit = c.Commit
		}
		h.attempts = append(h.attempts, c.Attempt)
		h.next++
	}
}

// settle writes into our claim how the attempt ended.
func (r *Runner) settle(ctx context.Context, t *task, past history, ended Attempt) error {
	return r.put(ctx, t.claimKey(past.next), claim{
		Holder: r.o.Holder, Commit: past.commit, Deadline: ended.FinishedAt, Attempt: ended,
	})
}

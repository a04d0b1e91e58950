package lease

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"nbpress/runner"
)

// Reign is the time for which we have the lease.
type Reign struct {
	store  runner.Store
	log    *slog.Logger
	record record // of the goroutine that keeps it, then of who ends it

	mu      sync.Mutex // guards renewed
	renewed time.Time  // before the look that came before the last write
}

// Keep renews the lease until ctx ends, or it is lost. Nobody else renews it.
func (r *Reign) Keep(ctx context.Context) (lost bool) {
	away := false
	for wait(ctx, renewPeriod) == nil {
		lost, err := r.renew(ctx)
		if lost {
			return true
		}
		if err != nil && !away && ctx.Err() == nil {
			r.log.Warn("lease not renewed", "error", err)
		}
		if err == nil && away {
			r.log.Info("lease renewed again")
		}
		away = err != nil
	}
	return false
}

// renew writes the lease again, unless it is lost.
func (r *Reign) renew(ctx context.Context) (lost bool, err error) {
	began := time.Now()
	there, _, err := read(ctx, r.store)
	gone := errors.Is(err, fs.ErrNotExist) // somebody removed it; nobody works in our place
	if err != nil && !gone {
		return false, err
	}
	if !gone && there.Life != r.record.Life {
		r.log.Warn("the lease was taken over", "holder", there.Holder)
		return true, nil
	}
	r.record.Count++
	if err := r.record.write(ctx, r.store.Put); err != nil {
		return false, err
	}
	// Stopped between the look and the write, we may have written over a successor's
	// lease. It gives way to us as we would to it, but it has worked, and what we know is old.
	if time.Since(began) > freshFor {
		r.log.Warn("the lease was renewed too late")
		return true, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewed = began
	return false, nil
}

// Fresh reports whether the lease must still be ours. An agent that was stopped, and has
// not looked since, does not know.
func (r *Reign) Fresh() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.renewed) < freshFor
}

// End gives the lease back if it is ours, so that who stands by need not wait. Keep has
// returned by then.
func (r *Reign) End(ctx context.Context) {
	there, _, err := read(ctx, r.store)
	if err == nil && there.Life == r.record.Life && r.Fresh() {
		err = r.store.Delete(ctx, Key)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("lease not given back", "error", err)
	}
}

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"gopkg.in/yaml.v3"
)

// persistFor is how long a run holds on to its result while the store is away.
const persistFor = time.Minute

// persist repeats a write to the store until it succeeds, is refused for good, ctx
// ends or the store has been away for too long.
func (r *Runner) persist(ctx context.Context, write func() error) error {
	deadline := time.Now().Add(persistFor)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := write()
		final := errors.Is(err, ErrExists) || errors.Is(err, fs.ErrInvalid) // trying the same again does not help
		if err == nil || final || time.Now().After(deadline) {
			return err
		}
		r.log.Warn("store refused a write", "error", err)
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (r *Runner) create(ctx context.Context, key string, document any) error {
	data, err := Encode(document)
	if err != nil {
		return err
	}
	return r.store.Create(ctx, key, data)
}

func (r *Runner) put(ctx context.Context, key string, document any) error {
	data, err := Encode(document)
	if err != nil {
		return err
	}
	return r.store.Put(ctx, key, data)
}

func (r *Runner) read(ctx context.Context, key string, into any) error {
	data, err := r.store.Get(ctx, key)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

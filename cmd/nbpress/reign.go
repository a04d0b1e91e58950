package main

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"nbpress/runner"
)

// serve lets an agent work for as long as it has the lease, and makes a new one, which
// knows nothing, when it lost it: what it knew is old by then.
func serve(ctx context.Context, c config, std streams, once bool) error {
	lock, err := lockState(ctx, c.State)
	if err != nil {
		return err
	}
	defer lock.Close()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	seat := contender{holder: host + ":" + c.State}
	for {
		a, err := newAgent(ctx, c, std, seat.holder)
		if err != nil {
			return err
		}
		seat.store, seat.log = a.store, a.log
		if once {
			a.reign, err = seat.seize(ctx)
		} else {
			a.reign, err = a.standBy(ctx, &seat)
		}
		if err != nil && ctx.Err() != nil && !once {
			return nil // asked to stop before there was anything to do
		}
		if err != nil {
			return err
		}
		if err = a.work(ctx, once); once || !errors.Is(err, runner.ErrDeposed) {
			return err
		}
	}
}

// standBy waits for the lease. It keeps the mirror fresh meanwhile and does nothing else,
// so that a remote that goes away together with the other agent leaves us a commit that
// is not old.
func (a *agent) standBy(ctx context.Context, seat *contender) (*reign, error) {
	standing, called := context.WithCancel(ctx)
	defer called()
	var mirroring errgroup.Group
	mirroring.Go(func() error {
		for wait(standing, time.Duration(a.c.Repository.Poll)) == nil {
			if _, _, err := a.repo.Fetch(standing); err != nil {
				a.log.Debug("repository is away", "error", err)
			}
		}
		return nil
	})
	r, err := seat.await(ctx)
	called()
	_ = mirroring.Wait() // it has no error
	return r, err
}

// work is a reign: it ends when ctx does, or with runner.ErrDeposed.
func (a *agent) work(ctx context.Context, once bool) error {
	working, depose := context.WithCancelCause(ctx)
	defer depose(nil)
	keeping, done := context.WithCancel(context.WithoutCancel(ctx)) // also while the work comes to its end
	defer done()
	var keeper errgroup.Group
	keeper.Go(func() error {
		if a.reign.keep(keeping) {
			depose(runner.ErrDeposed)
		}
		return nil
	})
	do := a.run
	if once {
		do = a.once
	}
	err := do(working)
	done()
	_ = keeper.Wait() // it has no error
	if deposed := context.Cause(working); errors.Is(deposed, runner.ErrDeposed) {
		return deposed
	}
	a.reign.end(ctx)
	return err
}

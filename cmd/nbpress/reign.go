package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"nbpress/runner"
)

const (
	mirrorSoon = 2 * time.Second // who stands by for longer than that keeps the mirror fresh
	endTimeout = 5 * time.Second // for giving the seat back
)

// serve is the agent's process: it answers on its address, and lets one agent after the
// other work for as long as it has the seat.
func serve(ctx context.Context, c config, std streams, once bool) error {
	lock, err := lockState(ctx, c.State)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := newStation(ctx, c, std)
	if err != nil {
		return err
	}
	defer s.engine.close()
	if once {
		return s.reignOnce(ctx)
	}
	door, err := s.listen(ctx)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	answering, hangUp := context.WithCancel(context.WithoutCancel(ctx)) // also while the last runs end
	var g errgroup.Group
	g.Go(func() error {
		defer hangUp()
		return s.reigns(working)
	})
	g.Go(func() error {
		defer stop() // nobody would know how the agent fares
		return door.serve(answering)
	})
	return g.Wait()
}

// reigns makes a new agent, which knows nothing, each time that the seat is ours: what
// the one before knew is old.
func (s *station) reigns(ctx context.Context) error {
	for {
		a, err := newAgent(s)
		if err != nil {
			return err
		}
		if a.reign, err = a.standBy(ctx, s.seat); err != nil && ctx.Err() != nil {
			return nil // asked to stop before there was anything to do
		}
		if err == nil {
			err = s.work(ctx, a, a.run)
		}
		if !errors.Is(err, runner.ErrDeposed) {
			return err
		}
	}
}

// reignOnce is a reign that ends when nothing is due.
func (s *station) reignOnce(ctx context.Context) error {
	a, err := newAgent(s)
	if err != nil {
		return err
	}
	if a.reign, err = s.seat.Seize(ctx); err != nil {
		return err
	}
	return s.work(ctx, a, a.once)
}

// standBy waits for the seat. It keeps the mirror fresh meanwhile and does nothing else,
// so that a remote that goes away together with the other agent leaves us a commit that
// is not old.
func (a *agent) standBy(ctx context.Context, seat seat[reign]) (reign, error) {
	standing, called := context.WithCancel(ctx)
	defer called()
	var mirroring errgroup.Group
	mirroring.Go(func() error {
		for pause := mirrorSoon; wait(standing, pause) == nil; pause = time.Duration(a.c.Repository.Poll) {
			if _, err := a.fetch(standing); err != nil {
				a.log.Debug("repository is away", "error", err)
			}
		}
		return nil
	})
	r, err := seat.Await(ctx)
	called()
	_ = mirroring.Wait() // it has no error
	return r, err
}

// work is a reign: it ends when ctx does, or with runner.ErrDeposed.
func (s *station) work(ctx context.Context, a *agent, do func(context.Context) error) error {
	working, depose := context.WithCancelCause(ctx)
	defer depose(nil)
	keeping, done := context.WithCancel(context.WithoutCancel(ctx)) // also while the work comes to its end
	defer done()
	var keeper errgroup.Group
	keeper.Go(func() error {
		if a.reign.Keep(keeping) {
			depose(runner.ErrDeposed)
		}
		return nil
	})
	err := s.engine.begin(working)
	if err != nil {
		err = fmt.Errorf("clear what an earlier agent left: %w", err)
	} else {
		s.working.Store(a)
		err = do(working)
		s.working.Store(nil)
		s.ledger.forget() // who stands by does not ask it, and would call it down for ever
	}
	done()
	_ = keeper.Wait() // it has no error
	if deposed := context.Cause(working); errors.Is(deposed, runner.ErrDeposed) {
		return deposed
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	a.reign.End(ending)
	return err
}

// wait waits, or returns ctx's error.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

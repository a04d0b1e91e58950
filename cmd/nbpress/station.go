package main

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"

	"nbpress/runner"
)

// station is where agents work, one after the other: what outlives a reign. While no
// agent is at work here, another process has the seat, and this one stands by.
type station struct {
	c       config
	log     *slog.Logger
	seams   seams
	holder  string // no other living process has this name; the same after a restart
	store   runner.Store
	engine  engine
	seat    seat[reign]
	tokens  tokens
	metrics *metrics
	pushed  bell // the repository's host says that something was pushed

	repository, ledger *dependency // as agents, and who stands by, find them
	readiness          readiness

	working atomic.Pointer[agent] // nil: standing by
}

// newStation wires up what outlives a reign; nothing runs yet.
func newStation(ctx context.Context, c config, std streams) (_ *station, err error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	s := &station{
		c: c, log: c.logger(std.err), seams: std.seams, holder: host + ":" + c.State, pushed: newBell(),
		repository: &dependency{name: "repository", unknown: errNotAsked},
		ledger:     &dependency{name: "ledger"}, // nothing had to land yet
	}
	s.metrics = newMetrics(s.working.Load)
	if s.store, err = c.Store.open(ctx, s.log); err != nil {
		return nil, err
	}
	if s.tokens, err = c.Token.open(); err != nil {
		return nil, err
	}
	if s.engine, err = openEngine(ctx, c, s.log); err != nil {
		return nil, err
	}
	s.readiness = readiness{s.repository, s.ledger, storeDependency(s.store)}
	if s.engine.ready != nil {
		s.readiness = append(s.readiness, &dependency{name: "cluster", ask: s.engine.ready})
	}
	if std.seams.store != nil {
		s.store, s.engine.Executor = std.seams.store(s.store), std.seams.executor(s.engine.Executor)
	}
	s.seat, err = openSeat(ctx, c, s.store, s.holder, s.log)
	return s, err
}

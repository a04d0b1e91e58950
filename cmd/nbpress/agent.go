package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/schedule"
)

func agentCommand(std streams) *cobra.Command {
	var path string
	var once bool
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run reports on their schedules, for ever",
		Long: `Follow the repository, run every report when it is due, publish its pages to the
store and commit a manifest of each run to the ledger.

SIGTERM or Ctrl-C: nothing new starts, running runs get a grace period, what is left
runs again at the next start. The agent may be killed at any instant: nothing is lost
and nothing runs twice to its end.

Of several agents with the same store one works, and another one takes over when it dies.`,
		Example: `  nbpress agent --config nbpress.yaml
  nbpress agent --config nbpress.yaml --once     # what is due now, and no more`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(path)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, std, once)
		},
	}
	cmd.Flags().StringVar(&path, "config", "nbpress.yaml", "the configuration")
	cmd.Flags().BoolVar(&once, "once", false, "run what is due now, and end when all of it has landed in the ledger")
	return cmd
}

// agent joins the packages, for one reign. Each of its methods is one arrow of the flow;
// the state between them is the table of reports, and where each of them is.
type agent struct {
	c        config
	log      *slog.Logger
	reign    reign // nil: nobody else can be at work
	repo     *gitsync.Repository
	ledger   *gitsync.Ledger
	store    runner.Store
	zones    schedule.Parser
	planner  *schedule.Planner
	runner   *runner.Runner
	recorded bell // the outbox holds something
	changed  bell // the board would look different
	pushed   bell // the repository's host says that something was pushed
	metrics  *metrics
	synced   *dependency // the repository, told of each answer of its remote
	landed   *dependency // the ledger, told of each try to reach it

	// Of the goroutine that follows the repository.
	planned  string    // the commit that the planner has
	asked    time.Time // when the remote last answered
	resumed  bool      // what an earlier life left open goes on
	requests requests

	landing  patience // of the goroutine that lands the outbox, and of its time before and after
	declined declined // documents that the ledger does not take

	// Of the goroutine that keeps the board.
	posted  string          // what it showed last
	paged   map[string]bool // the newest pages that are known to be there, by key
	posting patience

	desk sync.Mutex // held while cursors move, in the store and below

	mu      sync.Mutex // guards what follows, and is held briefly
	reports map[string]*newsItem
	cursors map[string]cursor
	endings endings
}

// newAgent wires everything up; nothing runs yet.
func newAgent(s *station) (_ *agent, err error) {
	a := &agent{
		c: s.c, log: s.log, store: s.store, metrics: s.metrics, synced: s.repository, landed: s.ledger,
		recorded: newBell(), changed: newBell(), pushed: s.pushed,
		endings: endings{}, paged: map[string]bool{},
	}
	if a.repo, a.ledger, err = openGit(a.c, a.log, s.seams.ledger); err != nil {
		return nil, err
	}
	options := runner.Options{
		Slots: a.c.Executor.Slots, PerReport: a.c.Executor.PerReport, Holder: s.holder, Alone: true,
		Grace: time.Duration(a.c.Grace), Log: a.log, Recorded: a.recorded.ring, Finished: a.finished,
		Tokens: s.tokens.minter, Vault: newVault(a.c, s.engine.secrets), Env: a.c.env,
		Pongo2: selfPongo2(), PlainPages: a.c.Pages.ContentSecurity != nil && !*a.c.Pages.ContentSecurity,
	}
	if a.c.Pages.URL != "" {
		options.PageURL = a.pageURL
	}
	a.runner = runner.New(s.engine.Executor, a.store, options)
	a.planner = schedule.NewPlanner(a.fire, schedule.Options{Missed: a.miss, Log: a.log, Now: s.seams.now})
	return a, nil
}

func openGit(c config, log *slog.Logger, at func(point string)) (*gitsync.Repository, *gitsync.Ledger, error) {
	auth, err := c.Repository.Credential.auth()
	if err != nil {
		return nil, nil, err
	}
	repo, err := gitsync.Open(gitsync.Options{
		URL: c.Repository.URL, Branch: c.Repository.Branch, Path: c.Repository.Path,
		Dir: filepath.Join(c.State, "reports.git"), Auth: auth, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	if auth, err = c.Ledger.Credential.auth(); err != nil {
		return nil, nil, err
	}
	ledger, err := gitsync.OpenLedger(gitsync.LedgerOptions{
		URL: c.Ledger.URL, Dir: filepath.Join(c.State, "ledger.git"), Auth: auth, Log: log,
		Author: gitsync.Author{Name: c.Ledger.Author.Name, Email: c.Ledger.Author.Email}, At: at,
	})
	return repo, ledger, err
}

// lockPatience is how long the lock of an agent may outlive it.
const lockPatience = 2 * time.Second

// lockState makes sure that one agent uses a state folder at a time.
func lockState(ctx context.Context, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	lock := filepath.Join(dir, "agent.lock")
	file, err := tryLock(lock)
	// A process that an agent was just starting when it was killed has its lock until it is
	// another program.
	for patience := time.Now().Add(lockPatience); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(patience); {
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
		file, err = tryLock(lock)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another agent runs with the state folder %s; stop it, or give this one its own `state`", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	return file, nil
}

// run is the flow, for ever:
//
//	gitsync ─ commit ─► report ─► schedule ─ slot ─► runner ─ manifest ─► store ─► ledger
func (a *agent) run(ctx context.Context) error {
	a.log.Info("agent started", "repository", a.c.Repository.URL, "store", a.c.Store.String())
	a.landNow(ctx) // what an earlier life left; with Git away it lands later
	g, working := errgroup.WithContext(ctx)
	g.Go(func() error { return a.follow(working) })      // commits, as reports, to the planner
	g.Go(func() error { return a.planner.Run(working) }) // slots, as they fall due, to fire
	g.Go(func() error { return a.runner.Run(working) })  // runs, to the store and its outbox
	g.Go(func() error { return a.land(working) })        // the outbox, to the ledger
	g.Go(func() error { return a.keepBoard(working) })   // the status board
	err := g.Wait()
	if a.leads() { // else the next one does that
		last := context.WithoutCancel(ctx)
		a.landNow(last) // what the last runs recorded
		a.boardNow(last)
	}
	if ctx.Err() == nil {
		return err
	}
	a.log.Info("agent stopped") // as it was asked to, or since the seat is another's
	return nil
}

// once is the flow for what is due now.
func (a *agent) once(ctx context.Context) error {
	a.landNow(ctx)
	err := a.sync(ctx)
	if commit, ok := a.repo.Head(); ok && isAway(err) {
		a.log.Warn("repository is away; the last good commit has to do", "commit", short(commit.Hash), "error", err)
		err = a.plan(ctx, commit)
	}
	if err != nil {
		return err
	}
	if err := a.answerRequests(ctx); err != nil {
		a.log.Error("requests not answered", "error", err)
	}
	firing := a.planner.FireDue(ctx) // the slots that could be submitted run all the same
	working, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return a.runner.Run(working) })
	g.Go(func() error { return a.land(working) })
	select {
	case <-a.runner.Idle():
	case <-ctx.Done():
	}
	stop()
	_ = g.Wait() // both end with working's error
	if !a.leads() {
		return errors.Join(firing, ctx.Err())
	}
	last := context.WithoutCancel(ctx)
	return errors.Join(firing, a.landOutbox(last), a.declined.err(), a.postBoard(last), ctx.Err())
}

// leads reports whether this agent is surely the one that works.
func (a *agent) leads() bool { return a.reign == nil || a.reign.Fresh() }

// bell asks that something be done; rung several times it asks once.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nbpress/runner"
	"nbpress/runner/runnertest"
)

// mint is a minter that counts.
type mint struct {
	value   string
	expires time.Time
	refuse  error // of Mint
	stay    error // of revoking

	mu      sync.Mutex // guards what follows
	claims  []runner.Claims
	started int // sandboxes, when the first token was minted
	revoked int
	alive   bool // the context of the last revocation was
	exec    *faulty
}

func (m *mint) Mint(_ context.Context, claims runner.Claims) (runner.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims = append(m.claims, claims)
	m.started = len(m.exec.Started())
	return runner.Token{Value: m.value, Expires: m.expires, Revoke: m.revoke}, m.refuse
}

func (m *mint) revoke(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revoked++
	m.alive = ctx.Err() == nil
	return m.stay
}

func (m *mint) tokens(report, kind string) (runner.Minter, error) {
	if kind != "jwt" {
		return nil, fmt.Errorf("no %s for %s", kind, report)
	}
	return m, nil
}

func TestPress_RevokesTheTokenWhateverTheEnd(t *testing.T) {
	t.Parallel()
	no := errors.New("no route to host")
	fake := func(cell func(context.Context) error) *faulty {
		return &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: func(ctx context.Context, _ runner.Spec, _ string) (map[string][]byte, error) {
			return nil, cell(ctx)
		}}}
	}
	fine := func(context.Context) error { return nil }
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name    string
		exec    *faulty
		mint    *mint
		kind    string
		timeout time.Duration
		cancel  bool // in the first cell
		code    runner.Code
		want    string // in the message
		warning string
		minted  int
		revoked int
	}{
		{name: "completed", minted: 1, revoked: 1},
		{name: "a cell raised", exec: fake(func(context.Context) error { return no }), code: runner.CellError, minted: 1, revoked: 1},
		{name: "out of time", exec: fake(hang), timeout: 4 * time.Second, code: runner.RunTimeout, minted: 1, revoked: 1},
		{name: "canceled", cancel: true, minted: 1, revoked: 1},
		{name: "no kernel", exec: &faulty{kernel: no}, code: runner.Internal, minted: 1, revoked: 1},
		{name: "no sandbox", exec: &faulty{FakeExecutor: runnertest.FakeExecutor{OnStart: func(context.Context, runner.Spec) error { return no }}}, code: runner.Internal},
		{name: "not minted", mint: &mint{refuse: no}, code: runner.TokenFailed, want: "no route to host", minted: 1, revoked: 0},
		{name: "another kind", kind: "http", code: runner.TokenFailed, want: "no http for energy"},
		{name: "empty", mint: &mint{value: ""}, code: runner.TokenFailed, want: "is empty", minted: 1, revoked: 1},
		{name: "too short to be told from other text", mint: &mint{value: "a"}, code: runner.TokenFailed, want: "too short", minted: 1, revoked: 1},
		{name: "too long", mint: &mint{value: strings.Repeat("a", 9000)}, code: runner.TokenFailed, want: "9000 bytes; 8192 are possible", minted: 1, revoked: 1},
		{name: "of two lines", mint: &mint{value: "0123456789\nX-Admin: 1"}, code: runner.TokenFailed, want: "no HTTP header can hold", minted: 1, revoked: 1},
		{name: "expired", mint: &mint{value: "0123456789", expires: time.Now().Add(-time.Hour)}, code: runner.TokenFailed, want: "has expired already", minted: 1, revoked: 1},
		{name: "expires soon", mint: &mint{value: "0123456789", expires: time.Now().Add(time.Minute)}, warning: "the run's token expires at ", minted: 1, revoked: 1},
		{name: "not revoked", mint: &mint{value: "0123456789", stay: errors.New("it holds on to 0123456789")}, warning: "the run's token was not revoked, and is good until it expires: it holds on to [secret TOKEN]", minted: 1, revoked: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := bundleOf("plant-1")
			b.Config.Token = "jwt"
			if tt.kind != "" {
				b.Config.Token = tt.kind
			}
			if tt.timeout > 0 {
				b.Config.Timeout.Run, b.Config.Timeout.Cell = tt.timeout, tt.timeout
			}
			if tt.mint == nil {
				tt.mint = &mint{value: "token-0123456789"}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.cancel {
				tt.exec = fake(func(ctx context.Context) error { cancel(); return hang(ctx) })
			}
			if tt.exec == nil {
				tt.exec = fake(fine)
			}
			tt.mint.exec = tt.exec
			job := jobOf(b)
			job.Tokens = tt.mint.tokens
			outcome, err := runner.Press(ctx, tt.exec, job)
			if (err != nil) != tt.cancel {
				t.Fatal(err)
			}
			var code runner.Code
			message := ""
			if outcome.Failure != nil {
				code, message = outcome.Failure.Code, outcome.Failure.Message
			}
			if !tt.cancel && (code != tt.code || !strings.Contains(message, tt.want)) {
				t.Errorf("got %q, %s, want %q, %s", code, message, tt.code, tt.want)
			}
			if all := strings.Join(outcome.Warnings, "\n"); !strings.Contains(all, tt.warning) {
				t.Errorf("warnings %q, want %s", all, tt.warning)
			}
			if len(tt.mint.claims) != tt.minted || tt.mint.revoked != tt.revoked {
				t.Errorf("%d were minted and %d revoked, want %d and %d", len(tt.mint.claims), tt.mint.revoked, tt.minted, tt.revoked)
			}
			if tt.minted > 0 && tt.mint.started != 1 {
				t.Error("it was minted before there was a sandbox")
			}
			if tt.revoked > 0 && !tt.mint.alive {
				t.Error("it was revoked with a context that had ended")
			}
		})
	}
}

// The token says what the attempt is for, and ends with the run's time.
func TestPress_ClaimsWhatTheAttemptIs(t *testing.T) {
	t.Parallel()
	b := bundleOf("plant-1")
	b.Config.Token = "jwt"
	exec := &faulty{}
	m := &mint{value: "token-0123456789", exec: exec}
	job := jobOf(b)
	job.Tokens, job.Generation, job.Attempt = m.tokens, 2, 3
	before := time.Now()
	if outcome, err := runner.Press(t.Context(), exec, job); err != nil || outcome.Failure != nil {
		t.Fatal(err, outcome.Failure)
	}
	got := m.claims[0]
	if got.Run != job.Run || got.Generation != 2 || got.Attempt != 3 || got.Report != "energy" || got.Asset != job.Asset.ID || got.Window != job.Window || len(got.Languages) != len(job.Languages) {
		t.Errorf("got %+v of %+v", got, job)
	}
	if limit := b.Config.Timeout.Run; got.Deadline.Before(before.Add(limit)) || got.Deadline.After(time.Now().Add(limit)) {
		t.Errorf("deadline %v, want %v after the start", got.Deadline, limit)
	}
	if text := fmt.Sprintf("%v %+v %s", runner.Token{Value: "abc"}, runner.Token{Value: "abc"}, runner.Token{Value: "abc"}); strings.Contains(text, "abc") {
		t.Errorf("a token shows itself: %s", text)
	}
}

// A kernel that is not Python's has no environment that could be set after its start.
func TestPress_PutsATokenIntoTheEnvironmentOfPythonAlone(t *testing.T) {
	t.Parallel()
	b := bundleOf("plant-1")
	b.Config.Token, b.Config.TokenEnv = "jwt", "DATA_TOKEN"
	ran := false
	exec := &faulty{FakeExecutor: runnertest.FakeExecutor{OnCell: func(context.Context, runner.Spec, string) (map[string][]byte, error) {
		ran = true
		return nil, nil
	}}}
	m := &mint{value: "token-0123456789", exec: exec}
	job := jobOf(b)
	job.Tokens = m.tokens
	outcome, err := runner.Press(t.Context(), exec, job)
	if err != nil || outcome.Failure == nil || outcome.Failure.Code != runner.TokenFailed {
		t.Fatal(err, outcome.Failure)
	}
	want := "the token can be put into the environment variable DATA_TOKEN of Python kernels only, and this one runs fake: use $TOKEN in an #Environment cell"
	if got := outcome.Failure.Message; got != want || ran || m.revoked != 1 {
		t.Errorf("got %s\nwant %s\na cell ran: %v, revoked %d times", got, want, ran, m.revoked)
	}
}

// A run whose token is not to be had is tried again, but not where nobody grants one.
func TestRunner_TriesATokenAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind     string
		attempts int
	}{"away": {"jwt", 3}, "not granted": {"http", 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exec := &faulty{}
			m := &mint{refuse: errors.New("it is not reached"), exec: exec}
			b := bundleOf("plant-1")
			b.Config.Token = test.kind
			finished := make(chan runner.Manifest, 1)
			r := runner.New(exec, &runnertest.Memory{}, runner.Options{Tokens: m.tokens, Log: slog.New(slog.DiscardHandler), Finished: func(m runner.Manifest) { finished <- m }})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := r.Submit(ctx, slotOf(b, 6)); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			manifest := <-finished
			cancel()
			<-ended
			if got := len(manifest.Attempts); got != test.attempts || manifest.Error.Code != runner.TokenFailed {
				t.Errorf("%d attempts, %v, want %d", got, manifest.Error, test.attempts)
			}
		})
	}
}

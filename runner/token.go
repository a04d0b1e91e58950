package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/redact"
)

// Minter makes the temporary tokens of runs, with which notebooks get at their data.
type Minter interface {
	// Mint makes the token of one attempt. It ends within a time of its own, or with
	// ctx. People read the text of its error, so that holds nothing secret.
	Mint(ctx context.Context, claims Claims) (Token, error)
}

// Tokens says what mints the tokens of a report that asks for one of a kind, or why it
// gets none: in one sentence, which stands in the run's manifest.
type Tokens func(report, kind string) (Minter, error)

// Claims is what a token says about the attempt that it is for.
type Claims struct {
	Run        RunID
	Generation int
	Attempt    int
	Report     string
	Asset      string
	Window     Window
	Languages  []string
	Deadline   time.Time // when the run's time is up: the token need not be good for longer
}

// Token is what a run's notebook shows to whoever has its data. It is written nowhere.
type Token struct {
	Value   string                          `json:"-"`
	Expires time.Time                       // zero: not known
	Revoke  func(ctx context.Context) error // ends the token before it expires; nil: nobody can
}

// String keeps a token out of texts that were not meant to hold one.
func (Token) String() string { return "(a token)" }

const (
	// maxToken bounds a token: servers take request headers of 8 KiB, most of them.
	maxToken = 8 << 10
	// tokenName is what stands where a token stood: [secret TOKEN].
	tokenName = "TOKEN"
	// revokeTimeout is how long the end of a run may wait for its token's.
	revokeTimeout = 10 * time.Second
)

// findMinter finds what mints the run's token, if its report asks for one, before anything
// is started.
func (p *press) findMinter() (err error) {
	kind := p.job.Bundle.Config.Token
	if kind == "" {
		return nil
	}
	err = fmt.Errorf("config.json asks for a token (%s), and there is nothing that mints one", kind)
	if p.job.Tokens != nil {
		p.minter, err = p.job.Tokens(p.job.Report, kind)
	}
	if err != nil {
		return &Failure{Code: TokenFailed, Message: err.Error(), final: true}
	}
	return nil
}

// mint makes the run's token, in a stage of its own. What it returns is to be called at the
// run's end, whatever that is.
func (p *press) mint(ctx context.Context) (revoke func(), err error) {
	revoke = func() { p.revoke(ctx) }
	if p.minter == nil {
		return revoke, nil
	}
	return revoke, p.in("token", "", func() error {
		deadline, _ := ctx.Deadline() // attempt has set one
		minted, err := p.minter.Mint(ctx, Claims{
			Run: p.job.Run, Generation: p.job.Generation, Attempt: p.job.Attempt, Report: p.job.Report,
			Asset: p.job.Asset.ID, Window: p.job.Window, Languages: p.job.Languages, Deadline: deadline,
		})
		if err != nil && ctx.Err() != nil {
			return ctx.Err() // the run's own time is up, or somebody ended it
		}
		if err == nil {
			p.token = minted // and is revoked also if it cannot be used
			err = minted.check()
		}
		if err != nil {
			return &Failure{Code: TokenFailed, Message: err.Error()}
		}
		if err := p.hide(redact.Secret{Name: tokenName, Value: p.token.Value}); err != nil {
			return &Failure{Code: TokenFailed, Message: "the token that was minted cannot be kept out of what the notebook writes: " + strings.TrimPrefix(err.Error(), string(SecretMissing)+": ")}
		}
		if e := p.token.Expires; !e.IsZero() && e.Before(deadline) {
			p.warn("the run's token expires at %s, before the run's time is up at %s",
				e.UTC().Format(time.TimeOnly), deadline.UTC().Format("15:04:05 MST"))
		}
		return nil
	})
}

// check refuses what is no token. RFC 6750 has them of fewer characters still; what matters
// is that a header can hold it and that it ends no text or line that it is put into.
func (t Token) check() error {
	switch {
	case t.Value == "":
		return errors.New("the token that was minted is empty")
	case len(t.Value) > maxToken:
		return fmt.Errorf("the token that was minted has %d bytes; %d are possible", len(t.Value), maxToken)
	case !t.Expires.IsZero() && !t.Expires.After(time.Now()):
		return errors.New("the token that was minted has expired already: are the clocks right?")
	}
	for _, c := range []byte(t.Value) {
		if c < ' ' || c > '~' {
			return errors.New("the token that was minted holds characters that no HTTP header can hold")
		}
	}
	return nil
}

// revoke ends the run's token before it expires, also after ctx has ended.
func (p *press) revoke(ctx context.Context) {
	if p.token.Revoke == nil {
		return
	}
	cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if err := p.token.Revoke(cleanup); err != nil {
		p.warn("the run's token was not revoked, and is good until it expires: %v", err)
	}
}

// environment is what the kernel's environment gets for the notebook before its first
// cell, when the sandbox has long been started.
func (p *press) environment() map[string]string {
	name := p.job.Bundle.Config.TokenEnv
	if name == "" || p.token.Value == "" {
		return nil
	}
	return map[string]string{name: p.token.Value}
}

// setEnvironment gives a kernel environment variables that did not exist yet when its
// sandbox was started. Nothing of it is in the notebook, in the history or on the output
// channel; what the kernel says of a mistake may show the code, and is not read.
func setEnvironment(ctx context.Context, client *jupyter.Client, environment map[string]string) (*Failure, error) {
	if len(environment) == 0 {
		return nil, nil
	}
	names := strings.Join(slices.Sorted(maps.Keys(environment)), ", ")
	var info struct{ Name string }
	_ = json.Unmarshal(client.Info().LanguageInfo, &info) // what cannot be read is no Python
	if !strings.EqualFold(info.Name, "python") {
		return &Failure{Code: TokenFailed, Message: fmt.Sprintf("the token can be put into the environment variable %s of Python kernels only, and this one runs %s: use $TOKEN in an #Environment cell",
			names, cmp.Or(info.Name, "another language")), final: true}, nil
	}
	values, err := json.Marshal(environment)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(string(values)) // a text of JSON in ASCII is one of Python, too
	if err != nil {
		return nil, err
	}
	reply, err := client.ExecuteSilently(ctx, `__import__("os").environ.update(__import__("json").loads(`+string(text)+`))`)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("set %s in the kernel's environment: %w", names, err)
	case reply.Status != "ok":
		return &Failure{Code: TokenFailed, Message: fmt.Sprintf("the kernel did not take the environment variable %s", names)}, nil
	}
	return nil, nil
}

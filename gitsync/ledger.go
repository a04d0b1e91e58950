package gitsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// How long a commit is tried for.
const (
	maxTries   = 64                      // pushes, refused because others were first
	maxStuck   = 6                       // pushes that failed while the branch stayed where it was
	firstPause = 50 * time.Millisecond   // doubled after each push,
	lastPause  = 1600 * time.Millisecond // up to here; a random part of it is slept
)

// LedgerOptions say where a Ledger is. URL and Dir are required.
type LedgerOptions struct {
	URL     string        // http(s)://, ssh://, user@host:path, file:// or a path
	Dir     string        // local folder for the mirror, written by this process alone
	Author  Author        // of the commits
	Auth    Auth          // how to get in
	Timeout time.Duration // bounds one exchange with the remote; 0 means DefaultTimeout
	Log     *slog.Logger  // nil means none

	// At is called at named points of a commit: "commit:before", "commit:after", which is built,
	// "push:before", "push:after", which the remote took, and "ack:after", which is noted. It is for tests that end the process there; nil means nothing.
	At func(point string)
}

// Author signs commits. The zero value is nbpress <nbpress@localhost>.
type Author struct{ Name, Email string }

// Ledger reads branches of a remote and adds commits to them.
type Ledger struct {
	mirror *mirror
	author Author
	at     func(point string)
	serial chan struct{} // one token: who holds it may commit
}

// OpenLedger opens the ledger's local mirror. It does not ask the remote.
func OpenLedger(o LedgerOptions) (*Ledger, error) {
	r, err := newRemote(o.URL, o.Auth, o.Timeout)
	if err != nil {
		return nil, err
	}
	m, err := openMirror(o.Dir, "ledger", r, o.Log)
	if err != nil {
		return nil, err
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	author := Author{cmp.Or(o.Author.Name, "nbpress"), cmp.Or(o.Author.Email, "nbpress@localhost")}
	return &Ledger{mirror: m, author: author, at: o.At, serial: make(chan struct{}, 1)}, nil
}

// Change is what one commit puts on a branch.
type Change struct {
	Branch   string            // made as an orphan where it does not exist
	Files    map[string][]byte // slash-separated path -> whole content
	Delete   []string          // paths; no error for what is not there
	Subject  string            // one line
	Body     string            // may be empty
	Trailers [][2]string       // name and value, at the message's end
	Author   Author            // the zero value means the Ledger's

	// Keep decides about a path that the branch holds already with another
	// content: true leaves the old one. nil replaces always. It is asked again
	// whenever the branch moved, and must not call the Ledger.
	Keep func(path string, old, new []byte) bool
}

// DeclinedError is a push that the remote's rules forbid, a hook or a protected branch,
// or one that there is no room for: a folder stands where a file should, or the other
// way round. Trying again does not help; a person has to.
type DeclinedError struct {
	Branch string
	Reason string // the remote's word: "pre-receive hook declined"
	Output string // what the hook wrote for people, at most a few KiB
}

// Error says what was declined, why, and what the hook wrote.
func (e *DeclinedError) Error() string {
	text := "push to " + e.Branch + " declined: " + e.Reason
	if e.Output != "" {
		text += ": " + e.Output
	}
	return text
}

// pushError is a push of which we know only that no success was reported.
type pushError struct {
	tip plumbing.Hash // on which the commit stood
	err error
}

func (e *pushError) Error() string { return e.err.Error() }
func (e *pushError) Unwrap() error { return e.err }

func (e *pushError) permanent() bool {
	var declined *DeclinedError
	return errors.As(e.err, &declined) || errors.Is(e.err, ErrDenied)
}

// errDamaged is a local mirror that names a commit and lacks a part of it.
var errDamaged = errors.New("local mirror is damaged")

// Commit puts a change on the tip of its branch and returns the commit that holds
// it. Where the tip holds all of it already, that is the tip, and nothing is
// pushed. Others' commits in between are built upon, never replaced.
//
// After a push whose answer was lost the branch is read again, here or at the
// caller's next try, so what landed is not committed twice. Errors: ErrDenied,
// *DeclinedError, or that the remote cannot be reached.
func (l *Ledger) Commit(ctx context.Context, c Change) (Commit, error) {
	if c.Author == (Author{}) {
		c.Author = l.author
	}
	if err := c.check(); err != nil {
		return Commit{}, fmt.Errorf("commit: %w", err)
	}
	fail := func(err error) (Commit, error) {
		return Commit{}, fmt.Errorf("commit to %s: %w", c.Branch, err)
	}
	select {
	case l.serial <- struct{}{}:
		defer func() { <-l.serial }()
	case <-ctx.Done():
		return fail(ctx.Err())
	}
	var last *pushError
	stuck, damaged := 0, 0
	for try := range maxTries {
		commit, err := l.round(ctx, c, last)
		var failed *pushError
		switch {
		case err == nil:
			return commit, nil
		case errors.Is(err, errDamaged) && damaged == 0:
			damaged++
			if err := l.mirror.startOver(); err != nil {
				return fail(err)
			}
			continue
		case !errors.As(err, &failed):
			return fail(err)
		case last != nil && last.tip == failed.tip:
			stuck++
		default:
			stuck = 0
		}
		if last = failed; stuck == maxStuck {
			break
		}
		l.mirror.log.Debug("push did not land, trying again", "branch", c.Branch, "try", try+1, "error", failed)
		if err := pause(ctx, try); err != nil {
			return fail(fmt.Errorf("%w; last push: %w", err, last.err))
		}
	}
	return fail(last.err)
}

// pause sleeps a random time ("full jitter"), so that writers who collided do not
// collide again.
func pause(ctx context.Context, try int) error {
	limit := min(firstPause<<min(try, 10), lastPause)
	select {
	case <-time.After(rand.N(limit)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// round reads the branch's tip, and where it lacks something of the change pushes
// one commit on top of it. last is the failed push before, nil at first: it stands
// where it is permanent and the tip shows that it did not land after all. The
// error is a *pushError if something was sent.
func (l *Ledger) round(ctx context.Context, c Change, last *pushError) (Commit, error) {
	giveBack, err := l.mirror.take(ctx)
	if err != nil {
		return Commit{}, err
	}
	defer giveBack()
	var (
		tip    plumbing.Hash
		result Commit
		sent   bool
		no     *DeclinedError
	)
	err = exchange(ctx, l.mirror.remote, l.mirror.remote.client.NewReceivePackSession, func(ctx context.Context, s transport.ReceivePackSession, advertised refs) error {
		tip = advertised.branches[c.Branch]
		if err := l.ensure(ctx, c.Branch, tip); err != nil {
			sent = errors.Is(err, errMoved) // as good as a lost race
			return err
		}
		l.at("commit:before")
		d, err := l.draft(c, tip)
		if err != nil {
			return err
		}
		l.at("commit:after")
		if d.commit == tip {
			result, err = l.summary(tip)
			return err
		}
		if last != nil && last.permanent() {
			return last
		}
		sent = true
		l.at("push:before")
		if no, err = send(ctx, s, advertised.capabilities, c.Branch, tip, d); err != nil {
			return err
		}
		l.at("push:after") // the remote has taken it
		defer l.at("ack:after")
		if err := l.mirror.keepPushed(ctx, c.Branch, d.objects); err != nil {
			l.mirror.log.Debug("pushed commits stay in memory", "error", err) // it has landed, and the next push tries again
		}
		result, err = l.summary(d.commit)
		return err
	})
	switch {
	case err == nil:
		return result, nil
	case last != nil && last.permanent() && errors.Is(err, last):
		return Commit{}, last.err
	case no != nil:
		no.Output, no.Reason = l.mirror.remote.clean(no.Output), l.mirror.remote.clean(no.Reason)
		return Commit{}, &pushError{tip, no}
	case sent:
		return Commit{}, &pushError{tip, err}
	}
	return Commit{}, err
}

// errMoved is a branch that moved between two looks at it.
var errMoved = errors.New("the branch moved meanwhile")

// ensure makes the commit that a push session saw local.
func (l *Ledger) ensure(ctx context.Context, branch string, tip plumbing.Hash) error {
	if tip.IsZero() || l.mirror.objects().has(tip) {
		return nil
	}
	_, fetched, err := l.mirror.fetch(ctx, branch)
	if err == nil && fetched != tip {
		err = errMoved
	}
	return err
}

func (l *Ledger) summary(hash plumbing.Hash) (Commit, error) {
	c, err := l.mirror.objects().commit(hash)
	if err != nil {
		return Commit{Hash: hash.String()}, nil // it is on the remote; the rest is decoration
	}
	return summary(c), nil
}

// check finds what no remote should be bothered with.
func (c Change) check() error {
	if err := plumbing.NewBranchReferenceName(c.Branch).Validate(); err != nil || c.Branch == "" {
		return fmt.Errorf("branch name %q is not valid", c.Branch)
	}
	if strings.TrimSpace(c.Subject) == "" {
		return errors.New("subject is empty")
	}
	for _, name := range append(slices.Sorted(maps.Keys(c.Files)), c.Delete...) {
		if !fs.ValidPath(name) || name == "." {
			return fmt.Errorf("path %q is not valid", name)
		}
		for element := range strings.SplitSeq(name, "/") {
			if why := unsafeName(element); why != "" {
				return fmt.Errorf("path %q: the name %q %s", name, element, why)
			}
		}
	}
	for _, name := range c.Delete {
		if _, ok := c.Files[name]; ok {
			return fmt.Errorf("path %q is both written and deleted", name)
		}
	}
	return nil
}

// Tip asks the remote for a branch's tip, takes what is new and returns the commit with
// its files, as Repository.Tree does: the way to read many. A branch that does not
// exist is fs.ErrNotExist.
func (l *Ledger) Tip(ctx context.Context, branch string) (Commit, fs.FS, error) {
	giveBack, err := l.mirror.take(ctx)
	if err != nil {
		return Commit{}, nil, fmt.Errorf("read %s: %w", branch, err)
	}
	defer giveBack()
	_, tip, err := l.mirror.fetch(ctx, branch)
	if err != nil {
		return Commit{}, nil, fmt.Errorf("read %w", err)
	}
	commit, err := l.summary(tip)
	if err != nil {
		return Commit{}, nil, fmt.Errorf("read %s: %w", branch, err)
	}
	tree, err := commitTree(l.mirror.objects(), tip, "", 0)
	return commit, tree, err
}

// Tree returns the files of a branch's tip, as Tip does.
func (l *Ledger) Tree(ctx context.Context, branch string) (fs.FS, error) {
	_, tree, err := l.Tip(ctx, branch)
	return tree, err
}

// List returns the paths of a branch's regular files that begin with prefix,
// sorted; fs.ErrNotExist where the branch is not there.
func (l *Ledger) List(ctx context.Context, branch, prefix string) ([]string, error) {
	tree, err := l.Tree(ctx, branch)
	if err != nil {
		return nil, err
	}
	folder := path.Dir(prefix + "x") // the x keeps "a/" in a
	var found []string
	err = fs.WalkDir(tree, folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case name == folder && errors.Is(err, fs.ErrNotExist):
			return fs.SkipAll
		case err != nil:
			return err
		case d.Type().IsRegular() && strings.HasPrefix(name, prefix):
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", branch, err)
	}
	slices.Sort(found)
	return found, nil
}

// Branches returns the names of the remote's branches that begin with prefix, sorted.
func (l *Ledger) Branches(ctx context.Context, prefix string) ([]string, error) {
	var found []string
	err := exchange(ctx, l.mirror.remote, l.mirror.remote.client.NewUploadPackSession, func(_ context.Context, _ transport.UploadPackSession, advertised refs) error {
		for name := range advertised.branches {
			if strings.HasPrefix(name, prefix) {
				found = append(found, name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list branches: %w", err)
	}
	slices.Sort(found)
	return found, nil
}

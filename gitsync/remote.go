package gitsync

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// ErrDenied is what a remote's refusal of the credentials, or of their rights,
// wraps. Trying again does not help.
var ErrDenied = errors.New("access denied")

// DefaultTimeout bounds an exchange with a remote where the options say nothing.
const DefaultTimeout = time.Minute

// remote is a repository elsewhere.
type remote struct {
	name     string // for messages: the URL without credentials
	endpoint transport.Endpoint
	client   transport.Transport
	auth     transport.AuthMethod
	timeout  time.Duration
	secrets  []string // what no message may hold

	connecting chan struct{} // holds one token while a connection is made, also of who gave up waiting
}

// newRemote reads the URL and the credentials. It asks nothing of the network.
func newRemote(rawURL string, auth Auth, timeout time.Duration) (*remote, error) {
	ep, err := endpoint(rawURL)
	if err != nil {
		return nil, err
	}
	r := &remote{timeout: cmp.Or(timeout, DefaultTimeout), connecting: make(chan struct{}, 1)}
	r.secrets = append(r.secrets, auth.Password, auth.Passphrase, ep.Password)
	if ep.Protocol != "ssh" && ep.Password == "" {
		r.secrets = append(r.secrets, ep.User) // hosts take a token for a user's name
	}
	auth.User = cmp.Or(auth.User, ep.User)
	auth.Password = cmp.Or(auth.Password, ep.Password)
	if auth.Password != "" { // as it goes over the wire, and as it stands in addresses
		r.secrets = append(r.secrets, url.QueryEscape(auth.Password), url.PathEscape(auth.Password),
			base64.StdEncoding.EncodeToString([]byte(cmp.Or(auth.User, "git")+":"+auth.Password)))
	}
	ep.User, ep.Password = "", ""
	r.endpoint, r.name = *ep, ep.String()
	r.client, r.auth, err = auth.dialer(ep, r.timeout)
	return r, err
}

// endpoint reads a URL, an scp-like address or a path. Its errors do not repeat
// the URL, which may hold a password.
func endpoint(rawURL string) (*transport.Endpoint, error) {
	if rawURL == "" {
		return nil, errors.New("repository URL is empty")
	}
	if filepath.IsAbs(rawURL) || strings.HasPrefix(rawURL, ".") { // go-git takes a path with a colon for a host
		path, err := filepath.Abs(rawURL)
		return &transport.Endpoint{Protocol: "file", Path: path}, err
	}
	ep, err := transport.NewEndpoint(rawURL)
	var bad *url.Error
	if errors.As(err, &bad) {
		return nil, fmt.Errorf("repository URL: %w", bad.Err)
	}
	if err != nil {
		return nil, errors.New("repository URL is not valid")
	}
	return ep, nil
}

// refs is what a remote advertises.
type refs struct {
	branches     map[string]plumbing.Hash
	head         string // the branch that HEAD names, "" where it names none
	capabilities *capability.List
}

// tip returns the commit of a branch, or fs.ErrNotExist. The empty name is the
// remote's HEAD.
func (r refs) tip(branch string) (string, plumbing.Hash, error) {
	branch = cmp.Or(branch, r.head)
	if branch == "" {
		return "", plumbing.ZeroHash, fmt.Errorf("its HEAD names no branch that has a commit: %w", fs.ErrNotExist)
	}
	tip, ok := r.branches[branch]
	if !ok {
		return branch, plumbing.ZeroHash, fmt.Errorf("branch %s: %w", branch, fs.ErrNotExist)
	}
	return branch, tip, nil
}

// exchange runs one session with the remote, bounded by the timeout.
func exchange[S transport.Session](ctx context.Context, r *remote, start func(*transport.Endpoint, transport.AuthMethod) (S, error), talk func(context.Context, S, refs) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	session, err := connect(ctx, r.connecting, func() (S, error) {
		ep := r.endpoint // the session writes into it
		return start(&ep, r.auth)
	})
	if err != nil {
		return r.explain(ctx, err)
	}
	defer func() {
		if !errors.Is(err, errLeft) {
			session.Close() // what it says is about the process or connection, not about the exchange
		}
	}()
	advertised, err := advertisement(ctx, session)
	if err != nil {
		return r.explain(ctx, err)
	}
	return r.explain(ctx, talk(ctx, session, advertised))
}

// errHangs says that a host took a connection and then said nothing.
var errHangs = errors.New("an earlier connection still waits for the host's answer")

// connect waits for start no longer than ctx allows: go-git's ssh handshake knows
// no deadline. A session that comes later is closed by the goroutine left behind,
// which lasts as long as the connection. There is one at most: it holds turn, so that
// no poll adds another to a host that takes connections and says nothing.
func connect[S io.Closer](ctx context.Context, turn chan struct{}, start func() (S, error)) (S, error) {
	var none S
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", errHangs, ctx.Err())
	}
	type result struct {
		session S
		err     error
	}
	started := make(chan result)
	go func() {
		session, err := start()
		<-turn
		select {
		case started <- result{session, err}:
		case <-ctx.Done():
			if err == nil {
				session.Close()
			}
		}
	}()
	select {
	case r := <-started:
		return r.session, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func advertisement(ctx context.Context, session transport.Session) (refs, error) {
	r := refs{branches: map[string]plumbing.Hash{}, capabilities: capability.NewList()}
	advertised, err := session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.capabilities = advertised.Capabilities
	for name, hash := range advertised.References {
		if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
			r.branches[branch] = hash
		}
	}
	r.head = defaultBranch(advertised, r.branches)
	return r, nil
}

// defaultBranch asks the symref capability, and guesses as Git does where an old
// server has none.
func defaultBranch(advertised *packp.AdvRefs, branches map[string]plumbing.Hash) string {
	for _, symref := range advertised.Capabilities.Get(capability.SymRef) {
		if branch, ok := strings.CutPrefix(symref, "HEAD:refs/heads/"); ok {
			return branch
		}
	}
	for _, branch := range []string{"main", "master"} {
		if advertised.Head != nil && branches[branch] == *advertised.Head {
			return branch
		}
	}
	return ""
}

// explain makes an error of go-git's one of ours: it names the remote, says
// whether the context ended, knows ErrDenied, and holds no secret.
func (r *remote) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var unexpected *plumbing.UnexpectedError // it does not unwrap
	if errors.As(err, &unexpected) {
		err = unexpected.Err
	}
	switch {
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		err = fmt.Errorf("%w: %s", ErrDenied, firstLine(err.Error()))
	case strings.Contains(err.Error(), "ssh: unable to authenticate"): // a plain string of x/crypto's
		err = fmt.Errorf("%w: %w", ErrDenied, err)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		err = errors.New("there is no repository")
	}
	if strings.HasPrefix(err.Error(), r.name+": ") {
		return err // of an exchange within this one
	}
	return fmt.Errorf("%s: %w", r.name, r.scrub(err))
}

// scrub returns err unless its text holds a secret.
func (r *remote) scrub(err error) error {
	text := r.clean(err.Error())
	if text == err.Error() {
		return err
	}
	return &scrubbed{text, err}
}

// clean takes the secrets out of a text.
func (r *remote) clean(text string) string {
	for _, secret := range r.secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// scrubbed is an error whose text held a secret. It still answers errors.Is, but
// does not unwrap: nobody can tell what the wrapped errors print.
type scrubbed struct {
	text string
	err  error
}

func (e *scrubbed) Error() string        { return e.text }
func (e *scrubbed) Is(target error) bool { return errors.Is(e.err, target) }

// firstLine keeps a host's error page out of the log.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const limit = 200
	if len(line) > limit {
		line = strings.ToValidUTF8(line[:limit], "") + "..."
	}
	return line
}

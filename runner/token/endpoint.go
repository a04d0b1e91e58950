package token

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"nbpress/runner"
)

// EndpointOptions say who asks an endpoint, and for what.
type EndpointOptions struct {
	ClientID, ClientSecret string
	SecretInBody           bool // in the form, for endpoints that do not know the Authorization header
	Scopes                 []string
	Parameters             map[string]string // more fields of the form
	// Exchange signs the token that is given in exchange (RFC 8693); nil: the client's own
	// credentials are enough (RFC 6749 section 4.4).
	Exchange  *Signer
	RevokeURL string         // of RFC 7009; "" means that tokens are left to expire
	Timeout   time.Duration  // of getting one, all tries together; default 30 s
	Roots     *x509.CertPool // who signs the endpoint's certificate; nil: whom the system trusts
}

// Endpoint mints tokens by asking an OAuth 2.0 endpoint for one per run.
type Endpoint struct {
	o      EndpointOptions
	config clientcredentials.Config
	client *http.Client
}

// NewEndpoint returns what asks the endpoint at an address. Nothing is asked yet.
func NewEndpoint(address string, o EndpointOptions) *Endpoint {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	style := oauth2.AuthStyleInHeader
	if o.SecretInBody {
		style = oauth2.AuthStyleInParams
	}
	return &Endpoint{o: o, client: newClient(o.Roots), config: clientcredentials.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, TokenURL: address, Scopes: o.Scopes, AuthStyle: style,
	}}
}

// Of one request to an endpoint.
const (
	tryTimeout = 10 * time.Second
	firstPause = 250 * time.Millisecond // before it is asked again; then twice as long each time
	longPause  = 5 * time.Second
)

// Mint implements runner.Minter. It asks again, within its time, where the endpoint was not
// reached or was not able to answer, not where it refused.
func (e *Endpoint) Mint(ctx context.Context, c runner.Claims) (runner.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	form, err := e.form(ctx, c)
	if err != nil {
		return runner.Token{}, err
	}
	config := e.config // a copy, as each run's form is another one
	config.EndpointParams = form
	var answer *oauth2.Token
	err = tries(ctx, func(ctx context.Context) error {
		answer, err = config.Token(context.WithValue(ctx, oauth2.HTTPClient, e.client))
		return plain(err)
	})
	if err != nil {
		return runner.Token{}, fmt.Errorf("the token endpoint %s: %w", place(e.config.TokenURL), err)
	}
	minted := runner.Token{Value: answer.AccessToken, Expires: answer.Expiry}
	if e.o.RevokeURL != "" {
		minted.Revoke = func(ctx context.Context) error { return e.revoke(ctx, answer.AccessToken) }
	}
	return minted, nil
}

// form is what the endpoint is asked beside the client's credentials. It may ignore what it
// does not know (RFC 6749 section 3.2).
func (e *Endpoint) form(ctx context.Context, c runner.Claims) (url.Values, error) {
	form := url.Values{
		"run": {string(c.Run)}, "generation": {strconv.Itoa(c.Generation)}, "attempt": {strconv.Itoa(c.Attempt)},
		"report": {c.Report}, "asset": {c.Asset},
		"from_day": {string(c.Window.FromDay)}, "to_day": {string(c.Window.ToDay)},
		"languages": {strings.Join(c.Languages, " ")}, "expires_at": {strconv.FormatInt(c.Deadline.Unix(), 10)},
	}
	for name, value := range e.o.Parameters {
		form.Set(name, value)
	}
	if e.o.Exchange == nil {
		return form, nil
	}
	subject, err := e.o.Exchange.Mint(ctx, c)
	maps.Copy(form, url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {subject.Value},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	})
	return form, err
}

// revoke ends a token (RFC 7009): the endpoint answers the same where it has ended already.
func (e *Endpoint) revoke(ctx context.Context, value string) error {
	form := url.Values{"token": {value}, "token_type_hint": {"access_token"}}
	if e.o.SecretInBody {
		form.Set("client_id", e.o.ClientID)
		form.Set("client_secret", e.o.ClientSecret)
	}
	err := tries(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.o.RevokeURL, strings.NewReader(form.Encode()))
		if err != nil {
			return errors.New("its address cannot be used")
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if !e.o.SecretInBody { // RFC 6749 section 2.3.1 has both encoded as in a form
			request.SetBasicAuth(url.QueryEscape(e.o.ClientID), url.QueryEscape(e.o.ClientSecret))
		}
		response, err := e.client.Do(request)
		if err != nil {
			return plain(err)
		}
		defer response.Body.Close() // it was read
		if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
			return refusal{status: response.StatusCode}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the endpoint %s: %w", place(e.o.RevokeURL), err)
	}
	return nil
}

// tries does something until it is done, refused for good, or ctx ends. A try under way is
// not canceled, but left to its time: a token whose answer nobody took could not be revoked.
func tries(ctx context.Context, do func(ctx context.Context) error) error {
	var last error
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		limit := tryTimeout
		if deadline, ok := ctx.Deadline(); ok {
			limit = min(limit, time.Until(deadline))
		}
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		err := do(try)
		cutShort := limit < tryTimeout && try.Err() != nil
		cancel()
		if err == nil || !passing(err) {
			return err
		}
		if last == nil || !cutShort { // one that had no time of its own says less than the one before
			last = err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)): // agents that were turned away together do not come back so
		case <-ctx.Done():
			return last
		}
	}
}

// place is an address without what may be secret in it.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(no address)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

package token

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"
)

// What an endpoint answers is read with limits, and none of its text goes further: an
// endpoint that is broken may well answer with the token, or with what it was sent.

const (
	answerLimit = 64 << 10 // of a body; a token of more than 8 KiB is of no use
	headerLimit = 32 << 10
)

// newClient returns a client that follows no redirects, with which the secret would go to
// somebody else, and reads answers of a bounded size.
func newClient(roots *x509.CertPool) *http.Client {
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: tryTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: headerLimit,
		MaxIdleConns:           2,
		IdleConnTimeout:        30 * time.Second,
	}
	return &http.Client{
		Transport:     bounded{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded reads each answer to its end, so that one that breaks off, or has no end, is told
// from one that is no token.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, answerLimit+1))
	_ = response.Body.Close() // what is left of it is not wanted
	if err != nil {
		return nil, &cutError{err}
	}
	if len(body) > answerLimit {
		return nil, errTooLarge
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

var errTooLarge = fmt.Errorf("it answered more than %d KiB", answerLimit>>10)

// cutError is an answer that broke off.
type cutError struct{ err error }

func (e *cutError) Error() string { return "its answer broke off" }
func (e *cutError) Unwrap() error { return e.err }

// refusal is an answer that is a refusal.
type refusal struct {
	status int
	code   string // one of codes; "" where it gave none that is known
}

func (r refusal) Error() string {
	text := fmt.Sprintf("it answered %d %s", r.status, http.StatusText(r.status))
	if r.code != "" {
		text += ", " + r.code
	}
	switch {
	case r.status == http.StatusUnauthorized || r.code == "invalid_client":
		text += ": are client_id and the client's secret right?"
	case r.status >= 300 && r.status < 400:
		text += ": redirects are not followed; write the address that it leads to"
	}
	return text
}

// codes are the words for refusals of RFC 6749 section 5.2, RFC 7009 and RFC 8693, and
// those that endpoints borrow from section 4.1.2.1.
var codes = [...]string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"unsupported_token_type", "invalid_target", "access_denied", "server_error", "temporarily_unavailable",
}

// passingError is a fault that may be over when the endpoint is asked again.
type passingError struct{ text string }

func (e passingError) Error() string { return e.text }

// passing reports whether it makes sense to ask again.
func passing(err error) bool {
	var refused refusal
	if errors.As(err, &refused) {
		switch refused.status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		}
		return refused.status >= 500
	}
	var again passingError
	return errors.As(err, &again)
}

// plain returns an error of an exchange in words of our own.
func plain(err error) error {
	var retrieve *oauth2.RetrieveError
	var transport *url.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &retrieve):
		code := ""
		if slices.Contains(codes[:], retrieve.ErrorCode) {
			code = retrieve.ErrorCode
		}
		return refusal{status: retrieve.Response.StatusCode, code: code}
	case errors.As(err, &transport):
		return unreached(transport.Err)
	}
	return errors.New("what it answered is no token")
}

// unreached returns an error of the network in words of our own, or of the operating
// system's.
func unreached(err error) error {
	var certificate *tls.CertificateVerificationError
	var name *net.DNSError
	var network *net.OpError
	var cut *cutError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errTooLarge):
		return errTooLarge
	case errors.As(err, &certificate):
		return fmt.Errorf("its certificate is refused: %w", certificate.Err)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return passingError{"it did not answer in time"}
	case errors.As(err, &name):
		return passingError{fmt.Sprintf("no host %q is known", name.Name)}
	case errors.As(err, &network) && network.Op == "dial":
		return passingError{"it is not reached: " + network.Err.Error()}
	case errors.As(err, &cut), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return passingError{"its answer broke off"}
	}
	return errors.New("what it answers is not HTTP, or not over TLS")
}

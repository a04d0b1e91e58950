package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Provider is the host that a delivery says to be from.
type Provider string

// The providers. Unknown is a request with no header of any of them.
const (
	GitHub  Provider = "github"
	GitLab  Provider = "gitlab"
	Gitea   Provider = "gitea" // Forgejo too
	Unknown Provider = "unknown"
)

// Outcome is what became of a delivery.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted" // a push: the function was called
	Ignored  Outcome = "ignored"  // genuine, but another event or a ref of no interest
	Refused  Outcome = "refused"  // the secret was wrong, or there was none
	Broken   Outcome = "broken"   // the body did not come in, or is too large
)

// Providers lists them all.
func Providers() []Provider { return []Provider{GitHub, GitLab, Gitea, Unknown} }

// Outcomes lists them all.
func Outcomes() []Outcome { return []Outcome{Accepted, Ignored, Refused, Broken} }

// maxBody is the largest payload of GitHub, which sends no larger ones
// (https://docs.github.com/en/webhooks/webhook-events-and-payloads). GitLab's limit of
// commits per push and Gitea's of a page of them keep theirs far below.
const maxBody = 25 << 20

// maxHead is how much of a body is kept, to find the ref in.
const maxHead = 64 << 10

// Options are what a Handler may be given.
type Options struct {
	// Ignore reports whether pushes to a ref are of no interest. A ref that could not be
	// found in the payload is not asked about: it is of interest. Default: none.
	Ignore func(ref string) bool
	// Count is told of every delivery.
	Count func(Provider, Outcome)
}

// Handler answers deliveries. It is safe for concurrent use.
type Handler struct {
	secret string
	pushed func()
	ignore func(ref string) bool
	count  func(Provider, Outcome)
}

// New returns a handler for deliveries that are made with a secret, which may not be
// empty. pushed is called for each push; it must not block, since the host waits.
func New(secret string, pushed func(), options Options) (*Handler, error) {
	if secret == "" {
		return nil, errors.New("the webhook's secret is empty")
	}
	h := &Handler{secret: secret, pushed: pushed, ignore: options.Ignore, count: options.Count}
	if h.ignore == nil {
		h.ignore = func(string) bool { return false }
	}
	if h.count == nil {
		h.count = func(Provider, Outcome) {}
	}
	return h, nil
}

// answer is what a delivery gets. The text is what the hosts show beside it to who set
// the webhook up.
type answer struct {
	outcome Outcome
	status  int
	text    string
}

// ServeHTTP takes a delivery and answers it at once.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost { // somebody looks at the address: no delivery
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "webhooks are delivered by POST", http.StatusMethodNotAllowed)
		return
	}
	from := providerOf(r.Header)
	a := h.take(w, r, from)
	h.count(from, a.outcome)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = fmt.Fprintln(w, a.text) // who does not read it has the status
}

func (h *Handler) take(w http.ResponseWriter, r *http.Request, from Provider) answer {
	given, ok := signatureOf(from, r.Header)
	if !ok { // before a byte of the body is read
		return answer{Refused, http.StatusUnauthorized, "no signature that is known here: is the webhook's secret set?"}
	}
	mac, head := hmac.New(sha256.New, []byte(h.secret)), &beginning{}
	switch _, err := io.Copy(io.MultiWriter(mac, head), http.MaxBytesReader(w, r.Body, maxBody)); {
	case errors.As(err, new(*http.MaxBytesError)):
		return answer{Broken, http.StatusRequestEntityTooLarge, "the body is too large"}
	case err != nil:
		return answer{Broken, http.StatusBadRequest, "the body did not come in"}
	}
	if !given.genuine(h.secret, mac.Sum(nil)) {
		return answer{Refused, http.StatusForbidden, "the secret is wrong; for Gitea, is the content type application/json?"}
	}
	if !isPush(from, r.Header) {
		return answer{Ignored, http.StatusOK, "not a push: ignored"}
	}
	if ref := refIn(r.Header.Get("Content-Type"), head.bytes); ref != "" && h.ignore(ref) {
		return answer{Ignored, http.StatusOK, "of no interest: ignored"}
	}
	h.pushed()
	return answer{Accepted, http.StatusAccepted, "the repository will be asked"}
}

// beginning keeps the first bytes that are written to it.
type beginning struct{ bytes []byte }

func (b *beginning) Write(p []byte) (int, error) {
	b.bytes = append(b.bytes, p[:min(len(p), maxHead-len(b.bytes))]...)
	return len(p), nil
}

package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// providerOf finds who a delivery says to be from. Gitea and Forgejo send GitHub's
// headers beside their own, for who knows only those.
func providerOf(header http.Header) Provider {
	has := func(names ...string) bool {
		for _, name := range names {
			if header.Get(name) != "" {
				return true
			}
		}
		return false
	}
	switch {
	case has("X-Gitea-Event", "X-Gitea-Signature"):
		return Gitea
	case has("X-Gitlab-Event", "X-Gitlab-Token"):
		return GitLab
	case has("X-GitHub-Event", "X-Hub-Signature-256"):
		return GitHub
	}
	return Unknown
}

// isPush reports whether the event is a push to branches.
func isPush(from Provider, header http.Header) bool {
	switch from {
	case GitHub:
		return header.Get("X-GitHub-Event") == "push"
	case GitLab: // tags have a hook of their own
		return header.Get("X-Gitlab-Event") == "Push Hook"
	case Gitea:
		return header.Get("X-Gitea-Event") == "push"
	}
	return false
}

// signature is what proves that a delivery's sender knows the secret: either a sum over
// the body or, as GitLab does it, the secret itself.
type signature struct {
	sum   []byte // HMAC-SHA256 of the body
	token string // where there is no sum
}

// signatureOf reads a delivery's signature; false where there is none that could be
// right. SHA-1 sums, which GitHub sends for old receivers, do not count.
func signatureOf(from Provider, header http.Header) (signature, bool) {
	text, ok := "", true
	switch from {
	case GitHub:
		text, ok = strings.CutPrefix(header.Get("X-Hub-Signature-256"), "sha256=")
	case Gitea:
		text = header.Get("X-Gitea-Signature")
	case GitLab:
		token := header.Get("X-Gitlab-Token")
		return signature{token: token}, token != ""
	default:
		return signature{}, false
	}
	sum, err := hex.DecodeString(text)
	return signature{sum: sum}, ok && err == nil && len(sum) == sha256.Size
}

// genuine reports, in constant time, whether the signature is that of who knows the
// secret. mac is the HMAC-SHA256 of the body.
func (s signature) genuine(secret string, mac []byte) bool {
	if s.sum != nil {
		return hmac.Equal(s.sum, mac)
	}
	// Sums are compared, so that the time tells nothing of the secret's length.
	want, given := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(s.token))
	return hmac.Equal(want[:], given[:])
}

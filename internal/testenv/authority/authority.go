// Package authority is an OAuth 2.0 server for tests: it gives out tokens (RFC 6749, RFC
// 8693), takes them back (RFC 7009), and has data that only who holds one of them gets. It
// keeps a log of its own, which says what really happened.
package authority

import (
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The client that the server knows.
const (
	ClientID     = "nbpress & co" // which has to be encoded in headers
	ClientSecret = "s3cret:of/the+client"
)

// Server is an authority. Its methods may be called from any goroutine.
type Server struct {
	URL string // /token, /revoke and /data are below it

	http *httptest.Server

	mu       sync.Mutex // guards what follows
	lifetime time.Duration
	fault    func(w http.ResponseWriter, r *http.Request) bool
	tokens   map[string]*grant
	order    []*grant
	asked    int
}

// grant is one token.
type grant struct {
	value   string
	form    url.Values
	expires time.Time
	revoked int
	used    int
}

// New starts a server that ends with the test: with TLS, or without.
func New(t testing.TB, secure bool) *Server {
	s := Start(secure)
	t.Cleanup(s.Close)
	return s
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// Start starts a server: with TLS, or without.
func Start(secure bool) *Server {
	s := &Server{tokens: map[string]*grant{}, lifetime: time.Hour}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.mint)
	mux.HandleFunc("POST /revoke", s.revoke)
	mux.HandleFunc("GET /data", s.data)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // all of it is read, so that the server notices who hangs up
		s.mu.Lock()
		s.asked++
		fault := s.fault
		s.mu.Unlock()
		if fault == nil || !fault(w, r) {
			mux.ServeHTTP(w, r)
		}
	})
	if secure {
		s.http = httptest.NewTLSServer(handler)
	} else {
		s.http = httptest.NewServer(handler)
	}
	s.URL = s.http.URL
	return s
}

// Certificate returns the server's certificate as PEM.
func (s *Server) Certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
}

// SetLifetime says how long tokens are good; 0: it is not told.
func (s *Server) SetLifetime(lifetime time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifetime = lifetime
}

// SetFault lets something else answer requests, those for which it returns true; nil ends
// that.
func (s *Server) SetFault(fault func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// Asked returns how many requests came.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Tokens returns the tokens that were given out, in order.
func (s *Server) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []string
	for _, g := range s.order {
		values = append(values, g.value)
	}
	return values
}

// Form returns what was asked for with a token.
func (s *Server) Form(token string) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[token].form
}

// Used returns how often data was had with a token.
func (s *Server) Used(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[token].used
}

// TotalUsed returns how often data was had with any token.
func (s *Server) TotalUsed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, g := range s.order {
		total += g.used
	}
	return total
}

// Revoked returns how often each token was revoked, in the order of Tokens.
func (s *Server) Revoked() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []int
	for _, g := range s.order {
		times = append(times, g.revoked)
	}
	return times
}

func (s *Server) mint(w http.ResponseWriter, r *http.Request) {
	if !known(r) {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	grants := []string{"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"}
	if !slices.Contains(grants, r.PostForm.Get("grant_type")) {
		refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{value: "token-" + rand.Text() + rand.Text(), form: r.PostForm}
	answer := map[string]any{"access_token": g.value, "token_type": "Bearer"}
	if s.lifetime != 0 {
		g.expires = time.Now().Add(s.lifetime)
		answer["expires_in"] = int(s.lifetime.Seconds())
	}
	s.tokens[g.value], s.order = g, append(s.order, g)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	if !known(r) {
		refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.tokens[r.PostForm.Get("token")]; g != nil {
		g.revoked++
	}
}

// data is for who has a token that is good.
func (s *Server) data(w http.ResponseWriter, r *http.Request) {
	value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.tokens[value]
	if g == nil || g.revoked > 0 || !g.expires.IsZero() && time.Now().After(g.expires) {
		refuse(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	g.used++
	_ = json.NewEncoder(w).Encode(map[string]any{"kwh": 144.4})
}

// known tells whether a request is the client's, and reads its form.
func known(r *http.Request) bool {
	if r.ParseForm() != nil {
		return false
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return r.PostForm.Get("client_id") == ClientID && r.PostForm.Get("client_secret") == ClientSecret
	}
	id, idErr := url.QueryUnescape(id)
	secret, err := url.QueryUnescape(secret)
	return idErr == nil && err == nil && id == ClientID && secret == ClientSecret
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

package token_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"nbpress/internal/testenv/authority"
	"nbpress/runner"
	"nbpress/runner/token"
)

// claimsOf is an attempt that has ten minutes.
func claimsOf(t testing.TB) runner.Claims {
	t.Helper()
	return runner.Claims{
		Run: "k3v9", Generation: 2, Attempt: 3, Report: "energy/weekly", Asset: "plant-1",
		Window:    runner.Window{FromDay: "2026-11-16", ToDay: "2026-11-22"},
		Languages: []string{"en", "ca"}, Deadline: time.Now().Add(10 * time.Minute),
	}
}

// endpointOf returns what asks a server as its client.
func endpointOf(t testing.TB, s *authority.Server, o token.EndpointOptions) *token.Endpoint {
	t.Helper()
	o.ClientID, o.ClientSecret, o.RevokeURL = authority.ClientID, authority.ClientSecret, s.URL+"/revoke"
	if o.Roots == nil {
		o.Roots = x509.NewCertPool()
		o.Roots.AppendCertsFromPEM(s.Certificate())
	}
	return token.NewEndpoint(s.URL+"/token", o)
}

func TestEndpoint_MintsForARunAndRevokes(t *testing.T) {
	for name, o := range map[string]token.EndpointOptions{
		"in the header": {Scopes: []string{"read", "reports"}, Parameters: map[string]string{"audience": "https://data.example.com"}},
		"in the body":   {SecretInBody: true, Scopes: []string{"read", "reports"}, Parameters: map[string]string{"audience": "https://data.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := authority.New(t, true)
			minted, err := endpointOf(t, s, o).Mint(t.Context(), claimsOf(t))
			if err != nil {
				t.Fatal(err)
			}
			if all := s.Tokens(); len(all) != 1 || minted.Value != all[0] {
				t.Fatalf("got %q, the server gave %q", minted.Value, all)
			}
			if left := time.Until(minted.Expires); left < 50*time.Minute || left > time.Hour {
				t.Errorf("it expires in %v, want an hour", left)
			}
			form := s.Form(minted.Value)
			for field, want := range map[string]string{
				"grant_type": "client_credentials", "scope": "read reports", "audience": "https://data.example.com",
				"run": "k3v9", "generation": "2", "attempt": "3", "report": "energy/weekly", "asset": "plant-1",
				"from_day": "2026-11-16", "to_day": "2026-11-22", "languages": "en ca",
			} {
				if got := form.Get(field); got != want {
					t.Errorf("%s is %q, want %q", field, got, want)
				}
			}
			if err := minted.Revoke(t.Context()); err != nil {
				t.Error(err)
			}
			if got := s.Revoked(); got[0] != 1 {
				t.Errorf("revoked %v times", got)
			}
		})
	}
}

func TestEndpoint_ExchangesASignedToken(t *testing.T) {
	s := authority.New(t, true)
	signer, err := token.NewSigner(pemOf(t, newEd25519(t)), token.SignerOptions{Audience: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	minted, err := endpointOf(t, s, token.EndpointOptions{Exchange: signer}).Mint(t.Context(), claimsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	form := s.Form(minted.Value)
	if got, want := form.Get("grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange"; got != want {
		t.Errorf("grant_type %q, want %q", got, want)
	}
	if got, want := form.Get("subject_token_type"), "urn:ietf:params:oauth:token-type:jwt"; got != want {
		t.Errorf("subject_token_type %q, want %q", got, want)
	}
	if parts := strings.Count(form.Get("subject_token"), "."); parts != 2 {
		t.Errorf("subject_token %q is no JWT", form.Get("subject_token"))
	}
}

// answers has all requests for tokens answered so.
func answers(status int, contentType, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

// raw answers with bytes that are no HTTP.
func raw(bytes string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, bytes)
			_ = conn.Close()
		}
		return true
	}
}

// onlyOnce answers one request, and leaves the others to wait.
func onlyOnce(answer func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) bool {
		silent := true
		once.Do(func() { silent = false })
		if silent {
			<-r.Context().Done()
			return true
		}
		return answer(w, r)
	}
}

// leak is what endpoints answer here, and nobody may say after them.
const leak = "leaked-token-of-somebody"

func TestEndpoint_SaysInItsOwnWordsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(http.ResponseWriter, *http.Request) bool
		want   string
		asked  int // 0: more than once
		secret string
	}{
		{name: "a wrong secret", secret: leak, want: "it answered 401 Unauthorized, invalid_client: are client_id and the client's secret right?", asked: 1},
		{name: "a refusal", fault: answers(400, "application/json", `{"error": "invalid_scope", "error_description": "`+leak+`"}`), want: "it answered 400 Bad Request, invalid_scope", asked: 1},
		{name: "a refusal with status 200", fault: answers(200, "application/json", `{"error": "invalid_grant"}`), want: "it answered 200 OK, invalid_grant", asked: 1},
		{name: "a refusal of its own kind", fault: answers(403, "application/json", `{"error": "`+leak+`"}`), want: "it answered 403 Forbidden", asked: 1},
		{name: "another page", fault: answers(404, "text/html", "<p>"+leak), want: "it answered 404 Not Found", asked: 1},
		{name: "no JSON", fault: answers(200, "application/json", leak), want: "what it answered is no token", asked: 1},
		{name: "no token in it", fault: answers(200, "application/json", `{"token": "`+leak+`"}`), want: "what it answered is no token", asked: 1},
		{name: "a token that is a list", fault: answers(200, "application/json", `{"access_token": ["`+leak+`"]}`), want: "what it answered is no token", asked: 1},
		{name: "a page", fault: answers(200, "text/html", "<html>"+leak), want: "what it answered is no token", asked: 1},
		{name: "a broken form", fault: answers(200, "text/plain", "access_token=%zz"+leak), want: "what it answered is no token", asked: 1},
		{name: "too much", fault: answers(200, "application/json", `{"access_token": "`+leak+`", "x": "`+strings.Repeat("x", 1<<20)+`"}`), want: "it answered more than 64 KiB", asked: 1},
		{name: "no HTTP", fault: raw(leak + "\r\n\r\n"), want: "what it answers is not HTTP, or not over TLS", asked: 1},
		{name: "headers without end", fault: raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat(leak, 4000) + "\r\n\r\n"), want: "what it answers is not HTTP, or not over TLS", asked: 1},
		{name: "a redirect", fault: func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/elsewhere?"+leak, http.StatusTemporaryRedirect)
			return true
		}, want: "it answered 307 Temporary Redirect: redirects are not followed", asked: 1},
		{name: "down", fault: answers(503, "text/plain", leak), want: "it answered 503 Service Unavailable"},
		{name: "busy", fault: answers(429, "text/plain", leak), want: "it answered 429 Too Many Requests"},
		{name: "breaks off", fault: raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + leak), want: "its answer broke off"},
		{name: "hangs up", fault: raw(""), want: "its answer broke off"},
		{name: "down, and silent when time is up", fault: onlyOnce(answers(503, "text/plain", leak)), want: "it answered 503 Service Unavailable"},
		{name: "slow", fault: func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }, want: "it did not answer in time", asked: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := authority.New(t, true)
			s.SetFault(tt.fault)
			timeout := time.Minute // which no answer needs
			if tt.asked == 0 || tt.name == "slow" {
				timeout = 2 * time.Second // all of it is waited for
			}
			endpoint := endpointOf(t, s, token.EndpointOptions{Timeout: timeout})
			if tt.secret != "" {
				roots := x509.NewCertPool()
				roots.AppendCertsFromPEM(s.Certificate())
				endpoint = token.NewEndpoint(s.URL+"/token", token.EndpointOptions{ClientID: authority.ClientID, ClientSecret: tt.secret, Roots: roots})
			}
			_, err := endpoint.Mint(t.Context(), claimsOf(t))
			if err == nil {
				t.Fatal("a token")
			}
			if want := "the token endpoint " + s.URL + "/token: " + tt.want; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v\nwant %s", err, want)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, leak) || strings.Contains(text, authority.ClientSecret) {
				t.Errorf("the error tells: %s", text)
			}
			if asked := s.Asked(); tt.asked > 0 && asked != tt.asked || tt.asked == 0 && asked < 2 {
				t.Errorf("it was asked %d times", asked)
			}
		})
	}
}

func TestEndpoint_ThatIsNotReached(t *testing.T) {
	s := authority.New(t, true)
	for _, tt := range []struct {
		name, address string
		timeout       time.Duration
		want          string
	}{
		// At port 1 nobody listens, and the second name is none: no server is asked for it.
		{"nobody listens", "https://127.0.0.1:1/token?key=" + leak, 2 * time.Second, "it is not reached: connect: connection refused"},
		{"no such host", "https://nobody..invalid/token", 2 * time.Second, `no host "nobody..invalid" is known`},
		{"a certificate that nobody trusts", s.URL + "/token", time.Minute, "its certificate is refused: x509: certificate signed by unknown authority"},
		{"no TLS there", authority.New(t, false).URL + "/token", time.Minute, "what it answers is not HTTP, or not over TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := strings.Replace(tt.address, "http://", "https://", 1)
			_, err := token.NewEndpoint(address, token.EndpointOptions{Timeout: tt.timeout, Roots: x509.NewCertPool()}).Mint(t.Context(), claimsOf(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), leak) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestEndpoint_IsAskedAgain(t *testing.T) {
	s := authority.New(t, true)
	times := 0
	s.SetFault(func(w http.ResponseWriter, r *http.Request) bool {
		times++ // by one request after the other
		return times < 3 && answers(502, "text/plain", leak)(w, r)
	})
	minted, err := endpointOf(t, s, token.EndpointOptions{}).Mint(t.Context(), claimsOf(t))
	if err != nil || s.Asked() != 3 {
		t.Fatalf("%v after %d requests, want a token after 3", err, s.Asked())
	}
	times = 0
	if err := minted.Revoke(t.Context()); err != nil || s.Revoked()[0] != 1 {
		t.Errorf("%v, revoked %v", err, s.Revoked())
	}
}

// A run that is canceled while its token is on the way gets it all the same, to revoke it.
func TestEndpoint_WaitsForATokenThatWasAskedFor(t *testing.T) {
	s := authority.New(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.SetFault(func(http.ResponseWriter, *http.Request) bool { cancel(); return false })
	minted, err := endpointOf(t, s, token.EndpointOptions{}).Mint(ctx, claimsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := minted.Revoke(context.WithoutCancel(ctx)); err != nil || s.Revoked()[0] != 1 {
		t.Errorf("%v, revoked %v", err, s.Revoked())
	}
}

func TestEndpoint_TellsThatATokenWasNotRevoked(t *testing.T) {
	s := authority.New(t, true)
	minted, err := endpointOf(t, s, token.EndpointOptions{}).Mint(t.Context(), claimsOf(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"it answered 404 Not Found":           answers(404, "text/plain", minted.Value),
		"it answered 503 Service Unavailable": answers(503, "text/plain", minted.Value),
		"its answer broke off":                raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + minted.Value),
	} {
		s.SetFault(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := minted.Revoke(ctx)
		cancel()
		if want := "the endpoint " + s.URL + "/revoke: " + name; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// answered is a transport with one answer.
type answered string

func (a answered) handler(w http.ResponseWriter, _ *http.Request) bool {
	return raw(string(a))(w, nil)
}

// FuzzEndpoint has an endpoint answer anything: that is a token, or an error that says
// nothing of it.
func FuzzEndpoint(f *testing.F) {
	s := authority.New(f, false)
	ok := "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: "
	for _, seed := range []string{
		ok + "application/json\r\n\r\n" + `{"access_token": "CANARYCANARY", "token_type": "Bearer", "expires_in": 3600}`,
		ok + "application/json\r\n\r\n" + `{"access_token": "CANARYCANARY", "expires_in": "-99999999999999999999"}`,
		ok + "text/plain\r\n\r\naccess_token=CANARYCANARY&expires_in=1",
		ok + "application/json\r\n\r\n" + `{"error": "CANARYCANARY"}`,
		"HTTP/1.1 400 CANARYCANARY\r\n\r\n", "CANARYCANARY", "HTTP/1.1 200 OK\r\nCANARYCANARY\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: http://CANARYCANARY/\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	endpoint := token.NewEndpoint(s.URL+"/token", token.EndpointOptions{ClientID: "a", ClientSecret: "SECRETSECRET", Timeout: 100 * time.Millisecond})
	f.Fuzz(func(t *testing.T, answer []byte) {
		s.SetFault(answered(answer).handler)
		minted, err := endpoint.Mint(t.Context(), claimsOf(t))
		if err == nil && minted.Value == "" {
			t.Error("neither a token nor an error")
		}
		if err != nil && (strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "SECRETSECRET")) {
			t.Errorf("the error tells: %v", err)
		}
	})
}

package bucket

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// Proxy stands between clients and the server and returns the address for clients. Each
// request is given to meddle, and what it does is what happens; pass is the server.
func (s *Server) Proxy(t testing.TB, meddle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // what breaks is the tests' doing
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { meddle(w, r, pass) }))
	t.Cleanup(front.Close)
	return front.URL
}

// Refuse answers every nth request with an error that S3 sends when it has too much to
// do, in turn one of some statuses, and passes on the rest.
func Refuse(nth int64, statuses ...int) func(http.ResponseWriter, *http.Request, http.Handler) {
	var seen atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if n := seen.Add(1); n%nth == 0 {
			http.Error(w, "", statuses[int(n/nth)%len(statuses)])
			return
		}
		pass.ServeHTTP(w, r)
	}
}

// LoseAnswer passes a request on and then breaks the connection instead of answering.
func LoseAnswer(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	pass.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

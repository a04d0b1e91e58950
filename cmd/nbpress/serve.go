package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"nbpress/internal/webhook"
)

// What one peer may take of the agent's server. The bodies of deliveries are bounded by
// the webhook.
const (
	maxConnections = 100 // each has a file descriptor, of which runs need some too
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // to send a request; as much again to take the answer
	idleTimeout    = 30 * time.Second
	maxHeader      = 16 << 10
	hangUpTimeout  = 5 * time.Second // for what is being answered when the agent ends
)

// server answers on the agent's address, for as long as the process lives:
//
//	POST /webhook   something was pushed: rings a bell; 503 while another agent works
//	GET  /metrics   numbers, for Prometheus
//	GET  /readyz    what is down, if anything
//	GET  /healthz   the process lives
//	GET  /.well-known/jwks.json   what the runs' tokens are checked with
type server struct {
	http     *http.Server
	listener net.Listener
}

// listen takes the agent's address; nil where it has none. From here on peers can
// connect; they are answered once serve is called.
func (s *station) listen(ctx context.Context) (*server, error) {
	if s.c.Listen == "" {
		return nil, nil
	}
	handler, err := s.handler()
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", s.c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s, the configuration's `listen`: %w", s.c.Listen, err)
	}
	s.log.Info("listening", "address", listener.Addr().String())
	return &server{listener: netutil.LimitListener(listener, maxConnections), http: newServer(handler, s.log)}, nil
}

func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: 2 * requestTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what peers do wrong does not fill the log
	}
}

func (s *station) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.handler())
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	if s.tokens.signer != nil {
		mux.HandleFunc("GET "+jwksPath, s.tokens.serveKeys)
	}
	secret, err := s.c.Repository.Webhook.read()
	if err != nil || secret == "" {
		return mux, err
	}
	refused := &refusals{log: s.log}
	hook, err := webhook.New(secret, s.pushed.ring, webhook.Options{
		Ignore: ownPush,
		Count: func(from webhook.Provider, outcome webhook.Outcome) {
			s.metrics.deliveries.WithLabelValues(string(from), string(outcome)).Inc()
			if outcome == webhook.Refused {
				refused.note(from, time.Now())
			}
		},
	})
	mux.HandleFunc("/webhook", func(w http.ResponseWriter, r *http.Request) {
		if s.working.Load() == nil {
			http.Error(w, "this agent stands by; another one works, and asks the repository by itself", http.StatusServiceUnavailable)
			return
		}
		hook.ServeHTTP(w, r)
	})
	return mux, err
}

// serve answers until ctx ends. The error is of a listener that is broken for good.
func (s *server) serve(ctx context.Context) error {
	if s == nil { // nowhere
		<-ctx.Done()
		return nil
	}
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), hangUpTimeout)
	defer cancel()
	if s.http.Shutdown(last) != nil {
		_ = s.http.Close() // hangs up on who is still talking
	}
	<-failed
	return nil
}

// ownPush reports whether a ref is one that tells of no commit and no request: of the
// branches of the ledger, which the agent pushes itself, and of tags. It would wake
// itself with each commit to the ledger.
func ownPush(ref string) bool {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	return !ok || branch == boardBranch || strings.HasPrefix(branch, "runs/20")
}

// refusalPause is how often refused deliveries are logged at most.
const refusalPause = time.Minute

// refusals logs deliveries that were refused, not one by one: anybody can send them.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex // guards what follows
	logged time.Time
	since  int // refused since then
}

func (r *refusals) note(from webhook.Provider, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since++
	if !r.logged.IsZero() && now.Sub(r.logged) < refusalPause {
		return
	}
	r.log.Warn("webhook delivery refused: its secret is not ours", "provider", from, "refused", r.since)
	r.logged, r.since = now, 0
}

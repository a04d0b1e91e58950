package kube

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// TestExecer_RunsProgramsAtTheDesk: none in the notebook's container, by whatever stream.
func TestExecer_RunsProgramsAtTheDesk(t *testing.T) {
	for _, spdyOnly := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan string, 1)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case asked <- strings.Join(r.URL.Query()["container"], ","):
			default:
			}
			cancel()
			panic(http.ErrAbortHandler)
		}))
		e := execer{config: &rest.Config{Host: server.URL}, namespace: "reports", pod: "press-1", spdyOnly: spdyOnly}
		if err := e.run(ctx, []string{"true"}, strings.NewReader(""), nil, nil); err == nil {
			t.Error("it ran")
		}
		if got := <-asked; got != "desk" {
			t.Errorf("a program was to run in %q", got)
		}
		server.Close()
	}
}

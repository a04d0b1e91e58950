package bucket

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// Line is a way to a server that can be made slow or cut, by toxiproxy.
type Line struct {
	URL string
	t   testing.TB
	api string
	own string // what leads to the server
}

// Line lays a line to the server, good for now.
func (s *Server) Line(t testing.TB) *Line {
	t.Helper()
	host := "127.0.0.1"
	control, entry := freeAddress(t, host), freeAddress(t, host)
	_, port := control[:len(host)], control[len(host)+1:]
	p := start(t, filepath.Join(t.TempDir(), "toxiproxy.log"), program(t, "toxiproxy-server"), "-host", host, "-port", port)
	t.Cleanup(p.end)
	p.ready(t, control)
	l := &Line{URL: "http://" + entry, t: t, api: "http://" + control + "/proxies"}
	l.own = l.api + "/s3"
	l.ask(l.api, map[string]any{"name": "s3", "listen": entry, "upstream": s.Address, "enabled": true})
	return l
}

// Cut cuts the line: nobody is reached any more, and what is under way breaks.
func (l *Line) Cut() { l.ask(l.own, map[string]any{"enabled": false}) }

// Mend makes the line good again, whatever was done to it.
func (l *Line) Mend() {
	l.ask(l.api[:len(l.api)-len("/proxies")]+"/reset", nil) // removes toxics, lets everybody through
}

// Spoil adds a toxic to what flows in a direction, "upstream" to the server or
// "downstream" from it. https://github.com/Shopify/toxiproxy#toxics lists the kinds.
func (l *Line) Spoil(direction, kind string, attributes map[string]any) {
	l.SpoilSome(1, direction, kind, attributes)
}

// SpoilSome does that to a share of the connections, from 0 to 1, chosen at random.
func (l *Line) SpoilSome(share float64, direction, kind string, attributes map[string]any) {
	l.ask(l.own+"/toxics", map[string]any{"type": kind, "stream": direction, "toxicity": share, "attributes": attributes})
}

func (l *Line) ask(url string, body any) {
	l.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute}
	answer, err := client.Post(url, "application/json", bytes.NewReader(text))
	if err != nil {
		l.t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, _ := io.ReadAll(answer.Body); answer.StatusCode/100 != 2 {
		l.t.Fatalf("toxiproxy, %s: %s %s", url, answer.Status, said)
	}
}

package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner/runnertest"
	"nbpress/runner/store"
)

// The same rigs with a bucket as the store, on a server or a line that is hurt too. The
// judge reads what the server keeps, an object a file, and needs no S3 for that.

// onBucket moves the rig's store into a server's bucket, which agents reach at an address.
func (r *rig) onBucket(server *bucket.Server, url string) {
	r.t.Helper()
	folder := fmt.Sprintf("store: {dir: %s/store}", r.root)
	if !strings.Contains(r.config, folder) {
		r.t.Fatalf("the rig's store is elsewhere: %s", r.config)
	}
	r.config = strings.Replace(r.config, folder, fmt.Sprintf("store: {s3: {bucket: %s, prefix: rig, endpoint: '%s'}}", bucket.Bucket, url), 1)
	r.env = append(r.env, bucket.Environ()...)
	r.store = store.NewDirReader(filepath.Join(server.Dir, "rig"))
}

// unattended lets one agent that nobody hurts do all that is due, and judges: as nobody
// was killed, each run has one attempt.
func (r *rig) unattended() {
	r.t.Helper()
	p := r.start("first", nil)
	r.until("all is done", r.done)
	p.stop()
	r.judge()
}

// thirdRefused answers three requests in ten with an error.
func thirdRefused(w http.ResponseWriter, r *http.Request, pass http.Handler) {
	statuses := []int{500, 503, 429}
	if n := rand.N(10); n < len(statuses) {
		http.Error(w, "", statuses[n])
		return
	}
	pass.ServeHTTP(w, r)
}

// A server that refuses three requests in ten, all the time.
func TestFaults_BucketThatRefuses(t *testing.T) {
	needFaults(t)
	server := bucket.Start(t)
	r := newRig(t, 3)
	r.onBucket(server, server.Proxy(t, thirdRefused))
	r.unattended()
}

// Answers to writes are lost, one in five: what was done is done again, or found.
func TestFaults_BucketWhoseAnswersAreLost(t *testing.T) {
	needFaults(t)
	server := bucket.Start(t)
	r := newRig(t, 3)
	r.onBucket(server, server.Proxy(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodGet && rand.N(5) == 0 {
			bucket.LoseAnswer(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	r.unattended()
}

// The store is away for half a minute in the middle of runs, twice: those under way keep
// what they have, and none starts.
func TestFaults_BucketAway(t *testing.T) {
	needFaults(t)
	server := bucket.Start(t)
	line := server.Line(t)
	r := newRig(t, 6)
	r.onBucket(server, line.URL)
	p := r.start("first", nil)
	place := 0
	for range 2 {
		place = p.said("attempt started", place)
		line.Cut()
		away := time.After(30 * time.Second)
		place = p.said("lease not renewed", place)
		claims := len(r.claims())
		select {
		case <-away:
		case <-p.ended:
			t.Fatalf("the agent ended with %v", p.err)
		}
		if now := len(r.claims()); now != claims {
			t.Errorf("%d attempts were claimed while the store was away", now-claims)
		}
		line.Mend()
		place = p.said("renewed", place) // again, or too late; else the next outage would be this one's rest
	}
	r.until("all is done", r.done)
	p.stop()
	r.judge()
}

// claims lists the attempts that were claimed.
func (r *rig) claims() []string {
	r.t.Helper()
	keys, err := r.store.List(r.t.Context(), "runs/")
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return !claimKey.MatchString(key) })
}

// Every connection breaks after 30 KB, or every third is reset after half a second in
// which nothing came.
func TestFaults_LineThatBreaks(t *testing.T) {
	needFaults(t)
	server := bucket.Start(t)
	for name, spoil := range map[string]func(*bucket.Line){
		"bytes": func(l *bucket.Line) {
			l.Spoil("upstream", "limit_data", map[string]any{"bytes": 30_000})
			l.Spoil("downstream", "limit_data", map[string]any{"bytes": 30_000})
		},
		"time": func(l *bucket.Line) {
			l.SpoilSome(0.33, "downstream", "reset_peer", map[string]any{"timeout": 500})
		},
	} {
		t.Run(name, func(t *testing.T) {
			line := server.Line(t)
			r := newRig(t, 3)
			r.onBucket(server, line.URL)
			r.config = strings.Replace(r.config, "prefix: rig", "prefix: "+name, 1)
			r.store = store.NewDirReader(filepath.Join(server.Dir, name))
			spoil(line)
			r.unattended()
		})
	}
}

// Agents are killed around every write, and at random, with a bucket that refuses three
// requests in ten. The server itself is killed as well.
func TestFaults_KilledOnABucket(t *testing.T) {
	needFaults(t)
	perPoint, _, _ := faults(t)
	var sum toll
	t.Cleanup(func() { sum.tell(t) })
	for round := range max(1, perPoint/4) {
		for names := range slices.Chunk(runnertest.Points(), pointsAtOnce) {
			t.Run(fmt.Sprintf("%s/%d", strings.Join(names, ","), round+1), func(t *testing.T) {
				t.Parallel()
				server := bucket.Start(t)
				r := newRig(t, 3)
				r.onBucket(server, server.Proxy(t, thirdRefused))
				for _, name := range names {
					r.killAt(name + ":after")
				}
				for range 2 {
					p := r.start("first", nil)
					select {
					case <-p.ended:
						t.Errorf("the agent ended by itself: %v", p.err)
					case <-time.After(rand.N(3 * time.Second)):
					}
					server.End() // what it had said yes to, it keeps
					p.kill()
					server.Begin()
				}
				sum.finishAndCount(r)
			})
		}
	}
}

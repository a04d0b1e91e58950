package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nbpress/internal/testenv/bucket"
	"nbpress/runner"
	"nbpress/runner/store"
)

// body is data that does not repeat, so that parts in a wrong order show.
func body(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data) // it has no error
	return data
}

const minPart = 5 << 20 // what S3 takes for a part

// leftovers lists what an upload that was given up has left on the server: parts, and
// objects that are not whole.
func leftovers(t *testing.T, server *bucket.Server) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(server.Dir, ".sgwtmp", "multipart"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestS3_OutlastsAServerThatRefuses(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	for name, meddle := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"every third, 500 and 503": bucket.Refuse(3, 500, 503),
		"every second, 429":        bucket.Refuse(2, 429),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, server.Proxy(t, meddle), "x")
			s.Hasten(minPart, 30) // at random some request is refused more often than an agent would try
			var all sync.WaitGroup
			for i := range 30 {
				all.Go(func() {
					key, data := fmt.Sprintf("runs/%d", i), fmt.Appendf(nil, "run %d", i)
					if err := s.Create(t.Context(), key+"/claim-1", data); err != nil {
						t.Error(err)
					}
					if err := s.Create(t.Context(), key+"/claim-1", data); !errors.Is(err, runner.ErrExists) {
						t.Errorf("a second Create: %v, want %v", err, runner.ErrExists)
					}
					if err := s.Put(t.Context(), key+"/page.html", data); err != nil {
						t.Error(err)
					}
					if got, err := s.Get(t.Context(), key+"/page.html"); err != nil || !bytes.Equal(got, data) {
						t.Errorf("Get() = %q, %v", got, err)
					}
				})
			}
			all.Wait()
			if keys, err := s.List(t.Context(), "runs/"); err != nil || len(keys) != 60 {
				t.Errorf("List() finds %d objects, %v; want 60", len(keys), err)
			}
			for i := range 30 {
				if err := errors.Join(s.Delete(t.Context(), fmt.Sprintf("runs/%d/claim-1", i)), s.Delete(t.Context(), fmt.Sprintf("runs/%d/page.html", i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Whose create got through must be told so, also where the answer was lost; another's is
// another's, also where the same bytes stand there.
func TestS3_CreateKnowsItsOwnAfterALostAnswer(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	var lose atomic.Int32
	s := open(t, server.Proxy(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPut && lose.Add(-1) >= 0 {
			bucket.LoseAnswer(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}), "")
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []int32{0, 1, 3} {
		key := fmt.Sprintf("runs/%d/claim-1", lost)
		lose.Store(lost)
		if err := s.Create(t.Context(), key, []byte("the same")); err != nil {
			t.Errorf("%d answers lost: %v", lost, err)
		}
		lose.Store(lost)
		if err := s.Create(t.Context(), key, []byte("the same")); !errors.Is(err, runner.ErrExists) {
			t.Errorf("%d answers lost, and the key taken: %v, want %v", lost, err, runner.ErrExists)
		}
	}
}

func TestS3_SendsLargeObjectsInParts(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	var parts atomic.Int32
	s := open(t, server.Proxy(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
		pass.ServeHTTP(w, r)
	}), "")
	s.Hasten(minPart, 5)
	for _, size := range []int{minPart, minPart + 1, 3*minPart + 17} {
		parts.Store(0)
		data := body(size)
		if err := s.Put(t.Context(), "runs/x/output.json", data); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "runs/x/output.json"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: Get() = %d bytes, %v", size, len(got), err)
		}
		want := int32((size + minPart - 1) / minPart)
		if size <= minPart {
			want = 0
		}
		if parts.Load() != want {
			t.Errorf("%d bytes came in %d parts, want %d", size, parts.Load(), want)
		}
	}
	if found := leftovers(t, server); len(found) > 0 {
		t.Errorf("left over: %q", found)
	}
}

// An upload that fails, or whose context ends while parts are on their way, leaves what
// was there before, and nothing beside it.
func TestS3_LeavesNothingOfAnUploadThatIsGivenUp(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	const old = "the old one"
	for name, refuse := range map[string]func(stop context.CancelFunc, w http.ResponseWriter, r *http.Request, pass http.Handler){
		"a part is refused": func(_ context.CancelFunc, w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.URL.Query().Get("partNumber") == "2" {
				http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
				return
			}
			pass.ServeHTTP(w, r)
		},
		"the end is refused": func(_ context.CancelFunc, w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
				http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
				return
			}
			pass.ServeHTTP(w, r)
		},
		"the context ends, and the server takes the part": func(stop context.CancelFunc, w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.URL.Query().Get("partNumber") == "3" {
				stop()
				pass.ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
				return
			}
			pass.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s := open(t, server.Proxy(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) { refuse(stop, w, r, pass) }), "")
			s.Hasten(minPart, 3)
			if err := s.Put(t.Context(), "runs/x/output.json", []byte(old)); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(ctx, "runs/x/output.json", body(6*minPart)); err == nil {
				t.Error("the upload succeeded")
			}
			if got, err := s.Get(t.Context(), "runs/x/output.json"); err != nil || string(got) != old {
				t.Errorf("Get() = %d bytes, %v; want what was there", len(got), err)
			}
			if found := leftovers(t, server); len(found) > 0 {
				t.Errorf("left over: %q", found)
			}
		})
	}
}

// What is not what was written is no answer; what came wrong once is asked for again.
func TestS3_ComparesWhatComesWithWhatWasWritten(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	s := open(t, server.URL, "")
	if err := s.Put(t.Context(), "pages/r/index.html", []byte("one")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(server.Dir, "pages", "r", "index.html")
	if err := os.WriteFile(file, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.Hasten(minPart, 2)
	if got, err := s.Get(t.Context(), "pages/r/index.html"); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("Get() = %q, %v", got, err)
	}
}

func TestS3_TellsBrowsersWhatAnObjectIs(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	s, err := store.OpenS3(t.Context(), store.S3Options{
		Bucket: bucket.Bucket, Endpoint: server.URL, PathStyle: true, CacheControl: runner.CacheControl,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Hasten(minPart, 3)
	for _, test := range []struct {
		key         string
		size        int
		kind, cache string
	}{
		{"pages/r/a/2026-11-23T0600+0100/g1a1/en/index.html", 3, "text/html; charset=utf-8", "private, max-age=31536000, immutable"},
		{"pages/r/a/latest/en/index.html", 3, "text/html; charset=utf-8", "no-cache"},
		{"pages/r/a/latest/en/big.html", minPart + 1, "text/html; charset=utf-8", "no-cache"},
		{"pages/r/a/latest/en/table.XLSX", 3, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "no-cache"},
		{"runs/x/g1/a1/output.json", 3, "application/json; charset=utf-8", "no-store"},
		{"runs/x/g1/claim-1", 3, "application/octet-stream", "no-store"},
	} {
		if err := s.Put(t.Context(), test.key, body(test.size)); err != nil {
			t.Fatal(err)
		}
		link, until, err := s.Link(t.Context(), test.key, time.Hour)
		if err != nil || time.Until(until) < 50*time.Minute {
			t.Fatalf("Link() = %v, %v", until, err)
		}
		answer, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := answer.Header; answer.StatusCode != 200 || got.Get("Content-Type") != test.kind || got.Get("Cache-Control") != test.cache {
			t.Errorf("%s: status %d, %q, %q; want %q, %q", test.key, answer.StatusCode, got.Get("Content-Type"), got.Get("Cache-Control"), test.kind, test.cache)
		}
	}
}

// A slow line takes its time, one that breaks is tried again, and one that is cut for a
// while leaves whole objects or none.
func TestS3_OutlastsTheLine(t *testing.T) {
	bucket.Setenv(t)
	server := bucket.Start(t)
	line := server.Line(t)
	s := open(t, line.URL, "")
	page := bytes.Repeat([]byte("<p>1 KB a second</p>\n"), 150) // 3 KB
	if err := s.Put(t.Context(), "pages/old.html", page); err != nil {
		t.Fatal(err)
	}

	t.Run("1 KB a second", func(t *testing.T) {
		defer line.Mend()
		line.Spoil("upstream", "bandwidth", map[string]any{"rate": 1})
		line.Spoil("downstream", "bandwidth", map[string]any{"rate": 1})
		if err := s.Put(t.Context(), "pages/slow.html", page); err != nil {
			t.Error(err)
		}
		if got, err := s.Get(t.Context(), "pages/slow.html"); err != nil || !bytes.Equal(got, page) {
			t.Errorf("Get() = %d bytes, %v", len(got), err)
		}
	})
	t.Run("the connection is reset in mid-body", func(t *testing.T) {
		large := body(1 << 20)
		if err := s.Put(t.Context(), "pages/large.html", large); err != nil {
			t.Fatal(err)
		}
		defer line.Mend()
		s.Hasten(minPart, 3)
		defer s.Hasten(minPart, 9)
		line.Spoil("downstream", "limit_data", map[string]any{"bytes": 100_000})
		if got, err := s.Get(t.Context(), "pages/large.html"); err == nil {
			t.Errorf("Get() = %d bytes through a line that carries 100000", len(got))
		}
		line.Spoil("upstream", "limit_data", map[string]any{"bytes": 100_000})
		if err := s.Put(t.Context(), "pages/large.html", body(2<<20)); err == nil {
			t.Error("Put() of 2 MiB succeeded through a line that carries 100000 bytes")
		}
		line.Mend()
		if got, err := s.Get(t.Context(), "pages/large.html"); err != nil || !bytes.Equal(got, large) {
			t.Errorf("Get() = %d bytes, %v; want what was there", len(got), err)
		}
	})
	t.Run("the line is cut", func(t *testing.T) {
		s.Hasten(minPart, 100) // however long it takes to mend it
		line.Cut()
		defer line.Mend()
		mended := time.AfterFunc(2*time.Second, line.Mend)
		defer mended.Stop()
		if err := s.Put(t.Context(), "pages/cut.html", page); err != nil {
			t.Error(err)
		}
	})
}

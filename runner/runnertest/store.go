// Package runnertest holds the conformance suites of the runner's interfaces. An
// implementation's own test calls the suite and is done.
package runnertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"nbpress/runner"
)

// Store tests an implementation of runner.Store; open returns a new, empty one.
func Store(t *testing.T, open func(t *testing.T) runner.Store) {
	t.Run("GetReturnsWhatPutWrote", func(t *testing.T) { storeRoundTrip(t, open(t)) })
	t.Run("GetOfNothingIsErrNotExist", func(t *testing.T) {
		if _, err := open(t).Get(t.Context(), "runs/x/manifest.yaml"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want fs.ErrNotExist", err)
		}
	})
	t.Run("CreateRefusesATakenKeyAndKeepsIt", func(t *testing.T) { storeCreate(t, open(t)) })
	t.Run("CreateHasOneWinner", func(t *testing.T) { storeCreateRace(t, open(t)) })
	t.Run("ReadersSeeWholeObjects", func(t *testing.T) { storeAtomic(t, open(t)) })
	t.Run("ListIsOrderedAndKeepsToItsPrefix", func(t *testing.T) { storeList(t, open(t)) })
	t.Run("DeleteIsIdempotent", func(t *testing.T) {
		s := open(t)
		must(t, s.Put(t.Context(), "a/b", nil))
		must(t, s.Delete(t.Context(), "a/b"))
		must(t, s.Delete(t.Context(), "a/b"))
		if _, err := s.Get(t.Context(), "a/b"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v after Delete, want fs.ErrNotExist", err)
		}
	})
	t.Run("KeysThatLeaveTheStoreAreRefused", func(t *testing.T) {
		s := open(t)
		for _, key := range []string{"", ".", "..", "../x", "/x", "a//b", "a/../../b", "a/"} {
			if err := s.Put(t.Context(), key, []byte("x")); err == nil {
				t.Errorf("Put(%q) succeeded", key)
			}
		}
	})
}

func storeRoundTrip(t *testing.T, s runner.Store) {
	for _, data := range [][]byte{{}, []byte("one"), bytes.Repeat([]byte("\x00\xff"), 1<<20), []byte("two")} {
		must(t, s.Put(t.Context(), "pages/r/a/latest/en/index.html", data))
		got, err := s.Get(t.Context(), "pages/r/a/latest/en/index.html")
		must(t, err)
		if !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, want the %d that were put", len(got), len(data))
		}
	}
}

func storeCreate(t *testing.T, s runner.Store) {
	must(t, s.Create(t.Context(), "runs/x/g1/manifest.yaml", []byte("first")))
	if err := s.Create(t.Context(), "runs/x/g1/manifest.yaml", []byte("second")); !errors.Is(err, runner.ErrExists) {
		t.Errorf("second Create: got %v, want ErrExists", err)
	}
	got, err := s.Get(t.Context(), "runs/x/g1/manifest.yaml")
	must(t, err)
	if string(got) != "first" {
		t.Errorf("got %q, want the first", got)
	}
}

func storeCreateRace(t *testing.T, s runner.Store) {
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			err := s.Create(t.Context(), "runs/x/g1/claim-1", fmt.Appendf(nil, "holder %d", i))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, runner.ErrExists):
				t.Errorf("a loser got %v, want ErrExists", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d callers won, want 1", won.Load())
	}
}

func storeAtomic(t *testing.T, s runner.Store) {
	versions := [][]byte{bytes.Repeat([]byte("a"), 1<<18), bytes.Repeat([]byte("b"), 1<<18)}
	must(t, s.Put(t.Context(), "k", versions[0]))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50 {
			if err := s.Put(t.Context(), "k", versions[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 50 {
		got, err := s.Get(t.Context(), "k")
		must(t, err)
		if !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
			t.Fatalf("a reader saw a torn object of %d bytes", len(got))
		}
	}
	wg.Wait()
}

func storeList(t *testing.T, s runner.Store) {
	for _, key := range []string{"outbox/b", "outbox/a", "outbox/c/d", "outboxes/x", "runs/outbox/y"} {
		must(t, s.Put(t.Context(), key, []byte("x")))
	}
	got, err := s.List(t.Context(), "outbox/")
	must(t, err)
	if want := []string{"outbox/a", "outbox/b", "outbox/c/d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, err := s.List(t.Context(), "nothing/"); err != nil || len(got) != 0 {
		t.Errorf("List of nothing: got %q, %v", got, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

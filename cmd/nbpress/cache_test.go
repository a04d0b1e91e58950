package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitForLock_WaitsForTheOneBeforeButNotForEver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	synctest.Test(t, func(t *testing.T) {
		first, err := waitForLock(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := waitForLock(t.Context(), path); !errors.Is(err, errCacheBusy) {
			t.Errorf("error %v, want %v", err, errCacheBusy)
		}
		if waited := time.Since(begin); waited != cacheWait {
			t.Errorf("waited %v, want %v", waited, cacheWait)
		}
		time.AfterFunc(time.Second, func() { first.Close() })
		second, err := waitForLock(t.Context(), path)
		if err != nil {
			t.Fatalf("after the first was done: %v", err)
		}
		second.Close()
	})
}

func TestWaitForLock_EndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := waitForLock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitForLock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestOpenCache_WithoutAHomeIsNewAndDoesNotStay(t *testing.T) {
	t.Setenv("HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("TMPDIR", t.TempDir())
	var dirs []string
	for range 2 {
		c, err := openCache(t.Context(), "https://example.com/r.git")
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, c.dir)
		if info, err := os.Stat(c.dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("folder %v, %v; want one of this user alone", info, err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.dir); err == nil {
			t.Errorf("%s is still there", c.dir)
		}
	}
	if dirs[0] == dirs[1] {
		t.Errorf("both were %s, which can be guessed", dirs[0])
	}
}

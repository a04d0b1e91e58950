package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cacheWait = 30 * time.Second      // for another process that reads the same ledger
	cacheTick = 50 * time.Millisecond // between two looks whether it is done
)

// cache is a folder for the local mirror of a ledger, of this process alone until it
// is closed.
type cache struct {
	dir  string
	lock *os.File // nil: the folder is temporary
}

// openCache opens the user's cache of a ledger. Where the user cannot have one, it is
// a new folder each time.
func openCache(ctx context.Context, url string) (*cache, error) {
	dir, err := os.UserCacheDir()
	if err == nil {
		sum := sha256.Sum256([]byte(url))
		dir = filepath.Join(dir, "nbpress", hex.EncodeToString(sum[:8]))
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil { // no home, or none that can be written
		dir, err := os.MkdirTemp("", "nbpress-*")
		return &cache{dir: dir}, err
	}
	lock, err := waitForLock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("local mirror %s: %w", dir, err)
	}
	return &cache{dir: dir, lock: lock}, nil
}

// close lets the next process have the folder.
func (c *cache) close() error {
	if c.lock == nil {
		return os.RemoveAll(c.dir)
	}
	return c.lock.Close()
}

// errCacheBusy says that the wait for a lock was in vain.
var errCacheBusy = fmt.Errorf("another nbpress has been reading this ledger for more than %v; try again when it is done", cacheWait)

// waitForLock takes the lock that a file stands for, until the file is closed.
func waitForLock(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cacheWait, errCacheBusy)
	defer cancel()
	tick := time.NewTicker(cacheTick)
	defer tick.Stop()
	for {
		file, err := tryLock(path)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return file, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryLock takes the lock that a file stands for, until the file is closed or we are
// gone. It wraps EWOULDBLOCK where another has it.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return file, nil
}

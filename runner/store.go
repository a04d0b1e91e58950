package runner

import (
	"context"
	"errors"
)

// ErrExists is what Create returns, perhaps wrapped, when the key is taken.
var ErrExists = errors.New("already exists")

// ErrTooLarge is what Sandbox.Get returns, perhaps wrapped, for a file over the limit.
var ErrTooLarge = errors.New("too large")

// Store keeps what happened: pages, artifacts, claims and the originals of the
// manifests. Keys are slash-separated paths of safe characters. All methods are
// safe for concurrent use, also by several processes.
type Store interface {
	StoreReader
	StoreWriter
}

// StoreReader reads objects.
type StoreReader interface {
	// Get returns the whole object, fs.ErrNotExist (perhaps wrapped) where there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// List returns the keys under prefix, which ends in a slash, in ascending order.
	List(ctx context.Context, prefix string) ([]string, error)
}

// StoreWriter writes objects. A reader sees an object whole or not at all.
type StoreWriter interface {
	// Create writes a new object, and returns ErrExists (perhaps wrapped) and
	// changes nothing where the key is taken: of several callers at once, one wins.
	Create(ctx context.Context, key string, data []byte) error
	// Put writes an object, replacing what was there.
	Put(ctx context.Context, key string, data []byte) error
	// Delete removes an object; no error where there is none.
	Delete(ctx context.Context, key string) error
}

package runnertest

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"nbpress/runner"
)

// Memory is a store in memory. The zero value is empty.
type Memory struct {
	// Before is called before each operation, "get", "list", "create", "put" or
	// "delete"; its error is the operation's, and nothing happens then. It may be nil.
	Before func(ctx context.Context, operation, key string) error
	// After is the same once the operation has happened: an answer that was lost.
	After func(ctx context.Context, operation, key string) error

	mu      sync.Mutex // guards objects
	objects map[string][]byte
}

// Objects returns a copy of everything in the store.
func (m *Memory) Objects() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]string{}
	for key, data := range m.objects {
		all[key] = string(data)
	}
	return all
}

// do performs one operation under the lock, between the hooks.
func (m *Memory) do(ctx context.Context, operation, key string, perform func() error) error {
	if m.Before != nil {
		if err := m.Before(ctx, operation, key); err != nil {
			return err
		}
	}
	if err := m.locked(key, perform); err != nil {
		return fmt.Errorf("%s %q: %w", operation, key, err)
	}
	if m.After != nil {
		return m.After(ctx, operation, key)
	}
	return nil
}

func (m *Memory) locked(key string, perform func() error) error {
	if !fs.ValidPath(strings.TrimSuffix(key, "/")) || key == "." {
		return fs.ErrInvalid
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.objects == nil {
		m.objects = map[string][]byte{}
	}
	return perform()
}

// Get implements runner.StoreReader.
func (m *Memory) Get(ctx context.Context, key string) (data []byte, err error) {
	err = m.do(ctx, "get", key, func() error {
		object, ok := m.objects[key]
		if !ok {
			return fs.ErrNotExist
		}
		data = bytes.Clone(object)
		return nil
	})
	return data, err
}

// List implements runner.StoreReader.
func (m *Memory) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = m.do(ctx, "list", prefix, func() error {
		for _, key := range slices.Sorted(maps.Keys(m.objects)) {
			if strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		return nil
	})
	return keys, err
}

// Create implements runner.StoreWriter.
func (m *Memory) Create(ctx context.Context, key string, data []byte) error {
	return m.do(ctx, "create", key, func() error {
		if _, taken := m.objects[key]; taken {
			return runner.ErrExists
		}
		return m.set(key, data)
	})
}

// Put implements runner.StoreWriter.
func (m *Memory) Put(ctx context.Context, key string, data []byte) error {
	return m.do(ctx, "put", key, func() error { return m.set(key, data) })
}

func (m *Memory) set(key string, data []byte) error {
	if strings.HasSuffix(key, "/") {
		return fs.ErrInvalid
	}
	m.objects[key] = bytes.Clone(data)
	return nil
}

// Delete implements runner.StoreWriter.
func (m *Memory) Delete(ctx context.Context, key string) error {
	return m.do(ctx, "delete", key, func() error {
		delete(m.objects, key)
		return nil
	})
}

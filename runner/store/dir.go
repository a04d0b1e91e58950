package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"nbpress/runner"
)

// DirReader reads the store in a folder, and writes nothing there.
type DirReader struct {
	root string
}

// NewDirReader reads the store in folder root. Where there is no such folder, it
// finds nothing.
func NewDirReader(root string) *DirReader { return &DirReader{root: root} }

// Dir is a store in a folder.
type Dir struct {
	DirReader
	sync   func(folder string) error // makes its entries durable
	making sync.Mutex                // held while folders are made
}

// abandoned is the age at which a file of the scratch folder is nobody's any more.
const abandoned = 24 * time.Hour

// OpenDir opens the store in folder root and makes the folder where there is none.
// It fails where the folder cannot be written, so that an agent with a read-only
// store says so at its start. What killed agents were writing long ago is removed.
func OpenDir(root string) (*Dir, error) {
	d := &Dir{DirReader: DirReader{root: root}, sync: syncDir}
	if err := d.makeFolder(d.scratch()); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if err := d.sweep(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return d, d.Ready(context.Background())
}

// Ready returns nil where the folder can be written, else what is wrong with it.
func (d *Dir) Ready(context.Context) error {
	probe, err := os.CreateTemp(d.scratch(), "probe-*")
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// sweep removes abandoned scratch files. Another process may be at the same.
func (d *Dir) sweep() error {
	entries, err := os.ReadDir(d.scratch())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) > abandoned {
			err = os.Remove(filepath.Join(d.scratch(), entry.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// scratch holds files that are being written; it is on the store's file system so
// that a finished one can be linked or renamed into place.
func (d *Dir) scratch() string { return filepath.Join(d.root, ".tmp") }

// path returns the file of a key.
func (d *DirReader) path(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	return filepath.Join(d.root, filepath.FromSlash(key)), nil
}

// Get implements runner.StoreReader.
func (d *DirReader) Get(_ context.Context, key string) ([]byte, error) {
	path, err := d.path(key)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// List implements runner.StoreReader.
func (d *DirReader) List(ctx context.Context, prefix string) ([]string, error) {
	start, err := d.path(strings.TrimSuffix(prefix, "/"))
	if err != nil {
		return nil, err
	}
	var keys []string
	err = filepath.WalkDir(start, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // nothing under the prefix, or deleted while we walk
		case err != nil:
			return err
		case entry.Type().IsRegular():
			rel, err := filepath.Rel(d.root, path)
			if err != nil {
				return err
			}
			keys = append(keys, filepath.ToSlash(rel))
		}
		return ctx.Err()
	})
	return keys, err
}

// Create implements runner.StoreWriter: link(2) fails where the name is taken.
func (d *Dir) Create(_ context.Context, key string, data []byte) error {
	err := d.place(key, data, os.Link)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create %s: %w", key, runner.ErrExists)
	}
	return err
}

// Put implements runner.StoreWriter.
func (d *Dir) Put(_ context.Context, key string, data []byte) error {
	return d.place(key, data, os.Rename)
}

// place writes data to a scratch file, makes it durable and moves it to its key.
func (d *Dir) place(key string, data []byte, move func(from, to string) error) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(d.scratch(), "put-*")
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	defer os.Remove(temp.Name()) // after a link its second name; after a rename nothing
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := d.makeFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := move(temp.Name(), path); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	return d.sync(filepath.Dir(path))
}

// makeFolder makes a folder and those above it, each durable before it returns: a
// file's folder that a power cut takes away takes the file along.
func (d *Dir) makeFolder(path string) error {
	d.making.Lock() // who finds a folder may rely on it
	defer d.making.Unlock()
	var missing []string
	for path != filepath.Dir(path) { // where a folder cannot be looked at, making it tells why
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
		} else if err == nil {
			break
		}
		missing = append(missing, path)
		path = filepath.Dir(path)
	}
	for _, path := range slices.Backward(missing) {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { // another process may be at it
			return err
		}
		if err := d.sync(filepath.Dir(path)); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements runner.StoreWriter. Empty folders stay: removing them would
// race with a writer that has just made them.
func (d *Dir) Delete(_ context.Context, key string) error {
	path, err := d.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}

// syncDir makes a new directory entry durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

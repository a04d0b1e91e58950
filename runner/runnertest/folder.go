package runnertest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"nbpress/runner"
)

// folder is a fake sandbox's work folder. Its methods are safe for concurrent use.
type folder struct {
	mu    sync.Mutex // guards files
	files map[string][]byte
}

// replace empties the folder and copies fsys into it.
func (f *folder) replace(fsys fs.FS) error {
	files := map[string][]byte{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files[name], err = fs.ReadFile(fsys, name)
		}
		return err
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files = files
	return err
}

func (f *folder) write(files map[string][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range files {
		if !fs.ValidPath(name) {
			return fmt.Errorf("write %q: %w", name, fs.ErrInvalid)
		}
	}
	maps.Copy(f.files, files)
	return nil
}

func (f *folder) read(name string, limit int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok := f.files[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("get %s: %w", name, fs.ErrNotExist)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("get %s: %w", name, runner.ErrTooLarge)
	}
	return bytes.Clone(data), nil
}

func (f *folder) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.files))
}

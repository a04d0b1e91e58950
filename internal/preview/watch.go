package preview

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle     = 25 * time.Millisecond // after a change: an editor's save is several
	mostWaited = 10                    // settles at most: a file may be written all the time
	mostFolder = 2000                  // folders that are watched
)

// Watch calls changed after files below folders, or the files themselves, were written,
// until ctx ends. Several changes that come together are one. Folders that are made later
// are watched, too; hidden ones, and those that programs write to, are not.
func Watch(ctx context.Context, paths []string, changed func()) (err error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	w := watch{watcher: watcher}
	for _, path := range paths {
		path = filepath.Clean(path)
		w.paths = append(w.paths, path)
		// Its folder, too: a path may go and come back, as when another branch is looked at.
		if err := errors.Join(w.add(path), watcher.Add(filepath.Dir(path))); err != nil {
			return err
		}
	}
	return w.run(ctx, changed)
}

type watch struct {
	watcher *fsnotify.Watcher
	paths   []string // what is watched; the watcher also tells of what is beside them
	folders int
}

// concerns reports whether a name is one of the paths, or lies below one.
func (w *watch) concerns(name string) bool {
	return slices.ContainsFunc(w.paths, func(path string) bool {
		return name == path || strings.HasPrefix(name, path+string(filepath.Separator))
	})
}

// add watches a folder with all below it.
func (w *watch) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("watch %s: %w", path, err)
	}
	if !info.IsDir() {
		return nil // its folder is watched
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && name == path:
			return err
		case err != nil, !entry.IsDir():
			return nil
		case name != path && ignored(entry.Name()):
			return fs.SkipDir
		}
		if w.folders++; w.folders > mostFolder {
			return fmt.Errorf("watch %s: more than %d folders", path, mostFolder)
		}
		return w.watcher.Add(name)
	})
}

// ignored are names that no report is made of.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__pycache__" || name == "node_modules" || name == "nbpress-out" || strings.HasSuffix(name, "~")
}

func (w *watch) run(ctx context.Context, changed func()) error {
	quiet := time.NewTimer(0)
	if !quiet.Stop() {
		<-quiet.C
	}
	var first time.Time // of the changes that were not told yet
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-w.watcher.Events:
			if !ok {
				return errors.New("the watch on the files ended")
			}
			if !w.concerns(event.Name) || ignored(filepath.Base(event.Name)) || event.Op == fsnotify.Chmod {
				continue
			}
			if event.Op.Has(fsnotify.Create) {
				_ = w.add(event.Name) // a folder, perhaps; or it is gone already
			}
			if first.IsZero() {
				first = time.Now()
			}
			if time.Since(first) < mostWaited*settle {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			first = time.Time{}
			changed()
		case err, ok := <-w.watcher.Errors:
			if !ok {
				return errors.New("the watch on the files ended")
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch files: %w", err)
			}
			quiet.Reset(settle) // something changed, who knows what
		}
	}
}

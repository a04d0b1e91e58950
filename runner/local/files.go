package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"nbpress/runner"
)

// maxListed bounds what a notebook can make List return.
const maxListed = 4096

// putFiles copies the regular files of fsys below dir and hands them over to own.
func putFiles(ctx context.Context, dir string, fsys fs.FS, own func(string) error) error {
	return fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			return own(path)
		}
		file, err := fsys.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(putFile(path, stoppable{file, ctx.Err}, own), file.Close())
	})
}

// stoppable reads until there is a reason not to: a file may be endless.
type stoppable struct {
	io.Reader
	reason func() error
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.reason(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

func putFile(path string, content io.Reader, own func(string) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close(), own(path))
}

// getFile reads a file that a notebook wrote, which may be a link, a pipe, a device
// or larger than any memory. Its processes are gone, so nothing changes meanwhile.
func getFile(dir, name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := lstatWithoutLinks(root, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, the limit is %d: %w", name, info.Size(), limit, runner.ErrTooLarge)
	}
	file, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// lstatWithoutLinks finds a regular file below root with none but folders on the way.
func lstatWithoutLinks(root *os.Root, name string) (os.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q names no file of the work folder: %w", name, fs.ErrNotExist)
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		if info, err := root.Lstat(filepath.FromSlash(name[:i])); err != nil || !info.IsDir() {
			return nil, errors.Join(err, fmt.Errorf("%s is no folder: %w", name[:i], fs.ErrNotExist))
		}
	}
	info, err := root.Lstat(filepath.FromSlash(name))
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file: %w", name, fs.ErrNotExist)
	}
	return info, err
}

// listFiles returns the regular files below dir, sorted, up to maxListed of them.
func listFiles(ctx context.Context, dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && path == dir:
			return err
		case err != nil:
			return nil // a folder that the notebook closed to us holds nothing to publish
		case len(names) == maxListed:
			return fs.SkipAll
		case entry.Type().IsRegular():
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// removeAll removes a folder as a notebook left it: with folders that it closed to
// us, or nested deeper than a path can say or a process can have open. Folders in
// folders are first moved to the top, so that no depth is ever descended to.
func removeAll(top string) error {
	if err := os.Chmod(top, 0o700); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for {
		entries, err := os.ReadDir(top)
		if err != nil {
			return err
		}
		var errs []error
		for _, entry := range entries {
			path := filepath.Join(top, entry.Name())
			if entry.IsDir() {
				errs = append(errs, raiseFolders(path, top))
			}
			errs = append(errs, os.RemoveAll(path))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if len(entries) == 0 {
			return os.Remove(top)
		}
	}
}

// raiseFolders moves the folders in dir to top, under names that nobody knows.
func raiseFolders(dir, top string) error {
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if err := errors.Join(os.Chmod(path, 0o700), os.Rename(path, filepath.Join(top, rand.Text()))); err != nil {
			return err
		}
	}
	return nil
}

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

// removeBox removes a sandbox's folder, its lock at the end: where the agent dies meanwhile,
// what remains still has one that nobody holds, and the next agent removes it.
func removeBox(box string) error {
	entries, err := os.ReadDir(box)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			err = errors.Join(err, removeAll(filepath.Join(box, entry.Name())))
		}
	}
	if err != nil {
		return err
	}
	if removing, err := lockFolder(filepath.Dir(box), true); err == nil {
		defer removing.Close()
	}
	return removeAll(box)
}

// removeAll removes a folder as a notebook left it: with folders that it closed to
// us, or nested deeper than a path can say or a process can have open. Folders in
// folders are first moved to the top, so that no depth is ever descended to.
//
// After a SIGKILL of an earlier agent its notebooks may still be dying. What they swap
// for a link meanwhile leads nowhere: os.Root changes nothing outside the folder.
func removeAll(top string) error {
	parent, err := os.OpenRoot(filepath.Dir(top))
	if err != nil {
		return ignoreMissing(err)
	}
	defer parent.Close()
	name := filepath.Base(top)
	if err := parent.Chmod(name, 0o700); err != nil {
		return ignoreMissing(err)
	}
	root, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	defer root.Close()
	for {
		entries, err := readDir(root, ".")
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return parent.Remove(name)
		}
		var errs []error
		for _, entry := range entries {
			if entry.IsDir() {
				errs = append(errs, raiseFolders(root, entry.Name()))
			}
			errs = append(errs, root.RemoveAll(entry.Name()))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
}

// ignoreMissing takes for done what is not there to be removed.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// raiseFolders moves the folders in one at the top of root to the top as well, under
// names that nobody knows.
func raiseFolders(root *os.Root, folder string) error {
	if err := root.Chmod(folder, 0o700); err != nil {
		return err
	}
	entries, err := readDir(root, folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		name := filepath.Join(folder, entry.Name())
		if err := errors.Join(root.Chmod(name, 0o700), root.Rename(name, rand.Text())); err != nil {
			return err
		}
	}
	return nil
}

// readDir lists a folder, and does not wait for what is none.
func readDir(root *os.Root, name string) ([]fs.DirEntry, error) {
	folder, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return folder.ReadDir(-1)
}

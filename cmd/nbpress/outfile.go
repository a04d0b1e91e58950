package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// outFile is a file that is written again and again. Who reads it meanwhile, and
// whoever finds it after a kill, sees one version whole.
type outFile struct {
	path    string      // as people read it
	target  string      // what a link of that name leads to
	before  fs.FileInfo // nil: it is new
	stream  io.Writer   // a pipe or a terminal: written once; nil for a file
	inPlace bool        // its folder takes no other file
}

// openOut finds out how path can be written, by writing data beside it: a full disk
// or a folder that is not there is known before anything is executed. "-" is stdout.
func openOut(path string, stdout io.Writer, data []byte) (*outFile, error) {
	if path == "" {
		return nil, errors.New("OUT is empty; name a file")
	}
	if path == "-" || path == "/dev/stdout" {
		return &outFile{path: "standard output", stream: stdout}, nil
	}
	o := &outFile{path: path, target: path}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.target = linked(path)
	case err != nil:
		return nil, o.failed(err)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder; name a file in it", path)
	default:
		file, err := os.OpenFile(path, os.O_WRONLY, 0) // a file that may not be written is not replaced either
		if err != nil {
			return nil, o.failed(err)
		}
		if !info.Mode().IsRegular() {
			o.stream = file
			return o, nil
		}
		if err := file.Close(); err != nil {
			return nil, o.failed(err)
		}
		o.before = info
		if o.target, err = filepath.EvalSymlinks(path); err != nil {
			return nil, o.failed(err)
		}
	}
	beside, err := o.writeBeside(writes(data))
	if errors.Is(err, fs.ErrPermission) && o.before != nil {
		o.inPlace = true
		return o, nil
	}
	if err != nil {
		return nil, o.failed(err)
	}
	return o, os.Remove(beside)
}

// writes returns what writes data.
func writes(data []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}
}

// write replaces the file's content by what write writes.
func (o *outFile) write(write func(io.Writer) error) error {
	if o.inPlace {
		file, err := os.OpenFile(o.target, os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return o.failed(err)
		}
		return o.failed(errors.Join(write(file), file.Close()))
	}
	beside, err := o.writeBeside(write)
	if err != nil {
		return o.failed(err)
	}
	if err := os.Rename(beside, o.target); err != nil {
		return errors.Join(o.failed(err), os.Remove(beside))
	}
	return nil
}

// send writes the one version that a stream gets.
func (o *outFile) send(data []byte) error {
	_, err := o.stream.Write(data)
	if file, ok := o.stream.(*os.File); ok && file != os.Stdout {
		err = errors.Join(err, file.Close())
	}
	return o.failed(err)
}

// linked returns the name of the file that a link wants and that there is not.
func linked(name string) string {
	for { // os.Stat has found its end
		to, err := os.Readlink(name)
		if err != nil {
			return name
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(name), to)
		}
		name = to
	}
}

// writeBeside writes a new file of the same folder, mode and, where that is allowed,
// owner, and returns its name.
func (o *outFile) writeBeside(write func(io.Writer) error) (name string, err error) {
	name = filepath.Join(filepath.Dir(o.target), ".nbpress-"+rand.Text()[:10])
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	err = write(file)
	if o.before != nil {
		if stat, ok := o.before.Sys().(*syscall.Stat_t); ok {
			_ = file.Chown(int(stat.Uid), int(stat.Gid))
		}
		err = errors.Join(err, file.Chmod(o.before.Mode().Perm()))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(name))
	}
	return name, nil
}

// failed names the file that was asked for, not the one beside it.
func (o *outFile) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write %s: there is no folder %s; make it first", o.path, filepath.Dir(o.path))
	}
	return fmt.Errorf("write %s: %w", o.path, withoutPath(err))
}

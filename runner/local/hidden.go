package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrExposed is wrapped by what New returns where a path of Options.Hidden would be
// seen by notebooks. The message names it and the folder that shows it.
var ErrExposed = errors.New("notebooks would see what is not theirs")

// checkHidden refuses paths that s shows. A spawner that hides nothing passes: New has
// said that it hides nothing.
func checkHidden(paths []string, s spawner) error {
	isolating, ok := s.(interface{ shows() []string })
	if !ok {
		return nil
	}
	var errs []error
	for _, path := range paths {
		if path == "" {
			continue
		}
		folder, err := showing(path, isolating.shows())
		if err != nil {
			return err
		}
		if folder != "" {
			errs = append(errs, fmt.Errorf("%w: %s lies in %s, which sandboxes show because Python or the system needs it; "+
				"keep it elsewhere, or make the Python environment in a folder of its own", ErrExposed, path, folder))
		}
	}
	return errors.Join(errs...)
}

// showing returns the folder of shown that a path is or lies in, "" if there is none.
// Folders are compared as files, so that links and second mounts do not matter.
func showing(path string, shown []string) (string, error) {
	path, err := resolve(path)
	if err != nil {
		return "", err
	}
	for ; ; path = filepath.Dir(path) {
		at, err := os.Stat(path)
		for _, folder := range shown {
			if there, statErr := os.Stat(folder); err == nil && statErr == nil && os.SameFile(at, there) {
				return folder, nil
			}
		}
		if path == filepath.Dir(path) {
			return "", nil
		}
	}
}

// resolve returns the absolute path without links of what need not exist yet.
func resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for at, rest := path, ""; ; at, rest = filepath.Dir(at), filepath.Join(filepath.Base(at), rest) {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest), nil
		}
		if at == filepath.Dir(at) {
			return path, nil
		}
	}
}

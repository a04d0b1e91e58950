package local

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A notebook that is still dying may put a link where a folder was a moment ago.
func TestRaiseFolders_ChangesNothingBehindALink(t *testing.T) {
	box, outside := t.TempDir(), t.TempDir()
	theirs := filepath.Join(outside, "theirs")
	err := errors.Join(
		os.Mkdir(theirs, 0o755), os.Chmod(outside, 0o755), // whatever the umask
		os.Symlink(outside, filepath.Join(box, "swapped")),
		os.Mkdir(filepath.Join(box, "folder"), 0o755),
		os.Symlink(theirs, filepath.Join(box, "folder", "swapped")),
	)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(box)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := raiseFolders(root, "swapped"); err == nil {
		t.Error("a link out of the sandbox was taken for a folder")
	}
	if err := removeAll(box); err != nil {
		t.Error(err)
	}
	for _, path := range []string{outside, theirs} {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o755 {
			t.Errorf("%s has mode %o now", path, got)
		}
	}
	if _, err := os.Lstat(box); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sandbox is left: %v", err)
	}
	if err := removeAll(box); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

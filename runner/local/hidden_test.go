package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// showingSpawner shows folders.
type showingSpawner struct {
	groupSpawner
	folders []string
}

func (s showingSpawner) shows() []string { return s.folders }

func TestCheckHidden_RefusesWhatASandboxShows(t *testing.T) {
	dir := t.TempDir()
	venv, link := filepath.Join(dir, "venv"), filepath.Join(dir, "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(venv, "store"), 0o700), os.Symlink(venv, link)); err != nil {
		t.Fatal(err)
	}
	spawn := showingSpawner{folders: []string{"/no/such/folder", venv}}
	for path, refused := range map[string]bool{
		"":                                    false,
		dir:                                   false, // of it only venv is seen
		filepath.Join(dir, "store"):           false,
		venv + "-2":                           false,
		"/no/such":                            false,
		venv:                                  true,
		filepath.Join(venv, "store"):          true,
		filepath.Join(link, "store", "x"):     true,
		filepath.Join(venv, "not", "yet"):     true,
		filepath.Join(dir, "no/../venv/file"): true,
	} {
		err := checkHidden([]string{path}, spawn)
		if got := errors.Is(err, ErrExposed); got != refused {
			t.Errorf("%q: got %v, want refused = %t", path, err, refused)
		}
		if refused && err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "in "+venv+",")) {
			t.Errorf("%q: %v does not name both", path, err)
		}
	}
	if err := checkHidden([]string{venv}, showingSpawner{folders: []string{link}}); !errors.Is(err, ErrExposed) {
		t.Errorf("shown through a link: got %v", err)
	}
	if err := checkHidden([]string{venv}, groupSpawner{}); err != nil {
		t.Errorf("a spawner that hides nothing: %v", err)
	}
}

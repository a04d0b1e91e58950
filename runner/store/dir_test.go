package store_test

import (
	"os"
	"testing"

	"nbpress/runner"
	"nbpress/runner/runnertest"
	"nbpress/runner/store"
)

func TestDir_Conforms(t *testing.T) {
	runnertest.Store(t, func(t *testing.T) runner.Store {
		dir, err := store.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return dir
	})
}

func TestOpenDir_RefusesAFolderItCannotMake(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenDir(file); err == nil {
		t.Error("a regular file was opened as a store")
	}
}

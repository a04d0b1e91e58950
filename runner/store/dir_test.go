package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

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

func TestDirReader_WritesNothing(t *testing.T) {
	root := t.TempDir() + "/store"
	reader := store.NewDirReader(root)
	if _, err := reader.Get(t.Context(), "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Get() = %v, want %v", err, fs.ErrNotExist)
	}
	if keys, err := reader.List(t.Context(), "a/"); len(keys) > 0 || err != nil {
		t.Errorf("List() = %v, %v, want nothing", keys, err)
	}
	if _, err := os.Stat(root); err == nil {
		t.Error("reading made the store's folder")
	}
	dir, err := store.OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Put(t.Context(), "a/b", []byte("data")); err != nil {
		t.Fatal(err)
	}
	if data, err := reader.Get(t.Context(), "a/b"); string(data) != "data" || err != nil {
		t.Errorf("Get() = %q, %v", data, err)
	}
}

func TestOpenDir_RemovesWhatKilledAgentsLeft(t *testing.T) {
	root := t.TempDir()
	if _, err := store.OpenDir(root); err != nil {
		t.Fatal(err)
	}
	old, young := filepath.Join(root, ".tmp", "put-1"), filepath.Join(root, ".tmp", "put-2")
	for name, age := range map[string]time.Duration{old: 25 * time.Hour, young: 23 * time.Hour} {
		at := time.Now().Add(-age)
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.OpenDir(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("a file of yesterday is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a file that may still be written is gone: %v", err)
	}
}

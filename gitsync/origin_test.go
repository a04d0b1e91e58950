package gitsync

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOrigin_IsTheSamePlaceFromEverywhere(t *testing.T) {
	bare := newBare(t)
	push(t, bare, "main", "First", map[string]string{"sub/file": "x"})
	top := filepath.Dir(bare)
	clone, local := filepath.Join(top, "clone"), filepath.Join(top, "local")
	execGit(t, top, "clone", "-q", bare, clone)
	execGit(t, clone, "worktree", "add", "-q", "-b", "other", filepath.Join(top, "second"))
	execGit(t, top, "init", "-q", local)
	if err := os.Mkdir(filepath.Join(local, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(top)
	for dir, want := range map[string]string{
		"clone": bare, "clone/sub": bare, "second": bare, "repo.git": bare, bare: bare, "local": local, "local/sub": local,
	} {
		if got, err := Origin(dir); got != want || err != nil {
			t.Errorf("Origin(%s) = %q, %v, want %q", dir, got, err, want)
		}
	}
	execGit(t, clone, "remote", "set-url", "origin", "../repo.git")
	if got, err := Origin("clone/sub"); got != bare || err != nil {
		t.Errorf("with a relative address: %q, %v, want %q", got, err, bare)
	}
	execGit(t, clone, "remote", "set-url", "origin", "git@example.com:r.git")
	if got, err := Origin("clone"); got != "git@example.com:r.git" || err != nil {
		t.Errorf("with an address of ssh: %q, %v", got, err)
	}
	if _, err := Origin(t.TempDir()); err == nil {
		t.Error("a folder that is no repository has an origin")
	}
}

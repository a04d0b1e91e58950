package gitsync

import (
	"fmt"

	"github.com/go-git/go-git/v5"
)

// Origin returns the address of the repository that a folder is a clone of, or the
// folder itself where it is nobody's clone: a bare repository, say.
func Origin(dir string) (string, error) {
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true})
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	remote, err := repo.Remote("origin")
	if err != nil || len(remote.Config().URLs) == 0 {
		return dir, nil
	}
	return remote.Config().URLs[0], nil
}

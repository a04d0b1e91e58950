package gitsync

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
)

// Origin returns the address of the repository that a folder is a clone of, or of the
// clone itself where it is nobody's: a bare repository, say. An address that is a
// folder is absolute, so that it means the same everywhere.
func Origin(dir string) (string, error) {
	options := git.PlainOpenOptions{EnableDotGitCommonDir: true}
	repo, err := git.PlainOpenWithOptions(dir, &options)
	if errors.Is(err, git.ErrRepositoryNotExists) { // in one, perhaps; the first try is for bare ones
		options.DetectDotGit = true
		repo, err = git.PlainOpenWithOptions(dir, &options)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	root, err := rootOf(repo, dir)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	remote, err := repo.Remote("origin")
	if err != nil || len(remote.Config().URLs) == 0 {
		return root, nil
	}
	url := remote.Config().URLs[0]
	if !strings.Contains(url, ":") && !filepath.IsAbs(url) {
		return filepath.Join(root, url), nil
	}
	return url, nil
}

// rootOf returns the folder of a repository that was found at dir or above it.
func rootOf(repo *git.Repository, dir string) (string, error) {
	tree, err := repo.Worktree()
	if errors.Is(err, git.ErrIsBareRepository) {
		return filepath.Abs(dir)
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(tree.Filesystem.Root())
}

package gitsync

import (
	"fmt"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
)

// Person returns who Git takes the user for: user.name and user.email of the repository
// that dir is in, else of the user's own settings. Parts that are not set are "".
func Person(dir string) (Author, error) {
	settings, err := config.LoadConfig(config.GlobalScope)
	if repo, no := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true}); no == nil {
		settings, err = repo.ConfigScoped(config.GlobalScope)
	}
	if err != nil {
		return Author{}, fmt.Errorf("git's settings: %w", err)
	}
	return Author{settings.User.Name, settings.User.Email}, nil
}

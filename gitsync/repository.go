package gitsync

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Options say what a Repository mirrors. URL and Dir are required.
type Options struct {
	URL     string        // http(s)://, ssh://, user@host:path, file:// or a path
	Branch  string        // "" means the branch that the remote's HEAD names
	Path    string        // folder of the repository that Tree shows, "" for all of it
	Dir     string        // local folder for the mirror, written by this process alone
	Auth    Auth          // how to get in
	Timeout time.Duration // bounds one exchange with the remote; 0 means DefaultTimeout
	MaxFile int64         // bytes that Tree lets a file have; 0 means DefaultMaxFile
	Log     *slog.Logger  // nil means none
}

// Commit is a commit of the repository.
type Commit struct {
	Hash    string
	Time    time.Time // when it was committed
	Subject string    // the first line of its message
	Author  string    // who wrote it: "Ada <ada@example.com>"; whoever pushed may have invented it
}

// Repository is the local mirror of one branch of a remote.
type Repository struct {
	o      Options
	mirror *mirror

	mu   sync.Mutex // guards last
	last Commit     // the last good commit, zero where there is none yet
}

// Open opens the mirror under o.Dir. It does not ask the remote: where that is
// away, Head is what was fetched before, and nothing the first time.
func Open(o Options) (*Repository, error) {
	if o.Path != "" && !fs.ValidPath(o.Path) {
		return nil, fmt.Errorf("folder %q of the repository: %w", o.Path, fs.ErrInvalid)
	}
	r, err := newRemote(o.URL, o.Auth, o.Timeout)
	if err != nil {
		return nil, err
	}
	m, err := openMirror(o.Dir, "reports", r, o.Log)
	if err != nil {
		return nil, err
	}
	repo := &Repository{o: o, mirror: m}
	return repo, repo.recall()
}

// recall finds the last good commit of an earlier process.
func (r *Repository) recall() error {
	branch := cmp.Or(r.o.Branch, r.mirror.objects().head())
	tip := r.mirror.objects().tip(branch)
	if tip.IsZero() {
		return nil
	}
	last, err := r.check(tip)
	if err != nil {
		return r.mirror.startOver()
	}
	r.last = last
	return nil
}

// Head returns the last good commit that was fetched, by this process or one
// before it; false where there is none.
func (r *Repository) Head() (Commit, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last, r.last.Hash != ""
}

// Fetch asks the remote for the branch's tip, takes what is new and returns it,
// and whether it differs from Head as it was before. On an error Head stays. A
// branch that the remote lacks is fs.ErrNotExist, refused credentials ErrDenied.
func (r *Repository) Fetch(ctx context.Context) (Commit, bool, error) {
	giveBack, err := r.mirror.take(ctx)
	if err != nil {
		return Commit{}, false, fmt.Errorf("fetch: %w", err)
	}
	defer giveBack()
	branch, tip, err := r.mirror.fetch(ctx, r.o.Branch)
	if err != nil {
		return Commit{}, false, fmt.Errorf("fetch %w", err)
	}
	commit, err := r.check(tip)
	if err != nil {
		return Commit{}, false, fmt.Errorf("fetch %s: commit %s: %w", branch, tip, err)
	}
	if err := r.mirror.objects().setHead(branch); err != nil {
		return Commit{}, false, fmt.Errorf("fetch %s: %w", branch, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := commit.Hash != r.last.Hash
	r.last = commit
	return commit, changed, nil
}

// check reads a commit and its root, so that Head is never one that cannot be read.
func (r *Repository) check(hash plumbing.Hash) (Commit, error) {
	c, err := r.mirror.objects().commit(hash)
	if err != nil {
		return Commit{}, err
	}
	if _, err := r.mirror.objects().read(plumbing.TreeObject, c.TreeHash); err != nil {
		return Commit{}, fmt.Errorf("root tree: %w", err)
	}
	return summary(c), nil
}

// Tree returns the files of a commit that was fetched, rooted at the Options'
// Path; fs.ErrNotExist where the commit has no such folder.
//
// The file system also has ReadDir, ReadFile and Stat of package fs. Symbolic
// links, submodules, names that mean harm elsewhere and folders nested too deep
// are listed with fs.ModeSymlink or fs.ModeIrregular; to open one, or a file of
// more than MaxFile bytes, is an *fs.PathError that says why.
func (r *Repository) Tree(c Commit) (fs.FS, error) {
	hash := plumbing.NewHash(c.Hash)
	return commitTree(r.mirror.holding(hash), hash, r.o.Path, r.o.MaxFile)
}

func commitTree(o *objects, commit plumbing.Hash, folder string, maxFile int64) (fs.FS, error) {
	c, err := o.commit(commit)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", commit, err)
	}
	t := newTree(o, c.TreeHash, c.Committer.When, maxFile)
	if folder == "" || folder == "." {
		return t, nil
	}
	n, err := t.at("open", folder)
	if err == nil && !n.mode.IsDir() {
		err = fmt.Errorf("%s: %s", folder, cmp.Or(n.refused, "not a folder"))
	}
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", commit, err)
	}
	return newTree(o, n.hash, c.Committer.When, maxFile), nil
}

func summary(c *object.Commit) Commit {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	author := fmt.Sprintf("%s <%s>", c.Author.Name, c.Author.Email)
	return Commit{Hash: c.Hash.String(), Time: c.Committer.When, Subject: subject, Author: author}
}

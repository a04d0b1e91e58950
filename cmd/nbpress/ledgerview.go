package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/store"
)

// whereFlags say which repository's ledger, and which store, a command looks into.
type whereFlags struct {
	config, dir, url string
}

func (w *whereFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.config, "config", "", "the agent's configuration, which names ledger and store (default: nbpress.yaml where there is one)")
	f.StringVarP(&w.dir, "directory", "C", ".", "a clone of the repository, or the repository itself")
	f.StringVar(&w.url, "repo", "", "URL of the repository")
	cmd.MarkFlagsMutuallyExclusive("repo", "directory")
}

// ledgerView reads the ledger for a person.
type ledgerView struct {
	ledger *gitsync.Ledger
	store  *store.Dir // nil: not known
}

// open finds the ledger: of the configuration, else of the URL, else of the clone.
func (w whereFlags) open() (*ledgerView, error) {
	options, v := gitsync.LedgerOptions{URL: w.url}, &ledgerView{}
	configFile := w.config
	if configFile == "" && w.url == "" && w.dir == "." && exists("nbpress.yaml") {
		configFile = "nbpress.yaml"
	}
	switch {
	case configFile != "":
		c, err := readConfig(configFile)
		if err != nil {
			return nil, err
		}
		options.URL = c.Ledger.URL
		if options.Auth, err = c.Ledger.Credential.auth(); err != nil {
			return nil, err
		}
		if v.store, err = store.OpenDir(c.Store.Dir); err != nil {
			return nil, err
		}
	case w.url == "":
		url, err := gitsync.Origin(w.dir)
		if err != nil {
			return nil, wrongUse(fmt.Errorf("%w; name the repository with -C, --repo or --config", err))
		}
		options.URL = url
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.Sum256([]byte(options.URL))
	options.Dir = filepath.Join(cache, "nbpress", hex.EncodeToString(sum[:8]))
	v.ledger, err = gitsync.OpenLedger(options)
	return v, err
}

// document is a manifest of the ledger, with where it stands.
type document struct {
	branch, path string
	data         []byte
	run          runner.Manifest
}

// runs calls visit with every run of the ledger, the newest month first and in it the
// newest slot, until visit returns false.
func (v *ledgerView) runs(ctx context.Context, want func(path string, data []byte) bool, visit func(document) bool) error {
	months, err := v.ledger.Branches(ctx, "runs/2")
	if err != nil {
		return err
	}
	slices.Sort(months)
	for _, branch := range slices.Backward(months) {
		tree, err := v.ledger.Tree(ctx, branch)
		if err != nil {
			return err
		}
		paths, err := manifestsOf(tree)
		if err != nil {
			return err
		}
		for _, p := range paths {
			data, err := fs.ReadFile(tree, p)
			if err != nil {
				return err
			}
			if want != nil && !want(p, data) {
				continue
			}
			m, err := runner.Decode[runner.Manifest](data, runner.KindRun)
			if err != nil {
				continue // no run, or not one that we wrote
			}
			if !visit(document{branch: branch, path: p, data: data, run: m}) {
				return nil
			}
		}
	}
	return nil
}

// manifestsOf lists the files of a month that may be manifests of runs, newest slot first.
func manifestsOf(tree fs.FS) ([]string, error) {
	var paths []string
	err := fs.WalkDir(tree, ".", func(p string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && path.Ext(p) == ".yaml" && path.Base(p) != "slot.yaml" {
			paths = append(paths, p)
		}
		return err
	})
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(cmp.Compare(path.Base(path.Dir(b)), path.Base(path.Dir(a))), cmp.Compare(a, b))
	})
	return paths, err
}

// errNoRun says that a RUN names nothing.
var errNoRun = errors.New("no such run")

// find returns the run that RUN names: an id (or its beginning), or report/asset/latest,
// or report/asset/SLOT.
func (v *ledgerView) find(ctx context.Context, ref string) (document, error) {
	var found *document
	match := func(p string, data []byte) bool {
		return bytes.Contains(data, []byte("\nid: "+ref))
	}
	if dir, slot := path.Split(ref); dir != "" {
		report, asset := path.Split(path.Clean(dir))
		match = func(p string, _ []byte) bool {
			name, _, _ := strings.Cut(strings.TrimSuffix(path.Base(p), ".yaml"), ".g")
			at := path.Dir(p)
			return name == asset && path.Dir(at) == path.Clean(report) && (slot == "latest" || path.Base(at) == slot)
		}
	}
	err := v.runs(ctx, match, func(d document) bool {
		found = &d
		return false
	})
	if err != nil {
		return document{}, err
	}
	if found == nil {
		return document{}, wrongUse(fmt.Errorf("%w: %s; `nbpress list` shows them; a RUN is an id, or report/asset/latest", errNoRun, ref))
	}
	return *found, nil
}

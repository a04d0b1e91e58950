package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nbpress/gitsync"
	"nbpress/runner"
)

// whereFlags say which repository's ledger, and which store, a command looks into.
type whereFlags struct {
	config, dir, url string
	generation       int // of the run that is looked for; 0: the highest
}

// addRun is add for commands that look for a run.
func (w *whereFlags) addRun(cmd *cobra.Command) {
	w.add(cmd)
	cmd.Flags().IntVar(&w.generation, "generation", 0, "which generation of the run, 1 for the first (default: the newest)")
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
	store  runner.StoreReader // nil: not known
	pages  string             // where people see the store's folder pages/; "": not known
}

// collectAt is how much the heap may grow between two collections, in percent, for
// commands that look into a ledger and end: a month is much to read and little to keep.
const collectAt = 300

// look opens the ledger for as long as read reads it.
func (w whereFlags) look(ctx context.Context, read func(*ledgerView) error) (err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(collectAt))
	at, err := w.where(ctx)
	if err != nil {
		return err
	}
	options, v := gitsync.LedgerOptions{URL: at.url, Auth: at.auth}, &ledgerView{store: at.store, pages: at.pages}
	cache, err := openCache(ctx, options.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.close()) }()
	options.Dir = cache.dir
	if v.ledger, err = gitsync.OpenLedger(options); err != nil {
		return err
	}
	return read(v)
}

// whereabouts are those of a ledger, and of what goes with it, as far as it is known.
type whereabouts struct {
	url   string
	auth  gitsync.Auth
	store runner.StoreReader
	pages string
}

// where finds the ledger: of the configuration, else of the URL, else of the clone.
func (w whereFlags) where(ctx context.Context) (at whereabouts, err error) {
	configFile := w.config
	if configFile == "" && w.url == "" && w.dir == "." && exists("nbpress.yaml") {
		configFile = "nbpress.yaml"
	}
	switch {
	case configFile != "":
		c, err := readConfig(configFile)
		if err != nil {
			return at, err
		}
		at.url, at.pages = c.Ledger.URL, c.Pages.URL
		if at.auth, err = c.Ledger.Credential.auth(); err != nil {
			return at, err
		}
		at.store, err = c.Store.reader(ctx)
		return at, err
	case w.url != "":
		if at.url = w.url; !strings.Contains(at.url, ":") { // a folder, not a URL and not host:path
			at.url = under(".", at.url)
		}
		return at, nil
	}
	at.url, err = gitsync.Origin(w.dir)
	if err != nil {
		err = wrongUse(fmt.Errorf("%w; name the repository with -C, --repo or --config", err))
	}
	return at, err
}

// document is a manifest of the ledger, with where it stands.
type document struct {
	branch, path string
	data         []byte
	run          runner.Manifest
}

// sieve says which manifests are worth decoding, which takes long. It may let through
// too many: who uses it looks at the decoded one. The zero sieve lets all through.
type sieve struct {
	first  string // branch of the first month
	newest bool   // of a run its highest generation alone, which says how it stands
	brief  bool   // who visits needs of a run no more than a line of a list shows
	path   func(p string) bool
	data   func(data []byte) bool
}

// longestManifest is more than any manifest has that an agent wrote, whose texts are
// cut. YAML takes minutes for what somebody could put in its place.
const longestManifest = 8 << 20

// read reads a manifest, quickly where that is enough.
func (only sieve) read(data []byte) (runner.Manifest, error) {
	if only.brief && len(data) <= longestManifest {
		if m, ok := runner.Glance(data); ok {
			return m, nil
		}
	}
	return decodeRun(data)
}

// decodeRun reads a manifest out of the ledger, where others may write.
func decodeRun(data []byte) (runner.Manifest, error) {
	if len(data) > longestManifest {
		return runner.Manifest{}, fmt.Errorf("it has %d bytes, more than any manifest", len(data))
	}
	return runner.Decode[runner.Manifest](data, runner.KindRun)
}

// runs calls visit with every run of the ledger that the sieve lets through, until
// visit returns false: the newest month first, in it the newest slot, and of a run's
// generations the highest.
func (v *ledgerView) runs(ctx context.Context, only sieve, visit func(document) bool) error {
	months, err := v.ledger.Branches(ctx, "runs/2")
	if err != nil {
		return err
	}
	slices.Sort(months)
	for _, branch := range slices.Backward(months) {
		if branch < only.first {
			break
		}
		tree, err := v.ledger.Tree(ctx, branch)
		if err != nil {
			return err
		}
		paths, err := manifestsOf(tree)
		if err != nil {
			return err
		}
		more, err := only.through(tree, paths, func(d document) bool {
			d.branch = branch
			return visit(d)
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// through calls visit with the runs of a month that the sieve lets through, until it
// returns false.
func (only sieve) through(tree fs.FS, paths []string, visit func(document) bool) (more bool, err error) {
	known := "" // the run that the highest generation was of
	for _, p := range paths {
		if only.path != nil && !only.path(p) {
			continue
		}
		asset, generation := assetOf(p)
		run := path.Join(path.Dir(p), asset)
		if only.newest && run == known {
			continue
		}
		data, err := fs.ReadFile(tree, p)
		if err != nil {
			return false, err
		}
		wanted := only.data == nil || only.data(data)
		if !wanted && (!only.newest || generation == 1) { // else it may hide a lower generation
			continue
		}
		m, err := only.read(data)
		if err != nil {
			continue // no run, or not one that we wrote
		}
		known = run
		if wanted && !visit(document{path: p, data: data, run: m}) {
			return false, nil
		}
	}
	return true, nil
}

// manifestsOf lists the files of a month that may be manifests of runs, in the order
// of ledgerView.runs.
func manifestsOf(tree fs.FS) ([]string, error) {
	type manifest struct {
		path, asset string
		slot        time.Time
		generation  int
	}
	var found []manifest
	err := fs.WalkDir(tree, ".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || path.Ext(p) != ".yaml" || path.Base(p) == "slot.yaml" {
			return err
		}
		slot, ok := slotTime(slotOf(p))
		if !ok {
			return nil // beside the slots stand other documents
		}
		asset, generation := assetOf(p)
		found = append(found, manifest{p, asset, slot, generation})
		return nil
	})
	slices.SortFunc(found, func(a, b manifest) int {
		return cmp.Or(b.slot.Compare(a.slot), cmp.Compare(path.Dir(a.path), path.Dir(b.path)),
			cmp.Compare(a.asset, b.asset), cmp.Compare(b.generation, a.generation))
	})
	var paths []string
	for _, m := range found {
		paths = append(paths, m.path)
	}
	return paths, err
}

// slotLayout reads what runner.SlotName writes.
const slotLayout = "2006-01-02T1504-0700"

// slotTime reads a slot's name; one that a request made has more behind the time.
func slotTime(name string) (time.Time, bool) {
	if len(name) > len(slotLayout) && name[len(slotLayout)] == '-' {
		name = name[:len(slotLayout)]
	}
	at, err := time.Parse(slotLayout, name)
	return at, err == nil
}

// The parts of a manifest's path, as runPath makes it.

func reportOf(p string) string { return path.Dir(path.Dir(p)) }

func slotOf(p string) string { return path.Base(path.Dir(p)) }

// assetOf reads the file's name: `plant.green.g2.yaml` is the
// second generation of the asset plant.green.
func assetOf(p string) (asset string, generation int) {
	name := strings.TrimSuffix(path.Base(p), ".yaml")
	if at := strings.LastIndex(name, ".g"); at >= 0 {
		if n, err := strconv.ParseUint(name[at+len(".g"):], 10, 31); err == nil {
			return name[:at], int(n)
		}
	}
	return name, 1
}

// idOf returns the id of a slot's run; false where the slot has no slot's name.
func idOf(report, asset, slot string) (runner.RunID, bool) {
	at, ok := slotTime(slot)
	if !ok {
		return "", false
	}
	if _, request, ok := strings.Cut(slot, runner.SlotName(at)+"-"); ok {
		return runner.NewOnDemandID(report, asset, request), true
	}
	return runner.NewRunID(report, asset, at), true
}

// generation returns another generation of a run that was found.
func (v *ledgerView) generation(ctx context.Context, d document, n int) (document, error) {
	if n == d.run.Generation {
		return d, nil
	}
	tree, err := v.ledger.Tree(ctx, d.branch)
	if err != nil {
		return document{}, err
	}
	asset, _ := assetOf(d.path)
	other := document{branch: d.branch, path: path.Join(path.Dir(d.path), runFile(asset, n))}
	if other.data, err = fs.ReadFile(tree, other.path); err == nil {
		other.run, err = decodeRun(other.data)
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && (other.run.ID != d.run.ID || other.run.Generation != n) {
		return document{}, wrongUse(fmt.Errorf("the run %s has no generation %d; its newest is %d", d.run.ID, n, d.run.Generation))
	}
	return other, err
}

const (
	idLength   = 20 // of a whole id, as runner.NewRunID makes them
	idShortest = 4  // of a beginning
	idsShown   = 5  // of an ambiguous beginning
)

// find returns the run that RUN names: an id (or its beginning), or report/asset/latest,
// or report/asset/SLOT. Of several generations it is the highest. The latest run is the
// schedule's, as the latest pages are, unless all there are were asked for.
func (v *ledgerView) find(ctx context.Context, ref string) (document, error) {
	if len(ref) < idShortest {
		return document{}, wrongUse(fmt.Errorf("RUN %q is too short: it is an id, %d characters of one at least, or report/asset/latest", ref, idShortest))
	}
	var found []document
	var err error
	if dir, slot := path.Split(ref); dir != "" {
		report, asset := path.Split(path.Clean(dir))
		found, err = v.named(ctx, path.Clean(report), asset, slot)
	} else {
		found, err = v.beginning(ctx, ref)
	}
	switch {
	case err != nil:
		return document{}, err
	case len(found) == 0:
		return document{}, wrongUse(fmt.Errorf("no such run: %s; `nbpress list` shows them; a RUN is an id, or report/asset/latest", ref))
	case len(found) > 1:
		var ids []string
		for _, d := range found {
			ids = append(ids, string(d.run.ID))
		}
		if len(ids) > idsShown {
			ids = append(ids[:idsShown], "...")
		}
		return document{}, wrongUse(fmt.Errorf("several runs begin with %s: %s; write more of the id", ref, strings.Join(ids, ", ")))
	}
	return found[0], nil
}

// named returns a run by its names, if there is one. `latest` prefers the schedule's.
func (v *ledgerView) named(ctx context.Context, report, asset, slot string) (found []document, err error) {
	match := func(p string) bool {
		name, _ := assetOf(p)
		return name == asset && reportOf(p) == report && (slot == "latest" || slotOf(p) == slot)
	}
	err = v.runs(ctx, sieve{path: match}, func(d document) bool {
		if d.run.Asset != asset || path.Clean(d.run.Report) != report { // the path is not the last word
			return true
		}
		fits := slot != "latest" || d.run.OnDemand == ""
		if fits || len(found) == 0 {
			found = []document{d}
		}
		return !fits
	})
	return found, err
}

// beginning returns runs whose ids begin so, one document of each, and no more than
// can be shown and one. An id follows from the path; only where none does so begin, all
// documents are read, since others may write to the ledger.
func (v *ledgerView) beginning(ctx context.Context, ref string) ([]document, error) {
	found, err := v.identified(ctx, ref, sieve{path: func(p string) bool {
		asset, _ := assetOf(p)
		id, _ := idOf(reportOf(p), asset, slotOf(p))
		return strings.HasPrefix(string(id), ref)
	}})
	if err != nil || len(found) > 0 {
		return found, err
	}
	return v.identified(ctx, ref, sieve{data: func(data []byte) bool {
		return bytes.Contains(data, []byte("\nid: "+ref)) || bytes.Contains(data, []byte("\nid: \""+ref)) // as YAML quotes numbers
	}})
}

// identified returns runs that a sieve lets through and whose ids begin so.
func (v *ledgerView) identified(ctx context.Context, ref string, only sieve) (found []document, err error) {
	err = v.runs(ctx, only, func(d document) bool {
		known := slices.ContainsFunc(found, func(other document) bool { return other.run.ID == d.run.ID })
		if !known && strings.HasPrefix(string(d.run.ID), ref) {
			found = append(found, d)
		}
		return len(found) <= idsShown && (len(found) == 0 || len(ref) < idLength)
	})
	return found, err
}

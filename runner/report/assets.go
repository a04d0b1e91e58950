package report

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"nbpress/internal/strict"
)

// generationSuffix is how the ledger names the file of a rerun.
var generationSuffix = regexp.MustCompile(`\.g[0-9]+$`)

// assetEntry is an asset and where it was written.
type assetEntry struct {
	asset      Asset
	id         strict.Position
	languages  []strict.Position          // of each language
	parameters map[string]strict.Position // of each parameter's name
}

// checkAssets fills in the assets from config.json or from the file it names.
func (l *loader) checkAssets() {
	if !l.doc.Has("/assets") {
		return
	}
	if name := l.file.Assets.csv; name != "" {
		l.readAssetsFile(name)
	} else {
		l.assets = l.listedAssets()
	}
	first := map[string]assetEntry{}
	for _, entry := range l.assets {
		l.checkAsset(entry, first)
		l.bundle.Config.Assets = append(l.bundle.Config.Assets, entry.asset)
	}
}

func (l *loader) listedAssets() []assetEntry {
	entries := make([]assetEntry, len(l.file.Assets.list))
	for i, a := range l.file.Assets.list {
		e := assetEntry{
			asset:      Asset{ID: a.ID, Name: a.Name, Languages: a.Languages, Parameters: a.Parameters, Enabled: orElse(a.Enabled, true)},
			id:         l.doc.At(strict.Pointer("assets", i, "id")),
			parameters: map[string]strict.Position{},
		}
		for j := range a.Languages {
			e.languages = append(e.languages, l.doc.At(strict.Pointer("assets", i, "languages", j)))
		}
		for name := range a.Parameters {
			e.parameters[name] = l.doc.AtKey(strict.Pointer("assets", i, "parameters", name))
		}
		entries[i] = e
	}
	return entries
}

func (l *loader) readAssetsFile(name string) {
	if path.Clean(name) != name || strings.HasPrefix(name, "../") {
		l.problem(l.doc.At("/assets"), fmt.Sprintf("%q is not a file of this bundle", name), `name one such as "assets.csv"`)
		return
	}
	data, ok := l.bundle.Files[name]
	if !ok {
		l.problem(l.doc.At("/assets"), fmt.Sprintf("there is no file %q in the bundle", name), "add it, or list the assets here")
		return
	}
	entries, problems := parseAssets(l.path(name), data, l.bundle.Config.Parameters)
	l.assets = entries
	l.problems = append(l.problems, problems...)
}

// checkAsset checks what holds for assets from both sources; first collects the
// ids in lower case.
func (l *loader) checkAsset(e assetEntry, first map[string]assetEntry) {
	id := e.asset.ID
	if id == "" {
		return // refused and reported before
	}
	if id == "latest" || id == "slot" || generationSuffix.MatchString(id) {
		l.problem(e.id, fmt.Sprintf("the id %q is one of nbpress's own names", id), "choose another id")
	}
	folded := strings.ToLower(id)
	if other, ok := first[folded]; ok {
		what := fmt.Sprintf("asset %q stands in line %d already", id, other.id.Line)
		if other.asset.ID != id {
			what = fmt.Sprintf("assets %q and %q (line %d) differ only in case", id, other.asset.ID, other.id.Line)
		}
		l.problem(e.id, what, "remove or rename one")
	} else {
		first[folded] = e
	}
	for _, name := range sortedKeys(e.parameters) {
		l.checkParameterName(name, e.parameters[name])
	}
}

// checkAssetLanguages is called when the report's languages are known.
func (l *loader) checkAssetLanguages() {
	known := l.bundle.Config.Languages
	for _, e := range l.assets {
		for i, language := range e.asset.Languages {
			if language == "" || slices.Contains(known, language) {
				continue
			}
			l.problem(e.languages[i], fmt.Sprintf("asset %q wants %q, the report has %s", e.asset.ID, language, quoteAll(known)), `add it to "languages"`)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

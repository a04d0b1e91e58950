package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
)

// loader holds what the steps of one Load find, in the order of the file below.
type loader struct {
	fsys    fs.FS
	options Options
	bundle  *Bundle
	doc     *strict.Document // config.json over the defaults; nil where it cannot be parsed
	file    configFile
	names   map[string]string // $NAME: the parameter's name as it was first written
	assets  []assetEntry

	catalogs  map[string]catalogs // by language, those that could be read
	templates templates           // nil where the first could not be read
	problems  []strict.Problem
}

// maxName bounds a report's name: the store and the ledger make file names of it,
// with a slot's time behind it.
const maxName = 180

// Load reads and checks the report in folder name of fsys, the repository's root.
// It returns a bundle or problems, never both. Name "." is the root itself.
func Load(fsys fs.FS, name string, o Options) (*Bundle, []strict.Problem) {
	if len(name) > maxName {
		what := fmt.Sprintf("the report's name, its path in the repository, has %d characters; at most %d are possible", len(name), maxName)
		return nil, []strict.Problem{whole(path.Join(name, ConfigFile)).Problem(what, "shorten the folders' names, or move it up")}
	}
	if what := checkFolderName(name); what != "" && name != "." {
		return nil, []strict.Problem{whole(path.Join(name, ConfigFile)).Problem("the report's folder: "+what, "rename the folder")}
	}
	l := newLoader(fsys, name, o)
	l.bundle.Files, l.problems = readTree(fsys, name)

	l.readConfig()
	l.checkConfig()
	l.checkAssets()
	l.checkLanguages()
	l.checkTemplates()
	l.checkNotebook()
	if l.options.Translations {
		l.checkTranslations()
	}
	if len(l.problems) > 0 {
		return nil, strict.Limit(l.problems, l.path(ConfigFile))
	}
	l.bundle.Files = o.Defaults.beside(l.bundle.Files)
	return l.bundle, nil
}

func newLoader(fsys fs.FS, name string, o Options) *loader {
	l := &loader{
		fsys: fsys, options: o, bundle: &Bundle{Name: name, Template: TemplateFile},
		names: map[string]string{}, catalogs: map[string]catalogs{},
	}
	if o.Defaults != nil {
		l.bundle.Includes = o.Defaults.folders()
	}
	return l
}

// path returns where a file of the bundle stands in the repository.
func (l *loader) path(file string) string { return path.Join(l.bundle.Name, file) }

func (l *loader) problem(at strict.Position, what, do string) {
	l.problems = append(l.problems, at.Problem(what, do))
}

// need returns a file that a bundle must have.
func (l *loader) need(name, do string) ([]byte, bool) {
	data, ok := l.bundle.Files[name]
	reported := slices.ContainsFunc(l.problems, func(p strict.Problem) bool { return p.File == l.path(name) })
	if !ok && !reported { // else the file is there and unusable
		l.problem(whole(l.path(name)), "no such file", do)
	}
	return data, ok
}

// readConfig reads config.json, lays it over the defaults and checks both against
// the schema.
func (l *loader) readConfig() {
	data, ok := l.need(ConfigFile, `write one with "schedule", "window" and "assets"`)
	if !ok {
		return
	}
	doc, problems := strict.ParseJSON(l.path(ConfigFile), data)
	l.problems = append(l.problems, problems...)
	doc.Expand("/schedule", "cron")
	doc.Default(l.options.Defaults.document(), "/defaults")
	l.problems = append(l.problems, doc.Into(configSchema(), &l.file)...)
	if !doc.Has("") {
		return
	}
	l.doc = doc
	l.bundle.Config = l.file.config()
}

// own reports whether a value was written in config.json, not in the defaults.
func (l *loader) own(at strict.Position) bool { return at.File == l.path(ConfigFile) }

// Asset returns the asset with an id; false where the report has none.
func (b *Bundle) Asset(id string) (Asset, bool) {
	i := slices.IndexFunc(b.Config.Assets, func(a Asset) bool { return a.ID == id })
	if i < 0 {
		return Asset{}, false
	}
	return b.Config.Assets[i], true
}

// AssetParameters returns the parameters of an asset: the report's, and over them
// the asset's own.
func (b *Bundle) AssetParameters(asset Asset) map[string]any {
	merged := make(map[string]any, len(b.Config.Parameters)+len(asset.Parameters))
	maps.Copy(merged, b.Config.Parameters)
	maps.Copy(merged, asset.Parameters)
	return merged
}

// AssetLanguages returns the languages of an asset: its own, else the report's.
func (b *Bundle) AssetLanguages(asset Asset) []string {
	if len(asset.Languages) > 0 {
		return asset.Languages
	}
	return b.Config.Languages
}

// unmarshalNumbers decodes JSON and keeps numbers as they were written.
func unmarshalNumbers(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func sortedUnique(words []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(words)))
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return strings.Join(quoted, ", ")
}

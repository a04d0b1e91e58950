package report

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
)

// sourceLanguage is what templates are written in: it needs no catalog.
const sourceLanguage = "en"

// checkLanguages fills in the languages and looks for their catalogs. A report
// with more than one language needs a catalog for each but the source language;
// one with a single language may have its template written in it.
func (l *loader) checkLanguages() {
	folders := l.languageFolders()
	if l.doc != nil && l.doc.Lacks("/languages") {
		l.bundle.Config.Languages = l.defaultLanguages(folders)
	}
	languages := l.bundle.Config.Languages
	if len(languages) > 0 && !slices.Contains(languages, "") { // else some were refused
		l.checkAssetLanguages()
	}
	for i, language := range languages {
		if len(languages) == 1 || language == sourceLanguage || language == "" || l.hasCatalog(language) {
			continue
		}
		at := whole(l.path(catalogPath(language, "po")))
		if l.doc.Has("/languages") {
			at = l.doc.At(strict.Pointer("languages", i))
		}
		l.problem(at, fmt.Sprintf("language %q has no catalog", language), "add "+catalogPath(language, "po")+": nbpress messages makes it")
	}
	for _, folder := range folders {
		l.checkCatalogs(folder)
	}
}

// languageFolders returns the folders of languages/, sorted.
func (l *loader) languageFolders() []string {
	var folders []string
	for name := range l.bundle.Files {
		if parts := strings.Split(name, "/"); parts[0] == "languages" && len(parts) > 2 {
			folders = append(folders, parts[1])
		}
	}
	return sortedUnique(folders)
}

func (l *loader) defaultLanguages(folders []string) []string {
	if len(folders) == 0 {
		return []string{sourceLanguage}
	}
	for _, folder := range folders {
		if !languageCode.MatchString(folder) {
			l.problem(whole(l.path("languages/"+folder)), fmt.Sprintf("the folder's name %q is not a language code", folder), languageAdvice(folder))
		}
	}
	return folders
}

func catalogPath(language, kind string) string {
	return path.Join("languages", language, "LC_MESSAGES", "messages."+kind)
}

// hasCatalog reports whether pages in a language are translated: by a catalog of its
// own, or of the language without its region.
func (l *loader) hasCatalog(language string) bool {
	for _, code := range catalog.Fallbacks(language) {
		_, mo := l.bundle.Files[catalogPath(code, "mo")]
		_, po := l.bundle.Files[catalogPath(code, "po")]
		if mo || po {
			return true
		}
	}
	return false
}

// catalogs are those of one language.
type catalogs struct {
	source   *catalog.Catalog // messages.po; nil where there is none
	compiled *catalog.Catalog // messages.mo; nil where there is none
	stale    string           // how the second is not what the first says; "" where it is
}

// used is the one that translates pages.
func (c catalogs) used() *catalog.Catalog {
	if c.compiled == nil || c.stale != "" {
		return c.source
	}
	return c.compiled
}

// readCatalogs reads a language's catalogs among files. Pages are translated by
// messages.mo; where it is missing, or not what messages.po says today, that is compiled
// in its place, and the warning says so. The files of problems are those among files.
func readCatalogs(files map[string][]byte, language string) (c catalogs, warning string, problems []strict.Problem) {
	mo, po := catalogPath(language, "mo"), catalogPath(language, "po")
	if data, ok := files[mo]; ok {
		var err error
		if c.compiled, err = catalog.ParseMO(data); err != nil {
			problems = append(problems, whole(mo).Problem("not a catalog: "+err.Error(), "make it anew with nbpress messages --compile, msgfmt or pybabel compile"))
		}
	}
	if data, ok := files[po]; ok {
		var err error
		var syntax *catalog.SyntaxError
		if c.source, err = catalog.ParsePO(data); errors.As(err, &syntax) {
			problems = append(problems, strict.Position{File: po, Line: syntax.Line, Column: syntax.Column}.Problem(syntax.What, syntax.Do))
		}
	}
	if len(problems) > 0 || c.source == nil && c.compiled == nil {
		return c, "", problems
	}
	if c.source != nil && c.compiled != nil {
		c.stale = c.source.Stale(c.compiled)
	}
	switch {
	case c.compiled == nil:
		warning = fmt.Sprintf("%s is missing: %s was compiled in its place", mo, po)
	case c.stale != "":
		warning = fmt.Sprintf("%s is older than %s, which was compiled in its place: %s", mo, po, c.stale)
	}
	files[mo] = c.used().MO() // also of a file that is there: not each reader takes what we take
	return c, warning, nil
}

// checkCatalogs reads a language's catalogs.
func (l *loader) checkCatalogs(language string) {
	c, warning, problems := readCatalogs(l.bundle.Files, language)
	for _, p := range problems {
		p.File = l.path(p.File)
		l.problems = append(l.problems, p)
	}
	if !l.wants(language) {
		return
	}
	if warning != "" {
		l.bundle.Warnings = append(l.bundle.Warnings, warning)
	}
	if c.used() != nil {
		l.catalogs[language] = c
	}
}

// wants reports whether a catalog translates any page of the report.
func (l *loader) wants(code string) bool {
	return slices.ContainsFunc(l.bundle.Config.Languages, func(language string) bool {
		return slices.Contains(catalog.Fallbacks(language), code)
	})
}

// textProblem returns where a file is not UTF-8, and "" where it is.
func textProblem(file string, data []byte) (strict.Position, string) {
	at := whole(file)
	if utf8.Valid(data) {
		return at, ""
	}
	for i, line := range slices.Collect(bytes.Lines(data)) {
		if utf8.Valid(line) {
			continue
		}
		at.Line = i + 1
		for len(line) > 0 {
			r, size := utf8.DecodeRune(line)
			if r == utf8.RuneError && size == 1 {
				break
			}
			line = line[size:]
			at.Column++
		}
		return at, fmt.Sprintf("byte 0x%02x is not UTF-8", line[0])
	}
	return at, "not UTF-8"
}

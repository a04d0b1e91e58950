package report

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

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
		at := whole(l.path(catalog(language, "po")))
		if l.doc.Has("/languages") {
			at = l.doc.At(strict.Pointer("languages", i))
		}
		l.problem(at, fmt.Sprintf("language %q has no catalog", language), "add "+catalog(language, "mo")+"")
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

func catalog(language, kind string) string {
	return path.Join("languages", language, "LC_MESSAGES", "messages."+kind)
}

func (l *loader) hasCatalog(language string) bool {
	_, mo := l.bundle.Files[catalog(language, "mo")]
	_, po := l.bundle.Files[catalog(language, "po")]
	return mo || po
}

func (l *loader) checkCatalogs(language string) {
	if data, ok := l.bundle.Files[catalog(language, "mo")]; ok {
		if err := checkMO(data); err != nil {
			l.problem(whole(l.path(catalog(language, "mo"))), "not a catalog: "+err.Error(), "make it anew with msgfmt or pybabel compile")
		}
	}
	if data, ok := l.bundle.Files[catalog(language, "po")]; ok {
		if _, compiled := l.bundle.Files[catalog(language, "mo")]; !compiled {
			l.problem(whole(l.path(catalog(language, "po"))), "not compiled: pages are translated by messages.mo",
				"run msgfmt -o messages.mo messages.po, or pybabel compile, and commit both")
		}
		at, what := textProblem(l.path(catalog(language, "po")), data)
		switch {
		case what != "":
			l.problem(at, what, "save it as UTF-8")
		case !bytes.Contains(data, []byte("msgid")):
			l.problem(at, "not a catalog: it has no msgid", "make it anew with msginit or pybabel init")
		}
	}
}

// checkMO looks whether the tables of a GNU MO file lie within it, before anybody
// allocates what they say. See
// https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html.
func checkMO(data []byte) error {
	const header, entry = 28, 8
	if len(data) < header {
		return errors.New("it is too short")
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case order.Uint32(data) == 0x950412de:
	case binary.BigEndian.Uint32(data) == 0x950412de:
		order = binary.BigEndian
	default:
		return errors.New("it does not begin with the magic number of MO files")
	}
	word := func(offset uint64) uint64 { return uint64(order.Uint32(data[offset:])) }
	size := uint64(len(data))
	if major := word(4) >> 16; major > 1 {
		return fmt.Errorf("its format has version %d", major)
	}
	count := word(8)
	for _, table := range []uint64{word(12), word(16)} {
		if table+count*entry > size {
			return fmt.Errorf("it names %d strings, more than it holds", count)
		}
		for i := range count {
			length, offset := word(table+i*entry), word(table+i*entry+4)
			if offset+length >= size+1 {
				return fmt.Errorf("string %d lies outside of it", i)
			}
		}
	}
	return nil
}

// checkTemplate looks whether the template is there and is text.
func (l *loader) checkTemplate() {
	data, ok := l.need(TemplateFile, "add the Jinja2 template of the page")
	if !ok {
		return
	}
	if at, what := textProblem(l.path(TemplateFile), data); what != "" {
		l.problem(at, what, "save it as UTF-8")
	}
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

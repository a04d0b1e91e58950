package report

import (
	"fmt"
	"io/fs"
	"path"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
	"nbpress/runner/internal/template"
)

// PseudoLanguage is the language of pages whose texts are only made to look translated.
// No report may have it.
const PseudoLanguage = "pseudo"

// Texts is what translators have to do with.
type Texts struct {
	Messages  []*catalog.Message // what the templates ask to be translated, each once, with its places
	Languages []string           // those that it is translated into
}

// LoadTexts reads what the templates of the report in folder name ask to be translated.
// The report need not be whole: it may lack the catalogs.
func LoadTexts(fsys fs.FS, name string, o Options) (Texts, []strict.Problem) {
	l := newLoader(fsys, name, o)
	l.bundle.Files, _ = readTree(fsys, name)
	l.readConfig()
	languages := l.bundle.Config.Languages
	if len(languages) == 0 {
		languages = l.languageFolders()
	}
	l.checkTemplates()
	if len(l.problems) > 0 {
		return Texts{}, strict.Limit(l.problems, l.path(ConfigFile))
	}
	texts := Texts{Messages: l.templates.messages()}
	for _, language := range languages {
		_, begun := l.bundle.Files[catalogPath(language, "po")]
		translated := language != sourceLanguage && language != "" // "" was refused
		if begun || translated {
			texts.Languages = append(texts.Languages, language)
		}
	}
	return texts, nil
}

// messages are those of all templates, each once, in the order of the files and lines.
func (t templates) messages() []*catalog.Message {
	var all []*catalog.Message
	byKey := map[catalog.Key]*catalog.Message{}
	for _, file := range sortedKeys(t) {
		for _, found := range t[file].Messages {
			key := catalog.Key{Context: found.Context, Text: found.Text}
			m := byKey[key]
			if m == nil {
				m = &catalog.Message{Key: key, Translations: []string{""}}
				byKey[key] = m
				all = append(all, m)
			}
			m.References = append(m.References, fmt.Sprintf("%s:%d", file, found.Line))
			m.Extracted = append(m.Extracted, found.Remarks...)
			if m.Plural == "" && found.Plural != "" {
				m.Plural, m.Translations = found.Plural, []string{"", ""}
			}
			if len(m.Flags) == 0 && len(catalog.Placeholders(m.Text+m.Plural)) > 0 {
				m.Flags = []string{formatFlag(m.Text + m.Plural)}
			}
		}
	}
	return all
}

// formatFlag is gettext's word for the kind of placeholders that a text has.
func formatFlag(text string) string {
	for _, p := range catalog.Placeholders(text) {
		if p[0] == '%' {
			return "python-format"
		}
	}
	return "python-brace-format"
}

// AddPseudo adds the catalog of PseudoLanguage to the bundle's files.
func (b *Bundle) AddPseudo() {
	AddPseudo(b.Files, b.Includes, b.Template, b.Config.Engine)
}

// AddPseudo adds the catalog of PseudoLanguage to the files that a template may use: what
// it asks to be translated, and what other languages' catalogs translate beside that.
func AddPseudo(files map[string][]byte, includes []string, first, engine string) {
	messages := templateFolders{files, includes}.reach(first, template.Engine(engine)).messages()
	known := map[catalog.Key]bool{}
	for _, m := range messages {
		known[m.Key] = true
	}
	for _, file := range sortedKeys(files) {
		if path.Ext(file) != ".mo" {
			continue
		}
		other, err := catalog.ParseMO(files[file])
		if err != nil {
			continue // Load has said so
		}
		for _, m := range other.Messages {
			if !known[m.Key] {
				known[m.Key] = true
				messages = append(messages, m)
			}
		}
	}
	files[catalogPath(PseudoLanguage, "mo")] = catalog.PseudoCatalog(messages).MO()
}

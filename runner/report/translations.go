package report

import (
	"fmt"
	"path"
	"strings"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
	"nbpress/runner/internal/template"
)

// checkTranslations looks whether all that the templates ask for is translated, and well.
func (l *loader) checkTranslations() {
	for _, language := range sortedKeys(l.catalogs) {
		l.checkMessages(language)
	}
	type use struct {
		context, text string
		plural        bool
	}
	told := map[use]bool{}
	for _, file := range sortedKeys(l.templates) {
		for _, m := range l.templates[file].Messages {
			if key := (use{m.Context, m.Text, m.Plural != ""}); !told[key] { // once, however often it is used
				told[key] = true
				l.checkTranslated(file, m)
			}
		}
	}
}

// checkTranslated wants a message to be translated into every language of the report but
// the one that it is written in.
func (l *loader) checkTranslated(file string, m template.Message) {
	var missing, fuzzy []string
	for _, language := range l.bundle.Config.Languages {
		if language == sourceLanguage {
			continue
		}
		switch translated, doubted, readable := l.translated(language, m); {
		case translated, !readable: // that there is no catalog, or none that can be read, is told elsewhere
		case doubted:
			fuzzy = append(fuzzy, language)
		default:
			missing = append(missing, language)
		}
	}
	at := l.inTemplate(file, m.Line, m.Column)
	if len(missing) > 0 {
		l.problem(at, fmt.Sprintf("%s is not translated into %s", strict.Quote(m.Text), strings.Join(missing, ", ")),
			"nbpress messages lists it in the catalogs' messages.po; translate it there")
	}
	if len(fuzzy) > 0 {
		l.problem(at, fmt.Sprintf("the translation of %s into %s is marked as fuzzy, so it is not used", strict.Quote(m.Text), strings.Join(fuzzy, ", ")),
			"look at it in messages.po, and remove the mark")
	}
}

// translated reports whether a page in a language has a translation of a message, whether
// there is one that is marked as fuzzy, and whether a catalog could be read at all.
func (l *loader) translated(language string, m template.Message) (translated, doubted, readable bool) {
	for _, code := range catalog.Fallbacks(language) {
		c, ok := l.catalogs[code]
		if !ok {
			continue
		}
		readable = true
		found := c.used().Find(m.Context, m.Text)
		if found != nil && m.Plural != "" && found.Plural == "" {
			continue // Python finds plurals by both forms
		}
		if found != nil && found.Translated() {
			return true, false, true
		}
		doubted = doubted || found != nil && found.Fuzzy()
	}
	return false, doubted, readable
}

// checkMessages looks at what a catalog says.
func (l *loader) checkMessages(language string) {
	c := l.catalogs[language]
	mo, po := catalogPath(language, "mo"), catalogPath(language, "po")
	if c.stale != "" {
		l.problem(whole(l.path(mo)), fmt.Sprintf("older than %s: %s", path.Base(po), c.stale), "compile it: nbpress messages --compile, msgfmt or pybabel compile")
	}
	escaped := l.escapedMessages()
	file := mo
	if c.used() == c.source {
		file = po
	}
	for _, m := range c.used().Messages {
		if m.Obsolete || !m.Translated() {
			continue
		}
		at := strict.Position{File: l.path(file), Line: max(m.TranslationLine, 1), Column: 1}
		if what := m.Disagree(); what != "" {
			l.problem(at, fmt.Sprintf("the translation of %s: %s", strict.Quote(m.Text), what), "use the message's own placeholders")
		}
		if tag := m.Markup(); tag != "" && escaped[[2]string{m.Context, m.Text}] {
			l.problem(at, fmt.Sprintf("the translation of %s holds %s, which the page shows as text", strict.Quote(m.Text), tag),
				"take it out, or let the template say {% trans %}, or _(...)|safe")
		}
	}
}

// escapedMessages are those that some template prints through autoescape, by context
// and text.
func (l *loader) escapedMessages() map[[2]string]bool {
	escaped := map[[2]string]bool{}
	for _, t := range l.templates {
		for _, m := range t.Messages {
			if !m.Markup {
				escaped[[2]string{m.Context, m.Text}] = true
			}
		}
	}
	return escaped
}

package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// The limits of a catalog. Python and Jinja2 would take more, and no report has them.
const (
	MaxSize     = 4 << 20 // bytes of a file
	MaxMessages = 50_000
	maxForms    = 10 // plural forms; the most that a language has is 6
)

// fuzzyFlag marks a translation that somebody has to look at: it is not used.
const fuzzyFlag = "fuzzy"

// Catalog is the messages of a PO or MO file, in its order.
type Catalog struct {
	Header   *Message // the message without text, whose translation is "Name: value" lines; nil for none
	Messages []*Message

	byKey map[Key]*Message // made by Find

	forms  int    // how many plural forms the header announces; 0: it announces none
	rule   string // the expression that says which, as the header has it
	plural plural // which of them a number takes; nil: none was announced
}

// Key tells messages apart.
type Key struct {
	Context string // "" for none
	Text    string // the message in the source language
}

// Message is a text with its translation.
type Message struct {
	Key
	Plural       string   // the text for several; "" where there is only one form
	Translations []string // one per plural form, one in all without; all "" where nobody has translated it

	// What a PO file says beside it, each without its mark ("#", "#.", "#:", "#,").
	Comments   []string // people's
	Extracted  []string // of the source's author, for translators
	References []string // where it stands: file:line
	Flags      []string
	Previous   []string // "msgid ..." lines of the text that a fuzzy translation was made for
	Obsolete   bool     // no source holds it any more

	Line            int // of msgid, from 1; 0 in an MO file
	TranslationLine int // of the first msgstr
}

// Translated reports whether the message has a translation that is used: one for every
// form that is not marked as fuzzy.
func (m *Message) Translated() bool {
	return !m.Fuzzy() && len(m.Translations) > 0 && !slices.Contains(m.Translations, "")
}

// Fuzzy reports whether somebody has to look at the translation first.
func (m *Message) Fuzzy() bool { return slices.Contains(m.Flags, fuzzyFlag) }

// Find returns the message with a text, nil where the catalog has none that is not
// obsolete. It remembers what there is: a catalog must not change after the first call,
// nor be asked by two at once before.
func (c *Catalog) Find(context, text string) *Message {
	if c.byKey == nil {
		c.byKey = c.index()
	}
	return c.byKey[Key{Context: context, Text: text}]
}

// Translate returns what a text is in the catalog's language: of a message with a plural
// the form for n. It is false where nobody has translated it.
func (c *Catalog) Translate(context, text string, n int) (string, bool) {
	m := c.Find(context, text)
	if m == nil || !m.Translated() {
		return "", false
	}
	if m.Plural == "" {
		return m.Translations[0], true
	}
	return m.Translations[min(c.Form(n), len(m.Translations)-1)], true
}

// Fallbacks are the languages whose catalogs translate a page, the first that knows a
// message: ca_ES, then ca. Python's gettext does so as well, and also takes ca_ES for ca,
// and so for each language that it knows a country of; nobody who writes "ca" means that.
func Fallbacks(language string) []string {
	base, _, region := strings.Cut(language, "_")
	if !region {
		return []string{language}
	}
	return []string{language, base}
}

// index returns the catalog's messages by their keys, obsolete ones left out.
func (c *Catalog) index() map[Key]*Message {
	index := make(map[Key]*Message, len(c.Messages))
	for _, m := range c.Messages {
		if !m.Obsolete {
			index[m.Key] = m
		}
	}
	return index
}

// Field returns a field of the header, "" for none. Names are told apart as in mail.
func (c *Catalog) Field(name string) string {
	if c.Header == nil {
		return ""
	}
	for line := range strings.SplitSeq(c.Header.Translations[0], "\n") {
		field, value, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(field), name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// SetField writes a field of the header, in its place, else at the end; when a template
// was made is said at the start, as gettext does.
func (c *Catalog) SetField(name, value string) {
	if c.Header == nil {
		c.Header = &Message{Translations: []string{""}}
	}
	line := name + ": " + value + "\n"
	lines := strings.SplitAfter(c.Header.Translations[0], "\n")
	for i, old := range lines {
		if field, _, ok := strings.Cut(old, ":"); ok && strings.EqualFold(strings.TrimSpace(field), name) {
			lines[i] = line
			c.Header.Translations[0] = strings.Join(lines, "")
			return
		}
	}
	if name == "POT-Creation-Date" {
		at := 0
		for at < len(lines) && (strings.HasPrefix(lines[at], "Project-Id-Version:") || strings.HasPrefix(lines[at], "Report-Msgid-Bugs-To:")) {
			at++
		}
		c.Header.Translations[0] = strings.Join(slices.Insert(lines, at, line), "")
		return
	}
	text := c.Header.Translations[0]
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	c.Header.Translations[0] = text + line
}

// clip shortens what a message quotes of a file.
func clip(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// Stale says why a compiled catalog is not what compiling c today gives; "" where it
// is. Only what readers would see counts: fuzzy and untranslated messages do not, and of
// the header only the plural forms do.
func (c *Catalog) Stale(compiled *Catalog) string {
	if c.plural != nil && slices.ContainsFunc(c.Messages, func(m *Message) bool { return m.Plural != "" && m.Translated() }) {
		for n := range 1001 {
			if c.Form(n) != compiled.Form(n) {
				return fmt.Sprintf("its plural form for %d is another one", n)
			}
		}
	}
	was := compiled.index()
	for _, m := range c.Messages {
		if m.Obsolete {
			continue
		}
		old := was[m.Key]
		delete(was, m.Key)
		switch {
		case old == nil && m.Translated():
			return fmt.Sprintf("it lacks %q", clip(m.Text))
		case old != nil && !slices.Equal(old.Translations, m.Translations) && (m.Translated() || old.Translated()):
			return fmt.Sprintf("it translates %q in another way", clip(m.Text))
		}
	}
	for _, m := range compiled.Messages {
		if was[m.Key] != nil {
			return fmt.Sprintf("it still holds %q", clip(m.Text))
		}
	}
	return ""
}

package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError is where and why a file is no catalog.
type SyntaxError struct {
	Line, Column int    // from 1, the column in characters
	What         string // what is wrong
	Do           string // what to do; "" where that is plain
}

// Error returns the place and what is wrong.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// ParsePO reads a PO file, or a template (POT). Untranslated, fuzzy and obsolete
// messages are among the result's. The error is a *SyntaxError.
func ParsePO(data []byte) (*Catalog, error) {
	at := &SyntaxError{Line: 1, Column: 1}
	if len(data) > MaxSize {
		at.What = fmt.Sprintf("the file has %d bytes; at most %d are possible", len(data), MaxSize)
		return nil, at
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // as editors on Windows write
	text, err := toUTF8(data, charsetOf(data))
	var wrong *notInCharset
	switch {
	case errors.As(err, &wrong):
		at.Line = 1 + bytes.Count(data[:wrong.at], []byte("\n"))
		at.Column = 1 + utf8.RuneCount(data[bytes.LastIndexByte(data[:wrong.at], '\n')+1:wrong.at])
		at.What, at.Do = err.Error(), "save it as UTF-8, and say so in its header"
		return nil, at
	case err != nil:
		at.What, at.Do = err.Error(), "save it as UTF-8, and say so in its header"
		return nil, at
	}
	p := &poParser{line: 1, catalog: &Catalog{}, seen: map[Key]int{}}
	if err := p.parse(string(text)); err != nil {
		return nil, err
	}
	return p.catalog, nil
}

// poParser reads a file line by line into the message under way.
type poParser struct {
	catalog  *Catalog
	seen     map[Key]int // the line of each message that is no obsolete one
	line     int
	message  *Message // under way; nil between messages
	started  bool     // the message has its msgid
	fields   [maxForms + 3]bool
	into     *string         // what strings go to; nil where none may stand
	text     strings.Builder // of it, so far
	obsolete bool            // the line is marked as such
}

// The fields of a message, as poParser.fields counts them; msgstr[n] follow.
const (
	fieldContext = iota
	fieldID
	fieldPlural
	fieldForms
)

func (p *poParser) parse(text string) error {
	for line := range strings.SplitSeq(text, "\n") {
		if err := p.readLine(strings.TrimSuffix(line, "\r")); err != nil {
			return err
		}
		p.line++
	}
	p.line--
	if err := p.finish(); err != nil {
		return err
	}
	if err := p.catalog.readPlural(); err != nil {
		return &SyntaxError{Line: p.catalog.Header.TranslationLine, Column: 1, What: err.Error(), Do: "write it as the gettext manual has it for the language"}
	}
	return p.checkForms()
}

func (p *poParser) wrong(column int, what, do string) error {
	return &SyntaxError{Line: p.line, Column: column, What: what, Do: do}
}

func (p *poParser) readLine(line string) error {
	trimmed := strings.TrimLeft(line, " \t")
	column := 1 + len(line) - len(trimmed)
	p.obsolete = false
	if rest, ok := strings.CutPrefix(trimmed, "#~"); ok && !strings.HasPrefix(rest, "|") {
		p.obsolete = true
		trimmed = strings.TrimLeft(rest, " \t")
		column += len(line) - column + 1 - len(trimmed)
	}
	switch {
	case trimmed == "" && p.obsolete:
		return nil
	case trimmed == "":
		p.store()
		return nil
	case trimmed[0] == '#':
		return p.comment(trimmed)
	case trimmed[0] == '"':
		if p.into == nil {
			return p.wrong(column, "a string that belongs to nothing", "put msgid or msgstr before it")
		}
		return p.strings(trimmed, column)
	}
	return p.keyword(trimmed, column)
}

// comment reads a line that begins with #. One that follows a whole message belongs to
// the next.
func (p *poParser) comment(line string) error {
	if p.started {
		if err := p.finish(); err != nil {
			return err
		}
	}
	m := p.current()
	kind, text := "", strings.TrimPrefix(line, "#")
	if text != "" && strings.Contains(".:,|~", text[:1]) {
		kind, text = text[:1], text[1:]
	}
	text = strings.TrimRight(strings.TrimPrefix(text, " "), " \t")
	switch kind {
	case ".":
		m.Extracted = append(m.Extracted, text)
	case ":":
		m.References = append(m.References, strings.Fields(text)...)
	case ",":
		for flag := range strings.SplitSeq(text, ",") {
			if flag = strings.TrimSpace(flag); flag != "" {
				m.Flags = append(m.Flags, flag)
			}
		}
	case "|":
		m.Previous = append(m.Previous, text)
	case "~": // "#~|": of an obsolete message
		m.Previous = append(m.Previous, strings.TrimLeft(strings.TrimPrefix(text, "|"), " "))
	default:
		m.Comments = append(m.Comments, text)
	}
	return nil
}

// store ends the field under way.
func (p *poParser) store() {
	if p.into != nil {
		*p.into = p.text.String()
	}
	p.into = nil
	p.text.Reset()
}

// current returns the message under way, a new one between messages.
func (p *poParser) current() *Message {
	if p.message == nil {
		p.message = &Message{}
	}
	return p.message
}

// keyword reads a line that begins a field.
func (p *poParser) keyword(line string, column int) error {
	end := strings.IndexAny(line, " \t\"")
	if end < 0 {
		end = len(line)
	}
	word, rest := line[:end], strings.TrimLeft(line[end:], " \t")
	field, err := p.field(word, column)
	if err != nil {
		return err
	}
	if field < fieldPlural && p.started && (field == fieldContext || p.fields[fieldID]) {
		if err := p.finish(); err != nil {
			return err
		}
	}
	m := p.current()
	if p.fields[field] {
		return p.wrong(column, word+" stands there twice", "remove one")
	}
	switch {
	case field >= fieldPlural && !p.fields[fieldID]:
		return p.wrong(column, word+" without a msgid before it", "")
	case field == fieldPlural && len(m.Translations) > 0:
		return p.wrong(column, "msgid_plural after msgstr", "put it before")
	}
	p.store()
	p.fields[field], p.started = true, true
	switch field {
	case fieldContext:
		p.into = &m.Context
	case fieldID:
		p.into, m.Line, m.Obsolete = &m.Text, p.line, p.obsolete
	case fieldPlural:
		p.into = &m.Plural
	default:
		if err := p.translation(field-fieldForms, word, column); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(rest, `"`) {
		return p.wrong(column+len(line)-len(rest), "a string is expected after "+word, `write it in double quotes`)
	}
	return p.strings(rest, column+len(line)-len(rest))
}

// field returns which field a word begins.
func (p *poParser) field(word string, column int) (int, error) {
	switch word {
	case "msgctxt":
		return fieldContext, nil
	case "msgid":
		return fieldID, nil
	case "msgid_plural":
		return fieldPlural, nil
	case "msgstr":
		return fieldForms, nil
	case "domain":
		return 0, p.wrong(column, "a file of several domains", "pages have one: remove the line")
	}
	if digits, ok := strings.CutPrefix(word, "msgstr["); ok && strings.HasSuffix(digits, "]") {
		n, err := strconv.Atoi(strings.TrimSuffix(digits, "]"))
		if err == nil && n >= 0 && n < maxForms {
			return fieldForms + n, nil
		}
	}
	return 0, p.wrong(column, fmt.Sprintf("%q is no word of a catalog", clip(word)), "lines begin with msgid, msgstr, a string or #")
}

// translation begins the translation of a form.
func (p *poParser) translation(form int, word string, column int) error {
	m := p.message
	if plural := strings.HasSuffix(word, "]"); plural != p.fields[fieldPlural] {
		if plural {
			return p.wrong(column, word+" without a msgid_plural", "write msgstr")
		}
		return p.wrong(column, "msgstr after a msgid_plural", "write msgstr[0], msgstr[1], ...")
	}
	if form != len(m.Translations) {
		return p.wrong(column, fmt.Sprintf("%s where msgstr[%d] is expected", word, len(m.Translations)), "")
	}
	if form == 0 {
		m.TranslationLine = p.line
		m.Translations = make([]string, 0, 1)
	}
	m.Translations = append(m.Translations, "")
	p.into = &m.Translations[form]
	return nil
}

// strings appends a line's strings to what is under way.
func (p *poParser) strings(line string, column int) error {
	for rest := line; rest != ""; {
		at := func() int { return column + utf8.RuneCountInString(line[:len(line)-len(rest)]) }
		if rest[0] != '"' {
			return p.wrong(at(), fmt.Sprintf("%q after a string", clip(rest)), "remove it")
		}
		n, what := unquote(&p.text, rest)
		if what != "" {
			return p.wrong(at(), what, `a string ends on its line with "; inside of one write \" and \\`)
		}
		rest = strings.TrimLeft(rest[n:], " \t")
	}
	return nil
}

// unquote reads the string at the start of s and returns how long it is there.
func unquote(b *strings.Builder, s string) (n int, what string) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1, ""
		case '\\':
			i++
			size, ok := unescape(b, s[i:])
			if !ok {
				return 0, fmt.Sprintf("the escape %q is not known", clip(s[i-1:min(i+1, len(s))]))
			}
			i += size - 1
		case 0, contextEnd[0]:
			return 0, "a control character that MO files use between texts"
		default:
			b.WriteByte(s[i])
		}
	}
	return 0, "a string that does not end"
}

// unescape reads what follows a backslash, as C has it.
func unescape(b *strings.Builder, s string) (size int, ok bool) {
	if s == "" {
		return 0, false
	}
	if i := strings.IndexByte(`ntbrfva\"`, s[0]); i >= 0 {
		b.WriteByte("\n\t\b\r\f\v\a\\\""[i])
		return 1, true
	}
	base, digits := 8, ""
	for size < min(len(s), 3) && s[size] >= '0' && s[size] <= '7' {
		size++
	}
	if digits = s[:size]; s[0] == 'x' {
		for size = 1; size < min(len(s), 3) && strings.IndexByte("0123456789abcdefABCDEF", s[size]) >= 0; {
			size++
		}
		base, digits = 16, s[1:size]
	}
	value, err := strconv.ParseUint(digits, base, 8)
	if err != nil || value == 0 || value == uint64(contextEnd[0]) || value >= utf8.RuneSelf {
		return 0, false // more than ASCII would depend on the charset
	}
	b.WriteByte(byte(value))
	return size, true
}

// finish ends the message under way.
func (p *poParser) finish() error {
	p.store()
	m, started := p.message, p.started
	whole, emptyPlural := p.fields[fieldID] && p.fields[fieldForms], p.fields[fieldPlural] && m.Plural == ""
	p.message, p.started, p.fields = nil, false, [maxForms + 3]bool{}
	switch {
	case !started:
		return nil // comments at the end of the file
	case !whole:
		return p.wrong(1, "a message without msgstr ends here", `add msgstr ""`)
	case emptyPlural:
		return &SyntaxError{Line: m.Line, Column: 1, What: "an empty msgid_plural", Do: "write the text for several, or msgid alone"}
	case m.Key == Key{} && m.Plural == "" && !m.Obsolete:
		if p.catalog.Header != nil {
			return &SyntaxError{Line: m.Line, Column: 1, What: "a second header", Do: fmt.Sprintf("the first is in line %d: remove one", p.catalog.Header.Line)}
		}
		p.catalog.Header = m
		return nil
	case m.Text == "":
		return &SyntaxError{Line: m.Line, Column: 1, What: "a message without text", Do: "remove it"}
	}
	if !m.Obsolete {
		if line, ok := p.seen[m.Key]; ok {
			return &SyntaxError{Line: m.Line, Column: 1, What: fmt.Sprintf("%q stands there twice", clip(m.Text)), Do: fmt.Sprintf("the first is in line %d: remove one", line)}
		}
		p.seen[m.Key] = m.Line
	}
	if len(p.catalog.Messages) == MaxMessages {
		return &SyntaxError{Line: m.Line, Column: 1, What: fmt.Sprintf("more than %d messages", MaxMessages)}
	}
	p.catalog.Messages = append(p.catalog.Messages, m)
	return nil
}

// checkForms wants every translated plural to have as many forms as the header says.
func (p *poParser) checkForms() error {
	for _, m := range p.catalog.Messages {
		if m.Plural == "" || !m.Translated() || m.Obsolete || p.catalog.plural == nil {
			continue
		}
		if got, want := len(m.Translations), p.catalog.Forms(); got != want {
			return &SyntaxError{Line: m.TranslationLine, Column: 1,
				What: fmt.Sprintf("%q is translated in %d forms, but the header's nplurals is %d", clip(m.Text), got, want),
				Do:   "translate each form, or mend Plural-Forms"}
		}
	}
	return nil
}

package catalog

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pageWidth is where lines are broken, as GNU gettext's tools do.
const pageWidth = 79

// PO returns the catalog as a PO file in UTF-8, laid out as GNU gettext's tools do it.
// Obsolete messages come last.
func (c *Catalog) PO() []byte {
	var b bytes.Buffer
	if c.Header != nil {
		writeMessage(&b, c.utf8Header(), "")
	}
	for _, obsolete := range []bool{false, true} {
		for _, m := range c.Messages {
			if m.Obsolete != obsolete {
				continue
			}
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			mark := ""
			if obsolete {
				mark = "#~ "
			}
			writeMessage(&b, m, mark)
		}
	}
	return b.Bytes()
}

// utf8Header returns the header of the catalog as a file in UTF-8 has it.
func (c *Catalog) utf8Header() *Message {
	written := Catalog{}
	if c.Header != nil {
		header := *c.Header
		header.Translations = slices.Clone(header.Translations)
		written.Header = &header
	}
	written.SetField("Content-Type", "text/plain; charset=UTF-8")
	return written.Header
}

// writeMessage writes one message; mark begins the lines of an obsolete one.
func writeMessage(b *bytes.Buffer, m *Message, mark string) {
	for _, line := range m.Comments {
		writeComment(b, "#", line)
	}
	for _, line := range m.Extracted {
		writeComment(b, "#.", line)
	}
	writeReferences(b, m.References)
	if len(m.Flags) > 0 {
		writeComment(b, "#,", strings.Join(m.Flags, ", "))
	}
	previous := "#|"
	if mark != "" {
		previous = "#~|"
	}
	for _, line := range m.Previous {
		writeComment(b, previous, line)
	}
	if m.Context != "" {
		writeField(b, mark, "msgctxt", m.Context)
	}
	writeField(b, mark, "msgid", m.Text)
	if m.Plural == "" {
		writeField(b, mark, "msgstr", firstOf(m.Translations))
		return
	}
	writeField(b, mark, "msgid_plural", m.Plural)
	for i, text := range m.Translations {
		writeField(b, mark, "msgstr["+strconv.Itoa(i)+"]", text)
	}
}

func firstOf(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// writeComment writes "# text", without a blank at the end.
func writeComment(b *bytes.Buffer, mark, text string) {
	b.WriteString(mark)
	if text != "" {
		b.WriteString(" " + text)
	}
	b.WriteByte('\n')
}

// writeReferences writes as many references into a line as it has room for.
func writeReferences(b *bytes.Buffer, references []string) {
	width := 0
	for _, reference := range references {
		if width > 0 && width+1+utf8.RuneCountInString(reference) > pageWidth {
			b.WriteByte('\n')
			width = 0
		}
		if width == 0 {
			b.WriteString("#:")
			width = len("#:")
		}
		b.WriteString(" " + reference)
		width += 1 + utf8.RuneCountInString(reference)
	}
	if width > 0 {
		b.WriteByte('\n')
	}
}

// writeField writes a keyword and its text: on one line if it fits there and has no
// line break but at its end, else after an empty string.
func writeField(b *bytes.Buffer, mark, keyword, text string) {
	b.WriteString(mark + keyword + " ")
	pieces := brokenLines(text)
	if len(pieces) == 1 && len(mark)+len(keyword)+1+utf8.RuneCountInString(pieces[0]) <= pageWidth {
		b.WriteString(pieces[0] + "\n")
		return
	}
	b.WriteString(`""` + "\n")
	for _, piece := range pieces {
		b.WriteString(mark + piece + "\n")
	}
}

// brokenLines returns a text as quoted strings: one per line of it, and more of a line
// that is too long, broken after blanks.
func brokenLines(text string) []string {
	var pieces []string
	for line := range strings.SplitAfterSeq(text, "\n") {
		if line == "" && pieces != nil {
			break // the text ends with a line break
		}
		quoted := quote(line)
		for utf8.RuneCountInString(quoted)+2 > pageWidth {
			at := breakAt(quoted)
			if at == len(quoted) {
				break
			}
			pieces = append(pieces, `"`+quoted[:at]+`"`)
			quoted = quoted[at:]
		}
		pieces = append(pieces, `"`+quoted+`"`)
	}
	return pieces
}

// breakAt returns where a quoted line is broken: after the last blank that leaves a
// piece that fits, else after the first one; its length where there is none.
func breakAt(quoted string) int {
	at, width := len(quoted), 0
	for i, r := range quoted {
		if width++; width+2 > pageWidth && at < len(quoted) {
			break
		}
		if r == ' ' && i+1 < len(quoted) && quoted[i+1] != ' ' {
			at = i + 1
		}
	}
	return at
}

// quote escapes what may not stand in a string.
func quote(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		i := slices.Index([]rune("\n\t\b\r\f\v\a\\\""), r)
		switch {
		case i >= 0:
			b.WriteByte('\\')
			b.WriteByte(`ntbrfva\"`[i])
		case r < ' ' || r == 0x7f:
			b.WriteString(`\` + octal(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// octal is three digits, so that what follows is not taken for one more.
func octal(r rune) string {
	return string([]byte{'0' + byte(r>>6)&7, '0' + byte(r>>3)&7, '0' + byte(r)&7})
}

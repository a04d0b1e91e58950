package notebook

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Values are the values of $NAME, by name without the $: string, bool, nil,
// json.Number, []any and map[string]any as JSON gives them. Of a float64 that is
// whole the fraction is not written; json.Number keeps it. Other types count as
// what encoding/json makes of them.
type Values map[string]any

// NameUse is one $NAME in a string literal.
type NameUse struct {
	Name         string // without the $
	Line, Column int    // of the $ in the source, 1-based; columns count characters
	Misplaced    bool   // within {} of an f-string, where nothing is replaced
}

// SubstituteProblem is one place of a source that Substitute could not fill in.
type SubstituteProblem struct {
	Name         string // without the $; "" for a literal without end
	Line, Column int    // in the source, 1-based; columns count characters
	What, Do     string // what is wrong; what to do about it
}

func (p SubstituteProblem) String() string {
	return fmt.Sprintf("%d:%d: %s; %s", p.Line, p.Column, p.What, p.Do)
}

// Names returns every $NAME in a string literal of the source, in its order. A
// name is a $ and the longest run of A-Z, 0-9 and _ behind it that does not
// begin with a digit; there is no escape but a backslash: "\$NAME" is no name
// unless the literal is raw. Of "$$NAME" the first $ is text. Comments, lines
// that are IPython's (%magic, !command) and cells that begin with %% have none.
func Names(source string) []NameUse {
	literals, _ := scan(source)
	var uses []NameUse
	c := cursor{}
	data := []byte(source)
	for _, l := range literals {
		for _, n := range l.names {
			line, column := c.at(data, n.start)
			uses = append(uses, NameUse{Name: source[n.start+1 : n.end], Line: line, Column: column, Misplaced: n.inField})
		}
	}
	return uses
}

// Substitute replaces every $NAME (see Names) in the string literals of a
// Python source by its value, which is escaped for the literal it stands in:
// Python reads the value back exactly, whatever it holds. A literal without
// prefix (or u) that is nothing but "$NAME" becomes the value itself: a number,
// True, None, a list. Elsewhere a value that is no string stands as Python
// prints it. A raw literal becomes a non-raw one where the value needs it.
//
// Used are the names that were replaced, each once. Unknown names, and those in
// {} of an f-string, stay and are problems. A source with a literal that does
// not end is returned as it is.
func Substitute(source string, values Values) (result string, used []string, problems []SubstituteProblem) {
	literals, broken := scan(source)
	data := []byte(source)
	if broken >= 0 {
		line, column := new(cursor).at(data, broken)
		what := SubstituteProblem{Line: line, Column: column, What: "the string literal does not end", Do: "close its quotes"}
		return source, nil, []SubstituteProblem{what}
	}
	var out strings.Builder
	var c cursor
	at := 0
	for _, l := range literals {
		var known []name
		for _, n := range l.names {
			id := source[n.start+1 : n.end]
			if _, ok := values[id]; ok && !n.inField {
				known = append(known, n)
				if !slices.Contains(used, id) {
					used = append(used, id)
				}
				continue
			}
			line, column := c.at(data, n.start)
			problems = append(problems, SubstituteProblem{id, line, column, whatOf(n, id), values.advice(n, id)})
		}
		if len(known) > 0 {
			out.WriteString(source[at:l.start])
			out.WriteString(apart(source, l, filler{source, l, known, values}.fill()))
			at = l.end
		}
	}
	out.WriteString(source[at:])
	return out.String(), used, problems
}

// apart sets a filled literal off from quotes beside it: '$A”b' with an empty
// value must not become ”'b', the start of a triple quote.
func apart(source string, l literal, filled string) string {
	if l.start > 0 && source[l.start-1] == filled[0] {
		filled = " " + filled
	}
	if l.end < len(source) && source[l.end] == filled[len(filled)-1] {
		filled += " "
	}
	return filled
}

func whatOf(n name, id string) string {
	if n.inField {
		return "$" + id + " stands in {} of an f-string, where nothing is replaced"
	}
	return "unknown name $" + id
}

func (v Values) advice(n name, id string) string {
	if n.inField {
		return "assign it to a variable first"
	}
	for _, known := range slices.Sorted(maps.Keys(v)) {
		if len(id) > 3 && distance(id, known) <= 2 {
			return "did you mean $" + known + "?"
		}
	}
	return "give it as a parameter, or write the $ on its own"
}

// filler fills the known names of one literal in.
type filler struct {
	source  string
	literal literal
	names   []name
	values  Values
}

func (f filler) value(n name) any { return f.values[f.source[n.start+1:n.end]] }

func (f filler) fill() string {
	l := f.literal
	if v := f.value(f.names[0]); f.whole() {
		if code, ok := typed(v); ok {
			if strings.IndexByte("\n=([{,:;", l.before) < 0 || strings.IndexByte("\n)]},:;", l.after) < 0 {
				return "(" + code + ")" // -1 ** 2, return"$N"
			}
			return code
		}
	}
	if l.raw {
		return f.fillRaw()
	}
	var out strings.Builder
	out.WriteString(f.source[l.start:l.body])
	at := l.body
	for _, n := range f.names {
		text, value := f.source[at:n.start], asText(f.value(n))
		if value == "" { // in triple quotes ""$A" must not close up
			text = l.escapeEnd(text)
		}
		out.WriteString(text)
		out.WriteString(l.escape(value, n.openEscape))
		at = n.end
	}
	out.WriteString(f.source[at:l.end])
	return out.String()
}

// whole reports whether the literal is nothing but one name and is a plain
// string of its own: literals side by side are one string to Python.
func (f filler) whole() bool {
	l, n := f.literal, f.names[0]
	return n.start == l.body && n.end == l.bodyEnd && !l.raw && !l.bytes && !l.form && l.before != '"' && l.after != '"'
}

// fillRaw fills a raw literal in. A value that cannot stand in one gets a
// literal of its own beside it, which Python joins: r"\d$A" becomes r"\d" "\"".
func (f filler) fillRaw() string {
	l := f.literal
	plain := literal{quote: l.quote, bytes: l.bytes}
	open, rest := l.prefix+l.quote, ""
	if l.bytes {
		plain.prefix = "b"
	}
	var pieces []string
	at := l.body
	for _, n := range f.names {
		text, value := f.source[at:n.start], asText(f.value(n))
		at = n.end
		if l.rawSafe(value) {
			rest += text + l.braces(value)
			continue
		}
		// A raw literal cannot end in a backslash nor a triple one in a quote.
		kept := strings.TrimRight(text, `\'"`)
		if rest += kept; rest != "" {
			pieces = append(pieces, open+rest+l.quote)
		}
		pieces = append(pieces, plain.prefix+l.quote+plain.escape(text[len(kept):]+value, false)+l.quote)
		rest = ""
	}
	if rest += f.source[at:l.bodyEnd]; rest != "" {
		pieces = append(pieces, open+rest+l.quote)
	}
	return strings.Join(pieces, " ")
}

// rawSafe reports whether a raw literal can hold the value wherever it stands.
func (l literal) rawSafe(value string) bool {
	for _, r := range value {
		if !unicode.IsPrint(r) || strings.ContainsRune(`\'"`, r) || r == utf8.RuneError || l.bytes && r >= 0x80 {
			return false
		}
	}
	return value != ""
}

func (l literal) braces(value string) string {
	if !l.form {
		return value
	}
	return strings.NewReplacer("{", "{{", "}", "}}").Replace(value)
}

// escape writes a value as text of a literal that is not raw. With first, its
// first character is written as an escape in any case.
func (l literal) escape(value string, first bool) string {
	var out strings.Builder
	for i, r := range strings.ToValidUTF8(value, "\ufffd") {
		switch {
		case l.bytes && (r < ' ' || r >= 0x7f || i == 0 && first):
			for _, b := range []byte(string(r)) {
				fmt.Fprintf(&out, `\x%02x`, b)
			}
		case i == 0 && first, !unicode.IsPrint(r):
			out.WriteString(escapeRune(r))
		case r == '\\', string(r) == l.quote[:1]:
			out.WriteByte('\\')
			out.WriteRune(r)
		default:
			out.WriteString(l.braces(string(r)))
		}
	}
	return out.String()
}

// escapeEnd escapes the quotes that text ends with, unless they are already.
func (l literal) escapeEnd(text string) string {
	kept := strings.TrimRight(text, l.quote[:1])
	quotes := text[len(kept):]
	if slashes := len(kept) - len(strings.TrimRight(kept, `\`)); slashes%2 == 1 && quotes != "" {
		kept, quotes = kept+quotes[:1], quotes[1:]
	}
	return kept + strings.Repeat(`\`+l.quote[:1], len(quotes))
}

func escapeRune(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

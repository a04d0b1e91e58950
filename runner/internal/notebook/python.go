package notebook

import "strings"

// This file finds Python's string literals, by the lexical rules of
// https://docs.python.org/3/reference/lexical_analysis.html, f-strings as of
// Python 3.12, which are a superset of the older ones. IPython's magics and
// shell lines (%name, !command) are passed over: they are not Python.

// maxNesting bounds f-strings in f-strings; Python itself stops at 150.
const maxNesting = 150

// literal is one string literal, source[start:end].
type literal struct {
	start, end       int
	body, bodyEnd    int
	prefix, quote    string // prefix as written
	raw, bytes, form bool   // form: an f-string or t-string
	names            []name

	// The last byte of code before and the first behind it, blanks and comments
	// apart: '\n' for the end of a statement, '"' for another literal, which
	// Python joins to this one.
	before, after byte
}

// name is one $NAME, source[start:end], the $ included.
type name struct {
	start, end int
	inField    bool // within {} of an f-string, where nothing is replaced
	openEscape bool // a digit right behind \1 or \x4 would become part of the escape
}

type scanner struct {
	src      string
	pos      int
	depth    int  // of brackets: within them a newline ends no statement
	last     byte // see literal.before
	literals []literal
	escape   int // where the last backslash escape began
}

// scan returns the literals of source in their order. Broken is the offset of a
// literal that has no end, or -1.
func scan(source string) (literals []literal, broken int) {
	s := &scanner{src: source, last: '\n', escape: -1}
	if strings.HasPrefix(strings.TrimSpace(source), "%%") {
		return nil, -1 // a cell magic: the cell is anything but Python
	}
	for s.pos < len(s.src) {
		if start := s.pos; !s.token() {
			return s.literals, start
		}
	}
	s.saw('\n')
	return s.literals, -1
}

// saw notes the code byte that comes next.
func (s *scanner) saw(c byte) {
	if s.last == '"' {
		s.literals[len(s.literals)-1].after = c
	}
	s.last = c
}

// token passes over one token; false: a literal without end.
func (s *scanner) token() bool {
	c := s.src[s.pos]
	switch {
	case c == '\n' || c == '\r':
		if s.depth == 0 {
			s.saw('\n')
		}
		s.pos++
	case c == ' ' || c == '\t' || c == '\f':
		s.pos++
	case c == '#':
		s.pos = lineEnd(s.src, s.pos)
	case c == '\\': // continues the line
		s.pos = min(s.pos+1, len(s.src))
		s.newline()
	case c == '"' || c == '\'':
		return s.literal("")
	case isWord(c):
		start := s.pos
		s.word()
		word := s.src[start:s.pos]
		if s.pos < len(s.src) && (s.src[s.pos] == '"' || s.src[s.pos] == '\'') && isPrefix(word) {
			return s.literal(word)
		}
		s.saw(s.src[s.pos-1])
	case s.atMagic(c):
		for s.pos = lineEnd(s.src, s.pos); s.pos < len(s.src) && s.src[s.pos-1] == '\\'; s.pos = lineEnd(s.src, s.pos) {
			s.newline()
		}
	default:
		s.depth = max(0, s.depth+bracket(c))
		s.saw(c)
		s.pos++
	}
	return true
}

// newline passes over one line end, if there is one.
func (s *scanner) newline() {
	if strings.HasPrefix(s.src[s.pos:], "\r\n") {
		s.pos += 2
	} else if s.pos < len(s.src) && (s.src[s.pos] == '\n' || s.src[s.pos] == '\r') {
		s.pos++
	}
}

func (s *scanner) word() {
	for s.pos < len(s.src) && isWord(s.src[s.pos]) {
		s.pos++
	}
}

// atMagic reports whether IPython takes over here: %name or !command or ?name
// at the start of a statement, or % and ! behind an = sign.
func (s *scanner) atMagic(c byte) bool {
	switch s.last {
	case '\n':
		return s.depth == 0 && (c == '%' || c == '!' || c == '?')
	case '=':
		return s.depth == 0 && (c == '%' || c == '!')
	}
	return false
}

// literal passes over the literal whose quotes stand at pos, behind prefix.
func (s *scanner) literal(prefix string) bool {
	l := newLiteral(s.src, s.pos, prefix)
	l.before = s.last
	s.saw('"')
	s.pos = l.body
	s.literals = append(s.literals, l)
	this := &s.literals[len(s.literals)-1]
	if !s.text(this, l, 0) {
		return false
	}
	this.end, this.bodyEnd = s.pos, s.pos-len(l.quote)
	return true
}

func newLiteral(src string, pos int, prefix string) literal {
	l := literal{start: pos - len(prefix), prefix: prefix, quote: src[pos : pos+1]}
	if triple := strings.Repeat(l.quote, 3); strings.HasPrefix(src[pos:], triple) {
		l.quote = triple
	}
	l.body = pos + len(l.quote)
	l.raw = strings.ContainsAny(prefix, "rR")
	l.bytes = strings.ContainsAny(prefix, "bB")
	l.form = strings.ContainsAny(prefix, "fFtT")
	return l
}

// text passes over the text of the literal l, closing quotes included. Names
// go to top, the literal that l is nested in; both are the same at level 0.
func (s *scanner) text(top *literal, l literal, level int) bool {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case strings.HasPrefix(s.src[s.pos:], l.quote):
			s.pos += len(l.quote)
			return true
		case len(l.quote) == 1 && (c == '\n' || c == '\r'):
			return false
		case c == '\\':
			s.backslash(l)
		case c == '{' && l.form && strings.HasPrefix(s.src[s.pos:], "{{"):
			s.pos += 2
		case c == '{' && l.form:
			if !s.field(top, l, level+1) {
				return false
			}
		case c == '$':
			s.name(top, l, level)
		default:
			s.pos++
		}
	}
	return false
}

// backslash passes over a backslash and what belongs to it.
func (s *scanner) backslash(l literal) {
	s.escape = s.pos
	rest := s.src[s.pos:]
	switch {
	case len(rest) == 1,
		l.form && (rest[1] == '{' || rest[1] == '}'), // \{ is a backslash and a field
		l.raw && rest[1] == '$':
		s.pos++
	case strings.HasPrefix(rest, "\\\r\n"):
		s.pos += 3
	case !l.raw && !l.bytes && strings.HasPrefix(rest, `\N{`):
		s.pos += 3
		if n := strings.IndexAny(s.src[s.pos:], "}{\\\"'\r\n"); n >= 0 && s.src[s.pos+n] == '}' {
			s.pos += n + 1
		}
	default:
		s.pos += 2
	}
}

// field passes over a replacement field of an f-string, braces included.
func (s *scanner) field(top *literal, l literal, level int) bool {
	if level > maxNesting {
		return false
	}
	s.pos++
	for depth := 0; s.pos < len(s.src); {
		c := s.src[s.pos]
		switch {
		case depth == 0 && c == '}':
			s.pos++
			return true
		case depth == 0 && c == ':':
			s.pos++
			return s.format(top, l, level)
		case c == '#':
			s.pos = lineEnd(s.src, s.pos)
		case isWord(c) || c == '"' || c == '\'':
			start := s.pos
			s.word()
			prefix := s.src[start:s.pos]
			if s.pos == len(s.src) || s.src[s.pos] != '"' && s.src[s.pos] != '\'' {
				continue
			}
			if !isPrefix(prefix) {
				prefix = ""
			}
			nested := newLiteral(s.src, s.pos, prefix)
			s.pos = nested.body
			if !s.text(top, nested, level) {
				return false
			}
		default:
			depth += bracket(c)
			s.pos++
		}
	}
	return false
}

// format passes over a field's format, from behind the colon to behind the }.
func (s *scanner) format(top *literal, l literal, level int) bool {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == '}':
			s.pos++
			return true
		case c == '{':
			if !s.field(top, l, level+1) {
				return false
			}
		case strings.HasPrefix(s.src[s.pos:], l.quote), len(l.quote) == 1 && (c == '\n' || c == '\r'):
			return false
		case c == '\\':
			s.backslash(l)
		case c == '$':
			s.name(top, l, level)
		default:
			s.pos++
		}
	}
	return false
}

// name passes over a $ and the name behind it, if there is one.
func (s *scanner) name(top *literal, l literal, level int) {
	start := s.pos
	s.pos++
	if s.pos == len(s.src) || !isUpper(s.src[s.pos]) {
		return
	}
	for s.pos < len(s.src) && (isUpper(s.src[s.pos]) || isDigit(s.src[s.pos])) {
		s.pos++
	}
	open := !l.raw && s.escape >= l.body && isOpenEscape(s.src[s.escape:start])
	top.names = append(top.names, name{start: start, end: s.pos, inField: level > 0, openEscape: open})
}

// isOpenEscape reports whether more digits could change the meaning of a
// backslash escape.
func isOpenEscape(s string) bool {
	return len(s) > 1 && len(s) < 10 && strings.IndexByte("01234567xuU", s[1]) >= 0 && strings.Trim(s[2:], "0123456789abcdefABCDEF") == ""
}

func isPrefix(word string) bool {
	switch strings.ToLower(word) {
	case "r", "u", "b", "br", "rb", "f", "fr", "rf", "t", "tr", "rt":
		return true
	}
	return false
}

func isUpper(c byte) bool { return c == '_' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWord(c byte) bool  { return isUpper(c) || isDigit(c) || c >= 'a' && c <= 'z' || c >= 0x80 }

func bracket(c byte) int {
	switch c {
	case '(', '[', '{':
		return 1
	case ')', ']', '}':
		return -1
	}
	return 0
}

func lineEnd(s string, i int) int {
	if n := strings.IndexAny(s[i:], "\r\n"); n >= 0 {
		return i + n
	}
	return len(s)
}

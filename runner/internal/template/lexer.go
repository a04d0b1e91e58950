package template

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is a place where a template is wrong.
type Problem struct {
	Line, Column int    // from 1, the column in characters
	What         string // what is wrong
	Do           string // what to do; "" where that is plain
}

// kind tells tokens apart.
type kind int

const (
	data       kind = iota // text, with what "-" strips taken off
	comment                // {# ... #}, the text inside
	tagBegin               // {%
	tagEnd                 // %}
	printBegin             // {{
	printEnd               // }}
	name                   // also keywords
	text                   // a string literal's value
	number
	operator // one of operators; the rest of a sentence
)

// token is one piece of a template.
type token struct {
	kind    kind
	text    string
	offset  int  // in the source
	unknown bool // of a text: an escape that only Python knows the value of
}

func (t token) is(k kind, text string) bool { return t.kind == k && t.text == text }

// operators, longer ones before those that they begin with. The first ones are only
// pongo2's.
var operators = [...]string{"&&", "||", "<>", "!", "^", "//", "**", "==", "!=", ">=", "<=",
	"+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"}

const onlyPongo2 = 5 // of operators

// lexer takes a template apart by the rules of Jinja2's own, which pongo2's follow but
// for a few.
type lexer struct {
	src       string
	pos       int
	tokens    []token
	strip     bool     // the next text begins after "-%}"
	rawWord   string   // the tag whose contents are text
	operators []string // of the engine
}

// lex returns the tokens of a template, and what keeps it from going on, if anything.
func lex(src string, engine Engine) (tokens []token, problem *failure) {
	src = strings.TrimSuffix(strings.TrimSuffix(src, "\n"), "\r") // as Jinja2 does
	l := &lexer{src: src, rawWord: "raw", operators: operators[onlyPongo2:]}
	if engine == Pongo2 {
		l.rawWord, l.operators = "verbatim", operators[:]
	}
	for l.pos < len(l.src) {
		if problem = l.next(); problem != nil {
			break
		}
	}
	return l.tokens, problem
}

// failure is a problem at an offset.
type failure struct {
	offset   int
	what, do string
}

func (l *lexer) add(k kind, text string, offset int) {
	l.tokens = append(l.tokens, token{kind: k, text: text, offset: offset})
}

// next reads up to the next tag, and the tag.
func (l *lexer) next() *failure {
	start := l.pos
	at, opening := findOpening(l.src[start:])
	if at < 0 {
		l.text(l.src[start:], start, "")
		l.pos = len(l.src)
		return nil
	}
	at += start
	sign := ""
	if rest := l.src[at+len(opening):]; rest != "" && (rest[0] == '-' || rest[0] == '+') {
		sign = rest[:1]
	}
	l.text(l.src[start:at], start, sign)
	l.pos = at + len(opening) + len(sign)
	switch opening {
	case "{#":
		return l.comment(at)
	case "{{":
		return l.inside(at, printBegin, printEnd)
	}
	if end, stripped, ok := rawTag(l.src[l.pos:], l.rawWord); ok {
		l.pos += end
		return l.raw(at, stripped)
	}
	return l.inside(at, tagBegin, tagEnd)
}

// findOpening returns where the first of {%, {{ and {# stands, and which it is.
func findOpening(s string) (at int, opening string) {
	for at = 0; ; at++ {
		next := strings.IndexByte(s[at:], '{')
		if next < 0 || at+next+1 >= len(s) {
			return -1, ""
		}
		at += next
		if c := s[at+1]; c == '%' || c == '{' || c == '#' {
			return at, s[at : at+2]
		}
	}
}

// text adds what stands between tags.
func (l *lexer) text(s string, offset int, sign string) {
	if l.strip {
		kept := strings.TrimLeftFunc(s, blank)
		offset += len(s) - len(kept)
		s = kept
	}
	l.strip = false
	if sign == "-" {
		s = strings.TrimRightFunc(s, blank)
	}
	if s != "" {
		l.add(data, unixLines(s), offset)
	}
}

func unixLines(s string) string {
	if !strings.Contains(s, "\r") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

func (l *lexer) comment(start int) *failure {
	end := strings.Index(l.src[l.pos:], "#}")
	if end < 0 && l.pos < len(l.src) { // Jinja2 takes one that nothing follows
		return &failure{start, "a comment that does not end", "close it with #}"}
	} else if end < 0 {
		return nil
	}
	body := l.src[l.pos : l.pos+end]
	l.pos += end + len("#}")
	if strings.HasSuffix(body, "-") {
		l.strip = true
	}
	l.add(comment, strings.TrimRight(body, "+-"), start)
	return nil
}

// rawTag reads the rest of a tag of one word, {% raw %} or {% endraw %}, and says whether it strips what
// follows.
func rawTag(s, word string) (end int, strip, ok bool) {
	rest, found := strings.CutPrefix(strings.TrimLeftFunc(s, blank), word)
	if !found {
		return 0, false, false
	}
	rest = strings.TrimLeftFunc(rest, blank)
	for _, closing := range []string{"-%}", "+%}", "%}"} {
		if after, found := strings.CutPrefix(rest, closing); found && !(closing == "+%}" && !strings.HasPrefix(word, "end")) {
			return len(s) - len(after), closing == "-%}", true
		}
	}
	return 0, false, false
}

// raw passes over text up to the tag that ends it.
func (l *lexer) raw(start int, strip bool) *failure {
	l.strip = strip
	for at := l.pos; ; {
		next := strings.Index(l.src[at:], "{%")
		if next < 0 && (l.pos >= len(l.src) || strip && strings.TrimLeftFunc(l.src[l.pos:], blank) == "") {
			return nil // as with comments
		}
		if next < 0 {
			return &failure{start, fmt.Sprintf("a %s section that does not end", l.rawWord), fmt.Sprintf("close it with {%% end%s %%}", l.rawWord)}
		}
		at += next
		inside, sign := l.src[at+2:], ""
		if inside != "" && (inside[0] == '-' || inside[0] == '+') {
			sign = inside[:1]
		}
		end, stripNext, ok := rawTag(inside[len(sign):], "end"+l.rawWord)
		if !ok {
			at += 2
			continue
		}
		l.text(l.src[l.pos:at], l.pos, sign)
		l.pos = at + 2 + len(sign) + end
		l.strip = stripNext
		return nil
	}
}

// inside reads the tokens of a tag and its end.
func (l *lexer) inside(start int, begin, end kind) *failure {
	l.add(begin, l.src[start:start+2], start)
	closing := "%}"
	if begin == printBegin {
		closing = "}}"
	}
	var open []byte // the brackets that are to be closed
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		if len(open) == 0 {
			if sign, ok := closes(rest, closing); ok {
				l.add(end, closing, l.pos+len(sign))
				l.pos += len(sign) + len(closing)
				l.strip = sign == "-"
				return nil
			}
		}
		t, size, wrong := l.token(rest)
		if wrong != "" {
			return &failure{l.pos, wrong, ""}
		}
		t.offset = l.pos
		l.pos += size
		if t.kind == data {
			continue // blanks
		}
		if wrong := balance(&open, t); wrong != "" {
			return &failure{t.offset, wrong, "close what is open: ) ] }"}
		}
		l.tokens = append(l.tokens, t)
	}
	return &failure{start, fmt.Sprintf("%s that does not end", l.src[start:start+2]), "close it with " + closing}
}

// closes reports whether a tag ends here, and with which sign.
func closes(s, closing string) (sign string, ok bool) {
	if strings.HasPrefix(s, closing) {
		return "", true
	}
	if s != "" && (s[0] == '-' || s[0] == '+' && closing == "%}") && strings.HasPrefix(s[1:], closing) {
		return s[:1], true
	}
	return "", false
}

// balance keeps account of brackets.
func balance(open *[]byte, t token) (wrong string) {
	if t.kind != operator {
		return ""
	}
	switch t.text {
	case "(":
		*open = append(*open, ')')
	case "[":
		*open = append(*open, ']')
	case "{":
		*open = append(*open, '}')
	case ")", "]", "}":
		if len(*open) == 0 {
			return fmt.Sprintf("%s that nothing opens", t.text)
		}
		want := (*open)[len(*open)-1]
		if *open = (*open)[:len(*open)-1]; t.text[0] != want {
			return fmt.Sprintf("%s where %c is expected", t.text, want)
		}
	}
	return ""
}

// token reads one token of a tag; blanks are data.
func (l *lexer) token(s string) (t token, size int, wrong string) {
	r, width := utf8.DecodeRuneInString(s)
	switch {
	case blank(r):
		return token{}, len(s) - len(strings.TrimLeftFunc(s, blank)), ""
	case r >= '0' && r <= '9':
		size = numberEnd(s)
		return token{kind: number, text: s[:size]}, size, ""
	case nameRune(r):
		size = len(s) - len(strings.TrimLeftFunc(s, nameRune))
		return token{kind: name, text: s[:size]}, size, ""
	case r == '"' || r == '\'':
		return lexString(s)
	}
	for _, o := range l.operators {
		if strings.HasPrefix(s, o) {
			return token{kind: operator, text: o}, len(o), ""
		}
	}
	return token{}, 0, fmt.Sprintf("unexpected character %q", s[:width])
}

func nameRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r)
}

// numberEnd returns the length of a number, roughly: nothing here needs its value.
func numberEnd(s string) int {
	i := 0
	digits := func() {
		for i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] == '_') {
			i++
		}
	}
	if digits(); i == 1 && s[0] == '0' && i < len(s) && strings.IndexByte("xXoObB", s[i]) >= 0 {
		for i++; i < len(s) && strings.IndexByte("0123456789abcdefABCDEF_", s[i]) >= 0; {
			i++
		}
		return i
	}
	if i+1 < len(s) && s[i] == '.' && s[i+1] >= '0' && s[i+1] <= '9' {
		i++
		digits()
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		mark := i
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		start := i
		if digits(); i == start {
			i = mark
		}
	}
	return i
}

// lexString reads a string literal. It may go over several lines.
func lexString(s string) (t token, size int, wrong string) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			value, known := unescape(unixLines(s[1:i]))
			return token{kind: text, text: value, unknown: !known}, i + 1, ""
		}
	}
	return token{}, 0, "a string that does not end"
}

// blank reports what Python takes for white space.
func blank(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

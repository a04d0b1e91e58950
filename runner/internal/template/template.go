package template

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Template is what Parse finds in a source.
type Template struct {
	Messages []Message
	// Uses are the templates that it includes, imports or extends by literal names.
	Uses []Use
	// Names are what a template for pongo2 takes from its data.
	Names []Name
	// Dynamic reports that it also needs templates whose names are made while rendering.
	Dynamic  bool
	Problems []Problem
}

// Message is a text that the template asks a translation for.
type Message struct {
	Context      string // "" for none
	Text         string
	Plural       string // "" where there is only one form
	Line, Column int
	Remarks      []string // of the author, for translators: {# TRANSLATORS: ... #} before it, at most one line above
	// Markup reports that a translation may hold HTML: it stands in {% trans %}, or is
	// marked as safe. Elsewhere autoescape shows tags as text.
	Markup bool
}

// Use names a template that another one needs.
type Use struct {
	Name         string
	Line, Column int
	Optional     bool // it need not be there: ignore missing, or one of a list
}

// Engine is what renders a template.
type Engine string

// The engines.
const (
	Jinja2 Engine = "jinja2"
	Pongo2 Engine = "pongo2"
)

// Parse reads a template for an engine. Where it cannot go on it says so in Problems,
// and returns what it found before.
func Parse(src string, engine Engine) Template {
	tokens, failed := lex(src, engine)
	if engine == Pongo2 {
		tokens = withoutComments(tokens)
	}
	p := &parser{places: newPlaces(src), tokens: tokens, remark: -1}
	if failed != nil {
		p.problem(failed.offset, failed.what, failed.do)
	}
	p.parse(engine, failed == nil)
	return p.found
}

// parser walks over the tokens.
type parser struct {
	places places
	tokens []token
	at     int
	remark int // the last comment that no message has taken yet; -1 for none
	found  Template
}

// mostProblems is how many problems of a template are told.
const mostProblems = 50

func (p *parser) problem(offset int, what, do string) {
	if len(p.found.Problems) == mostProblems {
		return
	}
	line, column := p.places.of(offset)
	p.found.Problems = append(p.found.Problems, Problem{line, column, what, do})
}

// peek returns a token from here on, an empty one behind the last.
func (p *parser) peek(ahead int) token {
	if i := p.at + ahead; i >= 0 && i < len(p.tokens) {
		return p.tokens[i]
	}
	return token{kind: data}
}

func (p *parser) parse(engine Engine, whole bool) {
	blocks := openBlocks{p: p, engine: engine, tags: tagsOf(engine)}
	for ; p.at < len(p.tokens); p.at++ {
		switch t := p.tokens[p.at]; t.kind {
		case comment:
			p.remark = p.at
		case tagBegin:
			blocks.tag()
			if engine == Jinja2 && p.peek(1).is(name, "trans") {
				p.trans()
			} else {
				p.use()
			}
		case name:
			p.call()
		}
	}
	if whole {
		blocks.end()
	}
	if engine == Pongo2 {
		p.onlyJinja2()
		p.findNames()
	}
}

// places turns offsets into lines and columns.
type places struct {
	src    string
	starts []int // of each line
	runes  []int // before each stretch: a line may be as long as the file, and be asked about at every token
}

// stretch is a number of bytes that is quickly counted through.
const stretch = 1 << 10

func newPlaces(src string) places {
	starts := []int{0}
	var runes []int
	count := 0
	for i := 0; i < len(src); i++ {
		if i%stretch == 0 {
			runes = append(runes, count)
		}
		if utf8.RuneStart(src[i]) {
			count++
		}
		if src[i] == '\n' || src[i] == '\r' && !strings.HasPrefix(src[i+1:], "\n") {
			starts = append(starts, i+1)
		}
	}
	return places{src, starts, append(runes, count)}
}

// before returns how many characters come before an offset.
func (l places) before(offset int) int {
	count := l.runes[offset/stretch]
	for i := offset - offset%stretch; i < offset; i++ {
		if utf8.RuneStart(l.src[i]) {
			count++
		}
	}
	return count
}

func (l places) of(offset int) (line, column int) {
	low, high := 0, len(l.starts)
	for high-low > 1 {
		if middle := (low + high) / 2; l.starts[middle] <= offset {
			low = middle
		} else {
			high = middle
		}
	}
	return low + 1, 1 + l.before(offset) - l.before(l.starts[low])
}

// String returns "line:column: what; do".
func (p Problem) String() string {
	text := fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.What)
	if p.Do != "" {
		text += "; " + p.Do
	}
	return text
}

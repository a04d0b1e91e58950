package template

import (
	"fmt"
	"strings"
)

// This file finds what of a template only Jinja2 knows, for a template that pongo2 is to
// render. Much of it is a syntax error there; the rest is worse, since pongo2 renders
// nothing in its place and says nothing. See the table in docs/authors.md.

// onlyJinja2 reports every place of its kind once per line.
func (p *parser) onlyJinja2() {
	last := 0
	within := surroundings{}
	for p.at = 0; p.at < len(p.tokens); p.at++ {
		within.enter(p.tokens[p.at], p.peek(1))
		what, do := p.foreign(within)
		if what == "" {
			continue
		}
		if line, _ := p.places.of(p.tokens[p.at].offset); line != last {
			p.problem(p.tokens[p.at].offset, what, do)
			last = line
		}
	}
}

// surroundings say what a token stands in.
type surroundings struct {
	tag      string // the tag's name; "" in {{ }}
	brackets []byte // that are open there, the innermost last
}

func (s *surroundings) enter(t, after token) {
	switch {
	case t.kind == tagBegin:
		*s = surroundings{tag: after.text}
	case t.kind == printBegin:
		*s = surroundings{}
	case t.kind == operator && strings.Contains("([{", t.text):
		s.brackets = append(s.brackets, t.text[0])
	case t.kind == operator && strings.Contains(")]}", t.text) && len(s.brackets) > 0:
		s.brackets = s.brackets[:len(s.brackets)-1]
	}
}

// foreign says what is wrong with the token here, in pongo2.
func (p *parser) foreign(within surroundings) (what, do string) {
	t := p.tokens[p.at]
	switch t.kind {
	case comment:
		if strings.Contains(t.text, "\n") {
			return "a comment of several lines, which pongo2 does not know", "write {% comment %} ... {% endcomment %}"
		}
	case tagBegin, printBegin:
		return p.brokenLine()
	case tagEnd, printEnd, data:
	case operator:
		return p.foreignOperator(t, within)
	case name:
		return p.foreignName(t, within.tag)
	}
	return "", ""
}

// brokenLine reports a tag that goes over several lines.
func (p *parser) brokenLine() (what, do string) {
	from, _ := p.places.of(p.tokens[p.at].offset)
	for i := p.at; i < len(p.tokens); i++ {
		if k := p.tokens[i].kind; k == tagEnd || k == printEnd {
			if to, _ := p.places.of(p.tokens[i].offset); to > from {
				return "a line break within a tag, which pongo2 does not take", "write it on one line"
			}
			break
		}
	}
	return "", ""
}

func (p *parser) foreignOperator(t token, within surroundings) (what, do string) {
	before, after := p.peek(-1), p.peek(1)
	switch {
	case t.text == "~":
		return "pongo2 has no operator ~", "join texts with +"
	case t.text == "//", t.text == "**":
		return "pongo2 has no operator " + t.text, "compute it in the notebook; ^ is a power"
	case t.text == "{":
		return "pongo2 has no literal objects", "write it into output.json"
	case t.text == "[" && !endsValue(before):
		return "pongo2 has no literal lists", "write it into output.json"
	case t.text == ":" && len(within.brackets) > 0 && within.brackets[len(within.brackets)-1] == '[':
		return "pongo2 has no slices", `use the filter slice:"0:10"`
	case t.text == "%" && before.kind == text:
		return "pongo2 has no formatting with %", "use the filters floatformat and stringformat"
	case t.text == "|" && after.kind == name && p.peek(2).is(operator, "("):
		return fmt.Sprintf("pongo2 gives a filter its argument after a colon: %s:...", after.text), "write |" + after.text + `:"..."`
	case t.text == "|" && strings.HasSuffix(after.text, "_html"):
		return fmt.Sprintf("the filter %s lets data be markup", after.text), "write |" + strings.TrimSuffix(after.text, "_html")
	case t.text == "|" && after.kind == name && !strings.Contains(pongo2Filters, " "+after.text+" "):
		return fmt.Sprintf("pongo2 has no filter %q", after.text), "compute it in the notebook"
	case t.text == "." && after.kind == name && p.peek(2).is(operator, "("):
		do := "compute it in the notebook"
		if after.text == "items" {
			do = "write {% for key, value in object %}"
		}
		return fmt.Sprintf("values have no methods in pongo2: .%s() gives nothing", after.text), do
	}
	return "", ""
}

// endsValue reports whether a subscript may follow a token.
func endsValue(t token) bool {
	return t.kind == name || t.kind == text || t.is(operator, "]") || t.is(operator, ")")
}

func (p *parser) foreignName(t token, inTag string) (what, do string) {
	before, after := p.peek(-1), p.peek(1)
	if before.is(operator, ".") {
		return "", ""
	}
	switch {
	case before.kind == tagBegin:
		return p.foreignTag(t, after)
	case t.text == "if" && inTag != "if" && inTag != "elif":
		return "pongo2 has no condition within an expression", "write {% if %} ... {% else %} ... {% endif %}"
	case t.text == "is":
		return "pongo2 has no tests (is ...)", "compare with ==, or use {% if name %}"
	case t.text == "not" && after.is(name, "in"):
		return "pongo2 has no operator not in", "write not a in b"
	case t.text == "loop" && after.is(operator, "."):
		return "the loop is forloop in pongo2", "write forloop.Counter, .First, .Last"
	case t.text == "True", t.text == "False":
		return fmt.Sprintf("%s is nothing in pongo2", t.text), "write " + strings.ToLower(t.text)
	case t.text == "super" && after.is(operator, "("):
		return "pongo2 has no super()", "write {{ block.Super }}"
	case after.is(operator, "(") && strings.Contains(" range dict lipsum cycler joiner namespace caller ", " "+t.text+" "):
		return fmt.Sprintf("pongo2 has no function %s()", t.text), "compute it in the notebook"
	}
	return "", ""
}

// foreignTag reports tags that pongo2 has, and reads in another way. Those that it does
// not have openBlocks reports.
func (p *parser) foreignTag(t, after token) (what, do string) {
	switch t.text {
	case "import":
		if p.peek(2).is(name, "as") {
			return "pongo2 imports macros by name", `write {% import "macros.html" name %}`
		}
	case "include":
		for i := p.at; i < len(p.tokens) && p.tokens[i].kind != tagEnd; i++ {
			switch {
			case p.tokens[i].is(name, "ignore"):
				return "pongo2 has no ignore missing", "write if_exists"
			case p.tokens[i].is(name, "without"):
				return "pongo2 has no without context", "write only"
			}
		}
	case "set":
		if !p.follows(p.at+1, "=") {
			return "pongo2 sets one value: {% set name = value %}", "compute it in the notebook"
		}
	}
	return "", ""
}

// Pongo2Filters returns the names of pongo2's filters, between blanks.
func Pongo2Filters() string { return pongo2Filters }

// pongo2Filters are the filters of pongo2 6, between blanks. truncatechars_html and
// truncatewords_html are left out: what they return is never escaped.
const pongo2Filters = " escape e safe escapejs add addslashes capfirst center cut date default default_if_none divisibleby first floatformat " +
	"get_digit iriencode join last length length_is linebreaks linebreaksbr linenumbers ljust lower make_list phone2numeric pluralize random " +
	"removetags rjust slice split stringformat striptags time title truncatechars truncatewords upper " +
	"urlencode urlize urlizetrunc wordcount wordwrap yesno float integer "

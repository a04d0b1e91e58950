package template

import (
	"fmt"
	"slices"
	"strings"
)

// tagRule says how a tag is used.
type tagRule struct {
	end    string   // the tag that closes it; "" where none does
	within []string // tags that may stand directly within it: else, elif
}

// jinja2Tags are Jinja2's tags and those of its i18n extension.
func jinja2Tags() map[string]tagRule {
	return map[string]tagRule{
		"for": {"endfor", []string{"else"}}, "if": {"endif", []string{"elif", "else"}},
		"block": {end: "endblock"}, "macro": {end: "endmacro"}, "call": {end: "endcall"}, "filter": {end: "endfilter"},
		"set": {end: "endset"}, "with": {end: "endwith"}, "autoescape": {end: "endautoescape"},
		"trans": {"endtrans", []string{"pluralize"}}, "raw": {end: "endraw"},
		"extends": {}, "include": {}, "import": {}, "from": {}, "print": {},
	}
}

// pongo2Tags are pongo2's, of version 6.
func pongo2Tags() map[string]tagRule {
	return map[string]tagRule{
		"for": {"endfor", []string{"empty"}}, "if": {"endif", []string{"elif", "else"}},
		"ifequal": {"endifequal", []string{"else"}}, "ifnotequal": {"endifnotequal", []string{"else"}},
		"ifchanged": {"endifchanged", []string{"else"}},
		"block":     {end: "endblock"}, "macro": {end: "endmacro"}, "filter": {end: "endfilter"}, "with": {end: "endwith"},
		"autoescape": {end: "endautoescape"}, "comment": {end: "endcomment"}, "spaceless": {end: "endspaceless"},
		"verbatim": {end: "endverbatim"},
		"extends":  {}, "include": {}, "import": {}, "set": {}, "firstof": {}, "lorem": {}, "now": {},
		"templatetag": {}, "widthratio": {},
	}
}

// instead says what pongo2 has in the place of a tag of Jinja2's, and of its own that is
// taken away.
func instead(tag string) string {
	switch tag {
	case "raw":
		return "write {% verbatim %}"
	case "trans", "pluralize":
		return "write {{ _(\"text\") }} or {{ ngettext(\"one\", \"several\", n) }}"
	case "else":
		return "write {% empty %} in a loop"
	case "from":
		return `write {% import "macros.html" name %}`
	case "ssi":
		return "it would read files of the machine: write {% include %}"
	case "cycle":
		return "it would let data be markup: write {% if forloop.Counter|divisibleby:2 %}"
	case "endset", "call":
		return "compute it in the notebook"
	}
	return ""
}

func tagsOf(engine Engine) map[string]tagRule {
	if engine == Pongo2 {
		return pongo2Tags()
	}
	return jinja2Tags()
}

// openBlocks are the tags that are to be closed, the innermost last.
type openBlocks struct {
	p      *parser
	engine Engine
	tags   map[string]tagRule
	open   []openBlock
	noted  bool // a problem was reported: what follows from it is not
}

type openBlock struct {
	name   string
	offset int
}

// tag takes account of the tag that begins here. Only the first problem is reported:
// the others mostly follow from it.
func (b *openBlocks) tag() {
	tag := b.p.peek(1)
	if b.noted {
		return
	}
	rule, known := b.tags[tag.text]
	inner := openBlock{}
	if len(b.open) > 0 {
		inner = b.open[len(b.open)-1]
	}
	switch {
	case tag.kind == tagEnd:
		b.fail(tag.offset, "a tag without a name", "")
	case tag.kind != name:
		b.fail(tag.offset, fmt.Sprintf("a tag begins with its name, not with %q", tag.text), "")
	case known && rule.end != "" && !b.inline(tag):
		b.open = append(b.open, openBlock{tag.text, tag.offset})
	case known:
	case inner.name != "" && tag.text == b.tags[inner.name].end:
		b.open = b.open[:len(b.open)-1]
	case inner.name != "" && slices.Contains(b.tags[inner.name].within, tag.text):
	default:
		b.stray(tag, inner)
	}
}

// inline reports whether {% set x = 1 %} is whole.
func (b *openBlocks) inline(tag token) bool {
	if tag.text != "set" {
		return false
	}
	depth := 0
	for i := 2; b.p.at+i < len(b.p.tokens); i++ {
		switch t := b.p.peek(i); {
		case t.kind == tagEnd:
			return false
		case t.kind != operator:
		case strings.Contains("([{", t.text):
			depth++
		case strings.Contains(")]}", t.text):
			depth--
		case t.text == "=" && depth == 0:
			return true
		}
	}
	return true
}

// stray reports a tag that may not stand here.
func (b *openBlocks) stray(tag token, inner openBlock) {
	var opens []string // tags that it belongs to
	for name, rule := range b.tags {
		if rule.end == tag.text || slices.Contains(rule.within, tag.text) {
			opens = append(opens, name)
		}
	}
	slices.Sort(opens)
	switch {
	case b.engine == Pongo2 && instead(tag.text) != "":
		b.fail(tag.offset, fmt.Sprintf("pongo2 has no tag %q here", tag.text), instead(tag.text))
	case len(opens) == 0 && inner.name == "":
		b.fail(tag.offset, fmt.Sprintf("unknown tag %q", tag.text), "")
	case len(opens) == 0:
		b.fail(tag.offset, fmt.Sprintf("unknown tag %q", tag.text), fmt.Sprintf("%s is still open here", b.described(inner)))
	case inner.name == "":
		b.fail(tag.offset, fmt.Sprintf("%s without %s before it", tag.text, strings.Join(opens, " or ")), "")
	default:
		b.fail(tag.offset, fmt.Sprintf("%s where %s is expected", tag.text, b.tags[inner.name].end), fmt.Sprintf("%s is still open here", b.described(inner)))
	}
}

func (b *openBlocks) described(block openBlock) string {
	line, _ := b.p.places.of(block.offset)
	return fmt.Sprintf("%q of line %d", block.name, line)
}

// end reports what nothing closes.
func (b *openBlocks) end() {
	if len(b.open) > 0 && !b.noted {
		inner := b.open[len(b.open)-1]
		b.fail(inner.offset, fmt.Sprintf("%q is not closed", inner.name), fmt.Sprintf("add {%% %s %%}", b.tags[inner.name].end))
	}
}

func (b *openBlocks) fail(offset int, what, do string) {
	b.noted = true
	b.p.problem(offset, what, do)
}

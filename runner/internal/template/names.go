package template

import (
	"slices"
	"strings"
)

// This file finds which names a template for pongo2 expects of its data: pongo2 renders
// nothing in the place of one that is not there, and tells nobody.

// Name is a value that the template takes from its data: title, or site.name.
type Name struct {
	Path         []string
	Line, Column int
}

// ownNames are those that pongo2, or we, give to each template.
const ownNames = " _ gettext ngettext pgettext npgettext forloop block pongo2 language "

// keywords are the words of expressions and of tags that are no names.
const keywords = " in and or not true false nil as export reversed sorted with only if_exists silent "

// findNames notes the names that the template does not bind itself. Those that it asks
// for with {% if name %}, or gives a default, need not be there.
func (p *parser) findNames() {
	bound := map[string]bool{}
	for p.at = range p.tokens {
		if p.tokens[p.at].kind == tagBegin {
			p.bind(bound)
		}
	}
	var asked []Name
	tag := ""
	for p.at = 0; p.at < len(p.tokens); p.at++ {
		switch t := p.tokens[p.at]; t.kind {
		case tagBegin:
			tag = p.peek(1).text
			p.at++ // the tag's own name
		case printBegin:
			tag = ""
		case name:
			if bound[t.text] || !p.refers(t, tag) {
				continue
			}
			before := p.peek(-1)
			n := p.readName()
			switch {
			case p.peek(1).is(operator, "|") && strings.HasPrefix(p.peek(2).text, "default"):
			case (tag == "if" || tag == "elif") && asks(before, p.peek(1)):
				asked = append(asked, n)
			default:
				p.found.Names = append(p.found.Names, n)
			}
		}
	}
	p.found.Names = slices.DeleteFunc(p.found.Names, func(n Name) bool {
		return slices.ContainsFunc(asked, func(a Name) bool { return len(a.Path) <= len(n.Path) && slices.Equal(a.Path, n.Path[:len(a.Path)]) })
	})
}

// asks reports whether a name in the condition of {% if %} stands alone there, between
// these tokens: whether it is there is the question.
func asks(before, after token) bool {
	return (before.is(name, "if") || before.is(name, "elif") || before.is(name, "not") || before.is(name, "and") || before.is(name, "or")) &&
		(after.kind == tagEnd || after.is(name, "and") || after.is(name, "or"))
}

// bind notes the names that the tag here gives a meaning to, anywhere in the template:
// which of its parts see them is not asked.
func (p *parser) bind(bound map[string]bool) {
	tag := p.peek(1).text
	for i := p.at + 2; i < len(p.tokens) && p.tokens[i].kind != tagEnd; i++ {
		t := p.tokens[i]
		if t.kind != name {
			continue
		}
		before, assigned := p.tokens[i-1], p.follows(i, "=")
		switch {
		case tag == "for" && t.text == "in":
			return
		case tag == "for", tag == "import", tag == "block",
			tag == "set" && i == p.at+2,
			tag == "macro" && (i == p.at+2 || before.is(operator, "(") || before.is(operator, ",")),
			assigned, before.is(name, "as"):
			bound[t.text] = true
		}
	}
}

// refers reports whether a name stands for a value, in a tag or in {{ }} ("").
func (p *parser) refers(t token, tag string) bool {
	before := p.peek(-1)
	word := " " + t.text + " "
	switch {
	case before.is(operator, "."), before.is(operator, "|"), p.follows(p.at, "="):
		return false
	case strings.Contains(keywords, word), strings.Contains(ownNames, word):
		return false
	}
	switch tag {
	case "block", "macro", "import", "filter", "autoescape", "now", "lorem", "templatetag", "extends":
		return false
	}
	return !strings.HasPrefix(tag, "end")
}

// readName returns the name here, with the attributes that follow it.
func (p *parser) readName() Name {
	n := Name{Path: []string{p.tokens[p.at].text}}
	n.Line, n.Column = p.places.of(p.tokens[p.at].offset)
	for p.peek(1).is(operator, ".") && p.peek(2).kind == name && !p.peek(3).is(operator, "(") {
		n.Path = append(n.Path, p.peek(2).text)
		p.at += 2
	}
	return n
}

// withoutComments leaves out what stands in {% comment %}.
func withoutComments(tokens []token) []token {
	var kept []token
	for i := 0; i < len(tokens); i++ {
		kept = append(kept, tokens[i])
		if i < 2 || tokens[i].kind != tagEnd || !tokens[i-1].is(name, "comment") || tokens[i-2].kind != tagBegin {
			continue
		}
		for i+2 < len(tokens) && !(tokens[i+1].kind == tagBegin && tokens[i+2].is(name, "endcomment")) {
			i++
		}
	}
	return kept
}

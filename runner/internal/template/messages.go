package template

import "strings"

// The functions that translate, with the places of their context, text and plural
// among the arguments; -1 for none.
func translator(function string) (context, text, plural int, ok bool) {
	switch function {
	case "_", "gettext":
		return -1, 0, -1, true
	case "ngettext":
		return -1, 0, 1, true
	case "pgettext":
		return 0, 1, -1, true
	case "npgettext":
		return 0, 1, 2, true
	}
	return 0, 0, 0, false
}

// call notes the message of a call of a function that translates, if one stands here.
func (p *parser) call() {
	function := p.tokens[p.at]
	context, text, plural, ok := translator(function.text)
	if !ok || !p.peek(1).is(operator, "(") || p.called() {
		return
	}
	literals, end := p.arguments(p.at + 2)
	at := func(i int) (string, bool) {
		if i < 0 {
			return "", true
		}
		if i >= len(literals) || literals[i] == nil {
			return "", false
		}
		return *literals[i], true
	}
	m := Message{Markup: p.safe(end), Remarks: p.remarks()}
	m.Line, m.Column = p.places.of(function.offset)
	var contextOK, textOK, pluralOK bool
	m.Context, contextOK = at(context)
	m.Text, textOK = at(text)
	m.Plural, pluralOK = at(plural)
	if contextOK && textOK && pluralOK && m.Text != "" {
		p.found.Messages = append(p.found.Messages, m)
	}
}

// called reports whether the name here is not a function of the template's own: it is an
// attribute, a filter, a test, or is just being defined.
func (p *parser) called() bool {
	switch before := p.peek(-1); {
	case before.is(operator, "."), before.is(operator, "|"):
		return true
	case before.is(name, "macro"), before.is(name, "filter"), before.is(name, "is"):
		return true
	case before.is(name, "not") && p.peek(-2).is(name, "is"):
		return true
	}
	return false
}

// mostArguments is how many tokens of a call are looked at, so that calls within calls
// within calls cost no more than their number.
const mostArguments = 1000

// arguments returns the arguments that begin at a token: their values where they are
// literals, nil elsewhere; and the token behind the closing parenthesis.
func (p *parser) arguments(first int) (literals []*string, end int) {
	depth := 1
	start := first
	for i := first; i < min(len(p.tokens), first+mostArguments); i++ {
		t := p.tokens[i]
		if t.kind != operator {
			if t.kind == tagEnd || t.kind == printEnd {
				return literals, i
			}
			continue
		}
		switch t.text {
		case "(", "[", "{":
			depth++
			continue
		case ")", "]", "}":
			depth--
		}
		if depth == 0 || depth == 1 && t.text == "," {
			if i > start {
				literals = append(literals, literal(p.tokens[start:i]))
			}
			start = i + 1
		}
		if depth == 0 {
			return literals, i + 1
		}
	}
	return literals, len(p.tokens)
}

// literal returns the value of tokens that are nothing but string literals, which are
// joined; parentheses around them do not matter.
func literal(tokens []token) *string {
	for len(tokens) > 2 && tokens[0].is(operator, "(") && tokens[len(tokens)-1].is(operator, ")") {
		tokens = tokens[1 : len(tokens)-1]
	}
	value := ""
	for _, t := range tokens {
		if t.kind != text || t.unknown {
			return nil
		}
		value += t.text
	}
	if len(tokens) == 0 {
		return nil
	}
	return &value
}

// safe reports whether the filters behind an expression, from a token on, mark it as
// safe.
func (p *parser) safe(i int) bool {
	for i+1 < len(p.tokens) && p.tokens[i].is(operator, "|") {
		if p.tokens[i+1].is(name, "safe") {
			return true
		}
		if i += 2; i < len(p.tokens) && p.tokens[i].is(operator, "(") {
			_, i = p.arguments(i + 1)
		}
	}
	return false
}

// remarkMark begins a comment that is for translators.
const remarkMark = "TRANSLATORS:"

// remarks returns the author's remark in the last comment, if that ends at most one line
// above this token. It is for one message.
func (p *parser) remarks() []string {
	if p.remark < 0 {
		return nil
	}
	t := p.tokens[p.remark]
	body := strings.TrimSpace(t.text)
	ended, _ := p.places.of(t.offset + len(t.text))
	here, _ := p.places.of(p.tokens[p.at].offset)
	if !strings.HasPrefix(body, remarkMark) || here > ended+1 {
		return nil
	}
	p.remark = -1
	var lines []string
	for line := range strings.SplitSeq(body, "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// trans notes the message of {% trans %}, which begins here. The body is passed over,
// the tag's own expressions are not.
func (p *parser) trans() {
	m := Message{Markup: true, Remarks: p.remarks()}
	m.Line, m.Column = p.places.of(p.tokens[p.at].offset)
	i := p.at + 2
	if i < len(p.tokens) && p.tokens[i].kind == text {
		if m.Context = p.tokens[i].text; p.tokens[i].unknown {
			return
		}
		i++
	}
	trimmed := false
	for ; i < len(p.tokens) && p.tokens[i].kind != tagEnd; i++ {
		switch t := p.tokens[i]; {
		case p.at+2 == i || p.tokens[i-1].is(operator, ",") || p.tokens[i-1].kind == text:
			trimmed = t.is(name, "trimmed") && !p.follows(i, "=") || trimmed
		}
	}
	one := p.body(i + 1)
	several := transBody{}
	if one.ended == "pluralize" {
		if several = p.body(one.end); several.ended != "endtrans" {
			return
		}
	} else if one.ended != "endtrans" {
		return
	}
	m.Text, m.Plural = one.text, several.text
	if trimmed {
		m.Text, m.Plural = oneLine(m.Text), oneLine(m.Plural)
	}
	if !one.values && !several.values {
		m.Text, m.Plural = strings.ReplaceAll(m.Text, "%%", "%"), strings.ReplaceAll(m.Plural, "%%", "%")
	}
	if m.Text != "" {
		p.found.Messages = append(p.found.Messages, m)
	}
}

func (p *parser) follows(i int, what string) bool {
	return i+1 < len(p.tokens) && p.tokens[i+1].is(operator, what)
}

// transBody is the text between {% trans %} and the tag that ends it.
type transBody struct {
	text   string
	values bool   // it holds {{ names }}
	ended  string // by which tag; "" where it is no body that Jinja2 takes
	end    int    // the token behind that tag
}

// body reads the body of a {% trans %} that begins at a token.
func (p *parser) body(i int) transBody {
	var b transBody
	var text strings.Builder
	for i < len(p.tokens) {
		switch t := p.tokens[i]; t.kind {
		case data:
			text.WriteString(strings.ReplaceAll(t.text, "%", "%%"))
			i++
		case comment:
			i++
		case printBegin:
			if i+2 >= len(p.tokens) || p.tokens[i+1].kind != name || p.tokens[i+2].kind != printEnd {
				p.problem(t.offset, "{% trans %} takes plain names between {{ and }} only", "give it the value: {% trans total=sum(values) %}... {{ total }} ...{% endtrans %}")
				return transBody{}
			}
			text.WriteString("%(" + p.tokens[i+1].text + ")s")
			b.values = true
			i += 3
		case tagBegin:
			if i+1 < len(p.tokens) && (p.tokens[i+1].text == "endtrans" || p.tokens[i+1].text == "pluralize") {
				b.ended = p.tokens[i+1].text
			} else {
				p.problem(t.offset, "no other tag may stand within {% trans %}", "put it around, or use _() within it")
				return transBody{}
			}
			for i < len(p.tokens) && p.tokens[i].kind != tagEnd {
				i++
			}
			b.text, b.end = text.String(), i+1
			return b
		default:
			return transBody{}
		}
	}
	return transBody{}
}

// oneLine joins a text's lines, as {% trans trimmed %} does.
func oneLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	var kept []string
	for _, line := range lines {
		if line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " ")
}

// use notes which templates the tag that begins here needs.
func (p *parser) use() {
	switch tag := p.peek(1); tag.text {
	case "extends", "include", "import", "from":
		if tag.kind != name {
			return
		}
	default:
		return
	}
	names, optional, static := p.names(p.at + 2)
	for _, t := range names {
		u := Use{Name: t.text, Optional: optional}
		u.Line, u.Column = p.places.of(t.offset)
		p.found.Uses = append(p.found.Uses, u)
	}
	p.found.Dynamic = p.found.Dynamic || !static
}

// names returns the literal names of a tag's templates, one or a list of them, whether
// they may be missing, and whether these are all.
func (p *parser) names(i int) (names []token, optional, static bool) {
	static = true
	for ; i < len(p.tokens) && p.tokens[i].kind != tagEnd; i++ {
		switch t := p.tokens[i]; {
		case t.kind == text:
			names = append(names, t)
			static = static && !t.unknown
		case t.is(name, "ignore"), t.is(name, "if_exists"):
			return names, true, static && len(names) > 0
		case t.is(name, "import"), t.is(name, "as"), t.is(name, "with"), t.is(name, "without"), t.is(name, "only"):
			return names, optional || !static, static && len(names) > 0
		case t.kind == operator && strings.Contains("[](),", t.text):
			optional = optional || t.text == "["
		default:
			static, optional = false, true // of "a" if x else "b" any may be meant
		}
	}
	return names, optional, static && len(names) > 0
}

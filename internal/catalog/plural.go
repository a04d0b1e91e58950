package catalog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// This file reads Plural-Forms, "nplurals=2; plural=n != 1;": the expression is C over
// n. See https://www.gnu.org/software/gettext/manual/html_node/Plural-forms.html.
// gotext's own compiler takes a part of C only, and is wrong about Breton.

// The limits of an expression are those of Python's gettext.
const (
	maxPlural = 1000 // bytes
	maxNested = 20   // parentheses
)

// Forms returns how many plural forms the catalog's language has: what its header
// says, else 2.
func (c *Catalog) Forms() int {
	if c.forms == 0 {
		return 2
	}
	return c.forms
}

// Form returns which plural form a number takes, from 0: what the header says, else
// one for 1 and another for the rest.
func (c *Catalog) Form(n int) int {
	if c.plural == nil {
		if n == 1 {
			return 0
		}
		return 1
	}
	form, err := c.plural(int64(n))
	if err != nil || form < 0 || form >= int64(c.forms) {
		return 0
	}
	return int(form)
}

// plural returns the form that n takes. It fails where C would divide by zero.
type plural func(n int64) (int64, error)

// readPlural takes the header's Plural-Forms apart.
func (c *Catalog) readPlural() error {
	text := c.Field("Plural-Forms")
	if text == "" || strings.Contains(text, "INTEGER") { // as in the header of a template
		return nil
	}
	forms, expression := 0, ""
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch strings.TrimSpace(name) {
		case "nplurals":
			forms, _ = strconv.Atoi(strings.TrimSpace(value))
		case "plural":
			expression = strings.TrimSpace(value)
		}
	}
	if forms < 1 || forms > maxForms {
		return fmt.Errorf("Plural-Forms %q: nplurals is not a number from 1 to %d", clip(text), maxForms)
	}
	form, err := compilePlural(expression)
	if err != nil {
		return fmt.Errorf("Plural-Forms %q: %w", clip(text), err)
	}
	for n := range int64(1001) { // as msgfmt does
		if got, err := form(n); err != nil {
			return fmt.Errorf("Plural-Forms %q: for %d: %w", clip(text), n, err)
		} else if got < 0 || got >= int64(forms) {
			return fmt.Errorf("Plural-Forms %q: %d takes form %d, but nplurals is %d", clip(text), n, got, forms)
		}
	}
	c.forms, c.rule, c.plural = forms, expression, form
	return nil
}

func compilePlural(text string) (plural, error) {
	if len(text) > maxPlural {
		return nil, fmt.Errorf("the expression has %d bytes, more than %d", len(text), maxPlural)
	}
	p := &pluralParser{rest: text}
	form, err := p.ternary()
	if err == nil && p.token() != "" {
		err = p.unexpected()
	}
	return form, err
}

// pluralParser reads an expression by descent.
type pluralParser struct {
	rest   string
	nested int // parentheses that are open
}

// pluralTokens are the operators, longer ones before those that they begin with.
var pluralTokens = [...]string{"||", "&&", "==", "!=", "<=", ">=", "<", ">", "?", ":", "+", "-", "*", "/", "%", "!", "(", ")", "n"}

// token returns what comes next, "" at the end: an operator, a number, n, or what is
// none of them.
func (p *pluralParser) token() string {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	if digits := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789")); digits > 0 {
		return p.rest[:digits]
	}
	for _, t := range pluralTokens {
		if strings.HasPrefix(p.rest, t) {
			return t
		}
	}
	return p.rest[:min(1, len(p.rest))]
}

// take goes past a token if it comes next.
func (p *pluralParser) take(token string) bool {
	if p.token() != token {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

func (p *pluralParser) unexpected() error {
	if p.token() == "" {
		return errors.New("the expression ends too early")
	}
	return fmt.Errorf("%q is not expected in the expression", p.token())
}

// ternary is "a ? b : c", from the right.
func (p *pluralParser) ternary() (plural, error) {
	test, err := p.binary(0)
	if err != nil || !p.take("?") {
		return test, err
	}
	yes, err := p.ternary()
	if err != nil {
		return nil, err
	}
	if !p.take(":") {
		return nil, p.unexpected()
	}
	no, err := p.ternary()
	if err != nil {
		return nil, err
	}
	return func(n int64) (int64, error) {
		value, err := test(n)
		if err != nil {
			return 0, err
		}
		if value != 0 {
			return yes(n)
		}
		return no(n)
	}, nil
}

// pluralLevels are the binary operators, the weakest first.
var pluralLevels = [...][]string{{"||"}, {"&&"}, {"==", "!="}, {"<=", ">=", "<", ">"}, {"+", "-"}, {"*", "/", "%"}}

// binary reads operators of a level and of stronger ones, from the left.
func (p *pluralParser) binary(level int) (plural, error) {
	if level == len(pluralLevels) {
		return p.unary()
	}
	left, err := p.binary(level + 1)
	for err == nil {
		operator := ""
		for _, o := range pluralLevels[level] {
			if p.take(o) {
				operator = o
				break
			}
		}
		if operator == "" {
			return left, nil
		}
		var right plural
		if right, err = p.binary(level + 1); err == nil {
			left = apply(operator, left, right)
		}
	}
	return nil, err
}

func apply(operator string, left, right plural) plural {
	return func(n int64) (int64, error) {
		a, err := left(n)
		if err != nil || operator == "||" && a != 0 || operator == "&&" && a == 0 {
			return truth(a != 0), err
		}
		b, err := right(n)
		if err != nil {
			return 0, err
		}
		switch operator {
		case "||", "&&":
			return truth(b != 0), nil
		case "==":
			return truth(a == b), nil
		case "!=":
			return truth(a != b), nil
		case "<=":
			return truth(a <= b), nil
		case ">=":
			return truth(a >= b), nil
		case "<":
			return truth(a < b), nil
		case ">":
			return truth(a > b), nil
		case "+":
			return a + b, nil
		case "-":
			return a - b, nil
		case "*":
			return a * b, nil
		}
		if b == 0 {
			return 0, errors.New("it divides by zero")
		}
		if operator == "/" {
			return a / b, nil
		}
		return a % b, nil
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// unary is "!a", n, a number or parentheses.
func (p *pluralParser) unary() (plural, error) {
	switch token := p.token(); {
	case p.take("!"):
		value, err := p.unary()
		return func(n int64) (int64, error) {
			v, err := value(n)
			return truth(v == 0), err
		}, err
	case p.take("("):
		if p.nested++; p.nested > maxNested {
			return nil, fmt.Errorf("more than %d parentheses inside each other", maxNested)
		}
		inner, err := p.ternary()
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		p.nested--
		return inner, err
	case p.take("n"):
		return func(n int64) (int64, error) { return n, nil }, nil
	case token != "" && token[0] >= '0' && token[0] <= '9':
		p.take(token)
		value, err := strconv.ParseInt(token, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("the number %s is too large", clip(token))
		}
		return func(int64) (int64, error) { return value, nil }, nil
	}
	return nil, p.unexpected()
}

package notebook

import (
	"regexp"
	"slices"
	"strings"
)

// This file finds the names that a cell assigns. It is no parser of four languages:
// texts and comments are passed over, what is indented or in brackets is not top
// level, and of each statement that is left only its beginning is understood.

// Assigned returns the names that a cell's source assigns at its top level, in their
// order, each once. Of a language that is not known there are none.
func Assigned(source, language string) []string {
	d, ok := dialectOf(language)
	if !ok {
		return nil
	}
	var names []string
	for _, statement := range d.statements(source) {
		for _, name := range d.targets(statement) {
			if d.isName(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// statements returns the statements of the top level. A text in them is a ", a
// comment nothing.
func (d dialect) statements(source string) []string {
	bare := source
	if d.name == inPython {
		bare = bareOfPython(source)
	} else {
		bare = d.texts.ReplaceAllStringFunc(source, func(s string) string {
			switch {
			case s[0] == '`', strings.HasPrefix(s, `"${`): // R's names, Julia's commands; Bash's : "${NAME:=value}"
				return s
			case strings.HasPrefix(strings.TrimLeft(s, " \t;\n"), "#"):
				return s[:strings.IndexByte(s, '#')]
			}
			return `"`
		})
	}
	var statements []string
	start, depth := 0, 0
	for i := 0; i <= len(bare); i++ {
		end := i == len(bare)
		if !end {
			depth = max(0, depth+bracket(bare[i]))
			end = depth == 0 && (bare[i] == '\n' || bare[i] == ';')
		}
		if !end {
			continue
		}
		if s := bare[start:i]; s != "" && s[0] != ' ' && s[0] != '\t' || start > 0 && bare[start-1] == ';' {
			statements = append(statements, strings.TrimSpace(s))
		}
		start = i + 1
	}
	return statements
}

// bareOfPython returns a source with its texts, comments and magics blanked.
func bareOfPython(source string) string {
	s := &scanner{src: source, last: '\n', escape: -1}
	if strings.HasPrefix(strings.TrimSpace(source), "%%") {
		return ""
	}
	var bare strings.Builder
	for s.pos < len(s.src) {
		start, texts := s.pos, len(s.literals)
		if !s.token() {
			break // a text without end: Python says it better
		}
		token := s.src[start:s.pos]
		switch {
		case len(s.literals) > texts:
			bare.WriteByte('"')
		case token[0] == '#', len(token) > 1 && strings.IndexByte("%!?", token[0]) >= 0:
		case token[0] == '\\':
			bare.WriteByte(' ')
		default:
			bare.WriteString(token)
		}
	}
	return strings.ReplaceAll(bare.String(), "\r", "\n")
}

// targets returns what a statement assigns to.
func (d dialect) targets(statement string) []string {
	switch d.name {
	case inBash:
		return bashTargets(statement)
	case inR:
		return rTargets(statement)
	case inJulia:
		statement = juliaScope.ReplaceAllString(statement, "")
	}
	parts := splitAssignment(statement)
	if len(parts) == 1 && !strings.Contains(statement, ":") {
		return nil
	}
	var names []string
	for i, part := range parts[:max(1, len(parts)-1)] {
		if i == 0 {
			part, _, _ = strings.Cut(part, ":") // a type hint, which may stand alone
		}
		targets, ok := targetList(part)
		if !ok {
			break // the rest is an expression: f = lambda x=1: x
		}
		names = append(names, targets...)
	}
	return names
}

var juliaScope = regexp.MustCompile(`^(?:(?:const|global)\s+)+`)

// splitAssignment splits a statement at the = signs that assign.
func splitAssignment(s string) []string {
	var parts []string
	start, depth := 0, 0
	for i := range len(s) {
		depth = max(0, depth+bracket(s[i]))
		if s[i] != '=' || depth > 0 ||
			i > 0 && strings.IndexByte("=!<>+-*/%&|^@:~.\\$", s[i-1]) >= 0 ||
			i+1 < len(s) && strings.IndexByte("=>", s[i+1]) >= 0 {
			continue
		}
		parts = append(parts, s[start:i])
		start = i + 1
	}
	return append(parts, s[start:])
}

// targetList returns the names of "a, (b, *c)"; false where it is no list of targets.
func targetList(s string) (names []string, ok bool) {
	s = strings.TrimLeft(strings.TrimSpace(s), "*")
	start, depth := 0, 0
	for i := range len(s) {
		depth = max(0, depth+bracket(s[i]))
		if depth > 0 || s[i] != ',' {
			continue
		}
		more, ok := targetList(s[start:i])
		if !ok {
			return nil, false
		}
		names = append(names, more...)
		start = i + 1
	}
	switch last := strings.TrimSpace(s[start:]); {
	case start > 0 && last == "":
		return names, true
	case start > 0:
		more, ok := targetList(last)
		return append(names, more...), ok
	case wordName.MatchString(last):
		return []string{last}, true
	case len(last) > 1 && (last[0] == '(' && last[len(last)-1] == ')' || last[0] == '[' && last[len(last)-1] == ']'):
		return targetList(last[1 : len(last)-1])
	default:
		return nil, notName.MatchString(last)
	}
}

// notName matches what is assigned to, but is no name: a.b, a[0].
var notName = regexp.MustCompile(`^[\pL_][\pL\pN_]*[.\[]\S*$`)

var (
	rLeft  = regexp.MustCompile("^\\s*(?:([\\pL.][\\pL\\pN._]*)|`([^`]+)`)\\s*(?:<<?-|=(?:[^=]|$))")
	rRight = regexp.MustCompile(`->>?\s*([\pL.][\pL\pN._]*)$`)
)

func rTargets(s string) []string {
	var names []string
	if m := rRight.FindStringSubmatch(s); m != nil && !strings.ContainsAny(s, "{") {
		names = append(names, m[1])
	}
	for m := rLeft.FindStringSubmatch(s); m != nil; m = rLeft.FindStringSubmatch(s) {
		names = append(names, m[1]+m[2])
		s = strings.TrimPrefix(s[strings.IndexAny(s, "<="):], "<")
		s = strings.TrimLeft(s, "<-=")
	}
	return names
}

var (
	bashDeclares = regexp.MustCompile(`^(?:export|readonly|declare|typeset)(?:\s+-\w+)*\s+`)
	bashAssigns  = regexp.MustCompile(`^([A-Za-z_]\w*)(?:\[[^]]*\])?=(?:\([^()]*\)|\$\(.*\)|[^\s()])*(?:\s+|$)`)
	bashDefault  = regexp.MustCompile(`^:\s+"?\$\{([A-Za-z_]\w*):?=`)
)

func bashTargets(s string) []string {
	if m := bashDefault.FindStringSubmatch(s); m != nil {
		return []string{m[1]}
	}
	var names []string
	declared := bashDeclares.MatchString(s)
	for s = bashDeclares.ReplaceAllString(s, ""); s != ""; {
		m := bashAssigns.FindStringSubmatch(s)
		if m == nil {
			if declared {
				return names
			}
			return nil // the environment of a command: LANG=C sort
		}
		names = append(names, m[1])
		s = s[len(m[0]):]
	}
	return names
}

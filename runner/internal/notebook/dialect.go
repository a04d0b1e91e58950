package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// dialect is how a language writes values down.
type dialect struct {
	name                string
	assignment          string // between a name and its value
	null, yes, no       string
	nan, inf, minusInf  string
	list, mapping       [2]string // what they stand between
	pair                string    // between a key and its value
	text                func(string) (string, error)
	identifier          *regexp.Regexp
	reserved            []string       // what looks like a name and is none
	texts               *regexp.Regexp // texts and comments; nil for Python, which has a scanner
	flat                bool           // nothing stands in a list or a mapping but texts and numbers
	separator, unsetNew string         // between items; before the assignment of a mapping
}

// The languages.
const (
	inPython = "Python"
	inR      = "R"
	inJulia  = "Julia"
	inBash   = "Bash"
)

var (
	wordName = regexp.MustCompile(`^[\pL_][\pL\pN_]*$`)
	rName    = regexp.MustCompile(`^(?:\pL|\.(?:[\pL._]|$))[\pL\pN._]*$`)
	bashName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Texts and comments.
var (
	rTexts = regexp.MustCompile("(?s)[rR]\"-*\\(.*?\\)-*\"|[rR]'-*\\(.*?\\)-*'|\"(?:\\\\.|[^\"\\\\])*\"|" +
		"'(?:\\\\.|[^'\\\\])*'|`[^`]*`|#[^\n]*")
	juliaTexts = regexp.MustCompile("(?s)\"\"\".*?\"\"\"|\"(?:\\\\.|[^\"\\\\])*\"|'(?:\\\\[^']+|[^'\\\\\n])'|`[^`]*`|" +
		"#=.*?=#|#[^\n]*")
	bashTexts = regexp.MustCompile(`(?s)\$'(?:\\.|[^'\\])*'|'[^']*'|"(?:\\.|[^"\\])*"|\\.|(?:^|[\s;])#[^\n]*`)
)

func pythonDialect() dialect {
	return dialect{
		name: inPython, assignment: " = ", null: "None", yes: "True", no: "False",
		nan: `float("nan")`, inf: `float("inf")`, minusInf: `float("-inf")`,
		list: [2]string{"[", "]"}, mapping: [2]string{"{", "}"}, pair: ": ", separator: ", ",
		text:       func(s string) (string, error) { return `"` + literal{quote: `"`}.escape(s, false) + `"`, nil },
		identifier: wordName, reserved: strings.Fields(`False None True and as assert async await break class
			continue def del elif else except finally for from global if import in is lambda nonlocal not or pass
			raise return try while with yield __debug__`),
	}
}

func rDialect() dialect {
	return dialect{
		name: inR, assignment: " = ", null: "NULL", yes: "TRUE", no: "FALSE", nan: "NaN", inf: "Inf", minusInf: "-Inf",
		list: [2]string{"list(", ")"}, mapping: [2]string{"list(", ")"}, pair: " = ", separator: ", ",
		text: rText, identifier: rName,
		reserved: strings.Fields(`if else repeat while function for next break TRUE FALSE NULL Inf NaN NA
			NA_integer_ NA_real_ NA_character_ in ...`),
		texts: rTexts,
	}
}

func juliaDialect() dialect {
	return dialect{
		name: inJulia, assignment: " = ", null: "nothing", yes: "true", no: "false", nan: "NaN", inf: "Inf", minusInf: "-Inf",
		list: [2]string{"[", "]"}, mapping: [2]string{"Dict(", ")"}, pair: " => ", separator: ", ",
		text:       func(s string) (string, error) { return `"` + escaped(s, `"\$`) + `"`, nil },
		identifier: wordName, reserved: strings.Fields(`baremodule begin break catch const continue do else elseif end
			export false finally for function global if import let local macro module quote return struct true try
			using while`),
		texts: juliaTexts,
	}
}

func bashDialect() dialect {
	return dialect{
		name: inBash, assignment: "=", null: "", yes: "true", no: "false", nan: "nan", inf: "inf", minusInf: "-inf",
		list: [2]string{"(", ")"}, mapping: [2]string{"(", ")"}, pair: "=", separator: " ",
		text: bashText, identifier: bashName, flat: true,
		reserved: strings.Fields("BASHOPTS BASH_VERSINFO EUID PPID SHELLOPTS UID"), unsetNew: "unset -v %[1]s; declare -A ",
		texts: bashTexts,
	}
}

// dialectOf returns the language that kernels and notebooks call so.
func dialectOf(language string) (dialect, bool) {
	switch strings.ToLower(language) {
	case "python", "python3", "ipython":
		return pythonDialect(), true
	case "r":
		return rDialect(), true
	case "julia":
		return juliaDialect(), true
	case "bash", "sh", "shell", "shellscript":
		return bashDialect(), true
	}
	return dialect{}, false
}

func (d dialect) isName(name string) bool {
	return d.identifier.MatchString(name) && !slices.Contains(d.reserved, name)
}

func (d dialect) assign(p Parameter) (string, error) {
	value, err := d.value(p.Value, 0)
	if err != nil {
		return "", err
	}
	line := p.Name + d.assignment + value
	if _, ok := p.Value.(Parameters); ok && d.unsetNew != "" {
		line = fmt.Sprintf(d.unsetNew, p.Name) + line
	}
	return line, nil
}

// maxLists bounds lists within lists: Python's parser stops at 200 brackets.
const maxLists = 90

func (d dialect) value(v any, depth int) (string, error) {
	switch v := v.(type) {
	case []any:
		return d.sequence(d.list, len(v), depth, func(i int) (string, error) { return d.value(v[i], depth+1) })
	case Parameters:
		return d.sequence(d.mapping, len(v), depth, func(i int) (string, error) { return d.entry(v[i], depth+1) })
	}
	return d.scalar(v, depth)
}

func (d dialect) sequence(brackets [2]string, n, depth int, item func(int) (string, error)) (string, error) {
	switch {
	case depth > maxLists:
		return "", fmt.Errorf("more than %d lists and mappings inside each other", maxLists)
	case d.flat && depth > 0:
		return "", fmt.Errorf("%s has no lists or mappings inside others", d.name)
	}
	items := make([]string, n)
	for i := range items {
		var err error
		if items[i], err = item(i); err != nil {
			return "", err
		}
	}
	return brackets[0] + strings.Join(items, d.separator) + brackets[1], nil
}

func (d dialect) entry(p Parameter, depth int) (string, error) {
	key, err := d.text(p.Name)
	if err != nil {
		return "", err
	}
	switch d.name {
	case inR:
		if p.Name == "" {
			return "", errors.New("there are no empty names in R")
		}
	case inBash:
		if p.Name == "" || p.Name == "@" || p.Name == "*" {
			return "", fmt.Errorf("there is no key %q in Bash", p.Name)
		}
		key = "[" + key + "]"
	}
	value, err := d.value(p.Value, depth)
	return key + d.pair + value, err
}

func (d dialect) scalar(v any, depth int) (string, error) {
	if f, ok := v.(float64); ok {
		switch {
		case math.IsNaN(f):
			return d.nan, nil
		case math.IsInf(f, 1):
			return d.inf, nil
		case math.IsInf(f, -1):
			return d.minusInf, nil
		}
	}
	switch v := plain(v).(type) {
	case bool:
		if v {
			return d.yes, nil
		}
		return d.no, nil
	case json.Number: // plain has seen that it is one
		return strings.ToLower(string(v)), nil
	case string:
		return d.text(v)
	}
	if d.null == "" && depth > 0 {
		return d.text("")
	}
	return d.null, nil
}

// escaped writes a text for a literal in double quotes: with a backslash before each
// of special, and what cannot be printed by its number.
func escaped(s, special string) string {
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case strings.ContainsRune(special, r):
			out.WriteString(`\` + string(r))
		case unicode.IsPrint(r):
			out.WriteRune(r)
		case r == '\n' || r == '\r' || r == '\t':
			out.WriteString(escapeRune(r))
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
	}
	return out.String()
}

var errNUL = errors.New("it has a NUL character, which no text of this language can hold")

func rText(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", errNUL
	}
	return `"` + escaped(s, `"\`) + `"`, nil
}

var bashSafe = regexp.MustCompile(`^[A-Za-z0-9_@%+:,./-]+$`)

// bashText writes a text in single quotes, or in $” where it holds what a terminal
// would take for a command: kernels type code into one.
func bashText(s string) (string, error) {
	switch {
	case strings.ContainsRune(s, 0):
		return "", errNUL
	case bashSafe.MatchString(s):
		return s, nil
	case !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == '\'' || r == '!' }):
		return "'" + s + "'", nil
	}
	var out strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case r == '\'' || r == '\\':
			out.WriteString(`\` + string(r))
		case r != '!' && unicode.IsPrint(r): // ! is history in a terminal
			out.WriteRune(r)
		default:
			for _, b := range []byte(string(r)) {
				fmt.Fprintf(&out, `\x%02x`, b)
			}
		}
	}
	return "$'" + out.String() + "'", nil
}

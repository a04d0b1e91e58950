package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// ParseJSON parses a JSON file (RFC 8259, no comments, no trailing commas). The
// document is nil where the file is not JSON; duplicate keys leave the first.
func ParseJSON(file string, data []byte) (*Document, []Problem) {
	if problems := checkText(file, data); problems != nil {
		return nil, problems
	}
	// encoding/json goes first: it refuses hujson's extensions and bounds the depth.
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, []Problem{syntaxProblem(file, data, err)}
	}
	tree, err := hujson.Parse(data)
	if err != nil {
		return nil, []Problem{Position{file, 1, 1}.Problem(err.Error(), "")}
	}
	b := &builder{cursor: newCursor(file, data)}
	root := b.value(&tree, 0)
	return &Document{file: file, root: root}, Limit(b.problems, file)
}

// builder makes values of hujson's tree, which it walks in the order of the file.
type builder struct {
	cursor   *cursor
	problems []Problem
}

func (b *builder) value(from *hujson.Value, depth int) *value {
	v := &value{pos: b.cursor.at(from.StartOffset)}
	if depth > MaxDepth {
		b.problems = append(b.problems, v.pos.Problem(fmt.Sprintf("more than %d lists and objects inside each other", MaxDepth), ""))
		v.bad = true
		return v
	}
	switch data := from.Value.(type) {
	case *hujson.Object:
		o := &object{index: make(map[string]*member, len(data.Members))}
		for i := range data.Members {
			from := &data.Members[i]
			m := &member{pos: b.cursor.at(from.Name.StartOffset), name: literalString(from.Name.Value)}
			m.value = b.value(&from.Value, depth+1)
			b.problems = append(b.problems, o.add(m)...)
		}
		v.data = o
	case *hujson.Array:
		l := &list{items: make([]*value, len(data.Elements))}
		for i := range data.Elements {
			l.items[i] = b.value(&data.Elements[i], depth+1)
		}
		v.data = l
	case hujson.Literal:
		b.literal(v, data)
	}
	return v
}

func (b *builder) literal(v *value, literal hujson.Literal) {
	switch literal.Kind() {
	case '"':
		v.data = literalString(literal)
	case '0':
		v.data = json.Number(literal)
		b.problems = append(b.problems, checkNumber(v)...)
	case 't', 'f':
		v.data = literal.Bool()
	}
}

// checkNumber refuses numbers that Python, JSON's other readers and big.Rat would
// each make something else of.
func checkNumber(v *value) []Problem {
	f, err := v.data.(json.Number).Float64()
	if err == nil && !math.IsInf(f, 0) {
		return nil
	}
	v.bad, v.data = true, json.Number("0")
	return []Problem{v.pos.Problem("the number is too large", "")}
}

func literalString(v hujson.ValueTrimmed) string {
	literal, _ := v.(hujson.Literal)
	return literal.String()
}

// syntaxProblem words an error of encoding/json for people.
func syntaxProblem(file string, data []byte, err error) Problem {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return Position{file, 1, 1}.Problem(err.Error(), "")
	}
	offset := int(syntax.Offset) - 1
	text := syntax.Error()
	if strings.HasPrefix(text, "unexpected end") {
		return newCursor(file, data).at(len(bytes.TrimRight(data, " \t\r\n"))).
			Problem("the file ends too early", "close what is open: \" ] }")
	}
	offset = max(0, min(offset, len(data)-1))
	before := bytes.TrimRight(data[:offset], " \t\r\n")
	at := newCursor(file, data).at(offset)
	char, _ := utf8.DecodeRune(data[offset:])
	switch {
	case strings.Contains(text, "max depth"):
		return at.Problem(fmt.Sprintf("more than %d lists and objects inside each other", MaxDepth), "")
	case strings.HasSuffix(text, "after top-level value"):
		return at.Problem("something follows the end of the value", "remove it")
	case (char == '}' || char == ']') && bytes.HasSuffix(before, []byte(",")):
		return newCursor(file, data).at(len(before)-1).Problem(fmt.Sprintf("a comma before %q", char), "remove the comma")
	case char == '/' || char == '#':
		return at.Problem("JSON has no comments", `remove it, or say it in "description"`)
	case char == '\'':
		return at.Problem("a string in single quotes", "use double quotes")
	case char < ' ' && strings.Contains(text, "in string literal"):
		return at.Problem("a string that does not end on its line", `close it with ", or write the line break as \n`)
	case strings.HasSuffix(text, "after object key:value pair") || strings.HasSuffix(text, "after array element"):
		return at.Problem(fmt.Sprintf("%q where a comma or the end was expected", char), "is a comma missing before it?")
	case strings.HasSuffix(text, "looking for beginning of object key string"):
		return at.Problem(fmt.Sprintf("%q where a key was expected", char), "keys stand in double quotes")
	case strings.HasSuffix(text, "looking for beginning of value"):
		return at.Problem(fmt.Sprintf("%q where a value was expected", char), "strings stand in double quotes; true, false and null in small letters")
	}
	text = strings.Replace(text, "invalid character", "unexpected character", 1)
	return at.Problem(text, "")
}

package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// ParseYAML parses a file of one YAML document. Aliases, anchors, tags and merge
// keys are refused, as is everything that JSON cannot say; dates without quotes
// are strings. The document is nil where the file is not YAML.
func ParseYAML(file string, data []byte) (doc *Document, problems []Problem) {
	if problems := checkText(file, data); problems != nil {
		return nil, problems
	}
	// yaml.v3 recovers from its own panics only; a parser of outside bytes gets a
	// net of ours.
	defer func() {
		if r := recover(); r != nil {
			doc, problems = nil, []Problem{Position{file, 1, 1}.Problem(fmt.Sprintf("not YAML: %v", r), "")}
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var node, next yaml.Node
	err := decoder.Decode(&node)
	switch {
	case errors.Is(err, io.EOF) || err == nil && len(node.Content) == 0:
		return nil, []Problem{Position{file, 1, 1}.Problem("the file is empty", "")}
	case err != nil:
		return nil, []Problem{yamlProblem(file, data, err)}
	}
	b := &yamlBuilder{file: file}
	root := b.value(node.Content[0], 0)
	switch err := decoder.Decode(&next); {
	case err == nil:
		b.problem(&next, "a second document", "keep one document in the file")
	case !errors.Is(err, io.EOF):
		b.problems = append(b.problems, yamlProblem(file, data, err))
	}
	return &Document{file: file, yaml: true, root: root}, Limit(b.problems, file)
}

type yamlBuilder struct {
	file     string
	problems []Problem
}

func (b *yamlBuilder) at(n *yaml.Node) Position {
	return Position{b.file, max(n.Line, 1), max(n.Column, 1)}
}

func (b *yamlBuilder) problem(n *yaml.Node, what, do string) {
	b.problems = append(b.problems, b.at(n).Problem(what, do))
}

func (b *yamlBuilder) value(n *yaml.Node, depth int) *value {
	v := &value{pos: b.at(n)}
	switch {
	case depth > MaxDepth:
		b.problem(n, fmt.Sprintf("more than %d lists and objects inside each other", MaxDepth), "")
		v.bad = true
		return v
	case n.Kind == yaml.AliasNode:
		b.problem(n, "aliases ("+Quote("*"+n.Value)+") are not allowed", "write the value out")
		v.bad = true
		return v
	case n.Anchor != "":
		b.problem(n, "anchors ("+Quote("&"+n.Anchor)+") are not allowed", "write the value out where it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		b.problem(n, "tags ("+Quote(n.Tag)+") are not allowed", "put strings in quotes")
		v.bad = true
		return v
	}
	switch n.Kind {
	case yaml.MappingNode:
		v.data = b.mapping(n, depth)
	case yaml.SequenceNode:
		l := &list{items: make([]*value, len(n.Content))}
		for i, item := range n.Content {
			l.items[i] = b.value(item, depth+1)
		}
		v.data = l
	case yaml.ScalarNode:
		b.scalar(v, n)
	}
	return v
}

func (b *yamlBuilder) mapping(n *yaml.Node, depth int) *object {
	o := &object{index: make(map[string]*member, len(n.Content)/2)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		v := b.value(n.Content[i+1], depth+1)
		switch {
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Anchor != "":
			b.problem(key, "a key that is not a plain word", "")
		case key.ShortTag() == "!!merge":
			b.problem(key, "merge keys (<<) are not allowed", "write the values out")
		default:
			b.problems = append(b.problems, o.add(&member{name: key.Value, pos: b.at(key), value: v})...)
		}
	}
	return o
}

func (b *yamlBuilder) scalar(v *value, n *yaml.Node) {
	switch n.ShortTag() {
	case "!!null":
	case "!!bool":
		v.data = strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		number, err := yamlNumber(n.Value)
		if err != nil {
			b.problem(n, fmt.Sprintf("%s: %v", Quote(n.Value), err), "put it in quotes if it is a string")
			v.bad = true
			return
		}
		v.data = number
		b.problems = append(b.problems, checkNumber(v)...)
	default:
		if n.Style == 0 && slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(n.Value)) {
			b.problem(n, Quote(n.Value)+": some readers of YAML take it for true or false, others for a string",
				"write true or false, or put it in quotes")
			v.bad = true
			return
		}
		v.data = n.Value
	}
}

// yamlNumber takes the numbers that every reader of YAML reads alike, as they are
// written: 1.0 is no whole number, and one of thirty digits keeps them all.
func yamlNumber(text string) (json.Number, error) {
	digits := strings.TrimLeft(text, "+-")
	switch {
	case len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E':
		return "", errors.New("a number with a leading zero")
	case strings.Contains(digits, "_"):
		return "", errors.New("a number with _")
	}
	number := strings.TrimPrefix(text, "+")
	if whole, fraction, ok := strings.Cut(number, "."); ok { // 1. and .5, which JSON writes 1.0 and 0.5
		if strings.Trim(whole, "-") == "" {
			whole += "0"
		}
		if fraction == "" || fraction[0] < '0' || fraction[0] > '9' {
			fraction = "0" + fraction
		}
		number = whole + "." + fraction
	}
	if !json.Valid([]byte(number)) { // .inf and .nan
		return "", errors.New("not a number that JSON knows")
	}
	return json.Number(number), nil
}

// yamlProblem takes the line out of yaml.v3's message; it gives no column, and at
// the end of a file a line that is not there.
func yamlProblem(file string, data []byte, err error) Problem {
	at := Position{file, 1, 1}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := regexp.MustCompile(`^(?:line (\d+): )`).FindStringSubmatch(text); m != nil {
		at.Line, _ = strconv.Atoi(m[1])
		at.Line = max(1, min(at.Line, bytes.Count(data, []byte("\n"))+1))
		text = strings.TrimPrefix(text, m[0])
	}
	return at.Problem("not YAML: "+text, "look at the indentation and at quotes here and in the line before")
}

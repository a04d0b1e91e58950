package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Schema is a compiled JSON Schema (draft 2020-12). It is safe for concurrent use.
//
// Beside the standard keywords a schema may hold "x-must-be", which words what a
// value has to be ("a duration such as \"2m\" or \"7d\""), and the formats
// "x-duration", "x-bytes" and "x-cpu", which are what Duration, Bytes and MilliCPU
// take. The first of "examples" is shown where a required key is missing. Rules
// for the names of a map are written as "patternProperties" with
// "additionalProperties": false, and worded by "x-names-must-be" (jsonschema
// v6.0.3 gives wrong places for "propertyNames").
type Schema struct {
	compiled *jsonschema.Schema
	url      string
	texts    map[string]any // the schemas' texts as data, by $id
}

// Compile compiles a schema that may refer to more schemas by their $id. Nothing
// is read from disk or network. An error is a mistake in the schema.
func Compile(schema []byte, more ...[]byte) (*Schema, error) {
	s := &Schema{texts: map[string]any{}}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	compiler.AssertFormat()
	for _, f := range formats() {
		compiler.RegisterFormat(f)
	}
	for _, text := range append([][]byte{schema}, more...) {
		data, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("parse schema: %w", err)
		}
		root, _ := data.(map[string]any)
		id, _ := root["$id"].(string)
		if err := compiler.AddResource(id, data); err != nil {
			return nil, fmt.Errorf("add schema %q: %w", id, err)
		}
		s.texts[id] = data
		if s.url == "" {
			s.url = id
		}
	}
	compiled, err := compiler.Compile(s.url)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	s.compiled = compiled
	return s, nil
}

// formats returns the formats that are this package's own.
func formats() []*jsonschema.Format {
	parsers := map[string]func(string) error{
		"x-duration": func(text string) error { _, err := ParseDuration(text); return err },
		"x-bytes":    func(text string) error { _, err := ParseBytes(text); return err },
		"x-cpu":      func(text string) error { _, err := ParseMilliCPU(text); return err },
	}
	var all []*jsonschema.Format
	for name, parse := range parsers {
		all = append(all, &jsonschema.Format{Name: name, Validate: func(v any) error {
			switch v := v.(type) {
			case string:
				return parse(v)
			case json.Number:
				return parse(string(v))
			}
			return nil // "type" says it
		}})
	}
	return all
}

// check validates a document and marks what was refused.
func (s *Schema) check(d *Document) []Problem {
	err := s.compiled.Validate(d.root.plain(true))
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []Problem{d.At("").Problem(err.Error(), "")}
	}
	r := &reporter{schema: s, doc: d, meant: map[string]bool{}}
	r.walk(invalid)
	r.addMissing()
	for _, key := range r.unknowns {
		key.parent.remove(key.name)
	}
	return r.problems
}

// node returns the text of the schema at one of the library's locations.
func (s *Schema) node(location string) map[string]any {
	base, fragment, _ := strings.Cut(location, "#")
	data := s.texts[base]
	if decoded, err := url.PathUnescape(fragment); err == nil {
		fragment = decoded
	}
	for _, part := range splitPointer(fragment) {
		switch container := data.(type) {
		case map[string]any:
			data = container[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i < 0 || i >= len(container) {
				return nil
			}
			data = container[i]
		}
	}
	node, _ := data.(map[string]any)
	return node
}

// resolve follows a schema's $ref, which may stand in another file.
func (s *Schema) resolve(node map[string]any, base string) (map[string]any, string) {
	for range 8 {
		ref, ok := node["$ref"].(string)
		if !ok {
			break
		}
		file, fragment, _ := strings.Cut(ref, "#")
		if file != "" {
			from, err := url.Parse(base)
			if err != nil {
				return nil, base
			}
			to, err := from.Parse(file)
			if err != nil {
				return nil, base
			}
			base = to.String()
		}
		node = s.node(base + "#" + fragment)
	}
	return node, base
}

// properties returns the texts of an object schema's properties, also of those
// that stand behind its $ref; refs of the properties are followed as well.
func (s *Schema) properties(location string) map[string]map[string]any {
	base, _, _ := strings.Cut(location, "#")
	known := map[string]map[string]any{}
	node := s.node(location)
	behind, behindBase := s.resolve(node, base)
	for _, from := range []struct {
		node map[string]any
		base string
	}{{node, base}, {behind, behindBase}} {
		properties, _ := from.node["properties"].(map[string]any)
		for name, raw := range properties {
			property, _ := raw.(map[string]any)
			resolved, _ := s.resolve(property, from.base)
			known[name] = overlay(resolved, property)
		}
	}
	return known
}

// overlay lays the keywords that stand beside a $ref over what is behind it.
func overlay(behind, beside map[string]any) map[string]any {
	merged := maps.Clone(behind)
	if merged == nil {
		merged = map[string]any{}
	}
	maps.Copy(merged, beside)
	return merged
}

// mustBe words what a schema asks for, as what follows "must be"; "" where the
// schema says nothing that can be worded.
func mustBe(node map[string]any) string {
	if words, ok := node["x-must-be"].(string); ok {
		return words
	}
	if values, ok := node["enum"].([]any); ok {
		return oneOf(values)
	}
	if value, ok := node["const"]; ok {
		return show(value)
	}
	var words []string
	switch types := node["type"].(type) {
	case string:
		words = append(words, typeWords(types, node))
	case []any:
		for _, t := range types {
			name, _ := t.(string)
			words = append(words, typeWords(name, node))
		}
	}
	return strings.Join(words, " or ")
}

func oneOf(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = show(v)
	}
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

func typeWords(name string, node map[string]any) string {
	switch name {
	case "boolean":
		return "true or false"
	case "object":
		return "an object"
	case "array":
		return "a list"
	case "string":
		return "a string"
	case "null":
		return "null"
	}
	words := "a number"
	if name == "integer" {
		words = "an integer"
	}
	low, hasLow := node["minimum"].(json.Number)
	high, hasHigh := node["maximum"].(json.Number)
	switch {
	case hasLow && hasHigh:
		words += fmt.Sprintf(" from %s to %s", low, high)
	case hasLow:
		words += fmt.Sprintf(" of at least %s", low)
	case hasHigh:
		words += fmt.Sprintf(" of at most %s", high)
	}
	return words
}

// reporter turns the library's errors into problems.
type reporter struct {
	schema   *Schema
	doc      *Document
	problems []Problem
	unknowns []unknownKey
	meant    map[string]bool // pointers of keys that were written wrongly
	missing  []missingKey
}

// missingKey waits until it is known which keys were written wrongly.
type missingKey struct {
	path    []string
	problem Problem
}

// unknownKey is a key to be dropped when everything is reported.
type unknownKey struct {
	parent *object
	name   string
}

func (r *reporter) add(at Position, what, do string) {
	r.problems = append(r.problems, at.Problem(what, do))
}

func (r *reporter) walk(e *jsonschema.ValidationError) {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		r.required(e, k.Missing)
	case *kind.AdditionalProperties:
		r.unknown(e, k.Properties)
	case *kind.UniqueItems:
		r.twice(e, k.Duplicates[1])
	case *kind.MinItems:
		r.add(r.doc.At(pointerTo(e.InstanceLocation)), subject(e.InstanceLocation)+" is empty", "name at least one")
	case *kind.AnyOf, *kind.OneOf:
		r.refused(e)
	default:
		if len(e.Causes) == 0 {
			r.refused(e)
			return
		}
		for _, cause := range e.Causes {
			r.walk(cause)
		}
	}
}

// refused reports a value that is not what the schema asks for.
func (r *reporter) refused(e *jsonschema.ValidationError) {
	pointer := pointerTo(e.InstanceLocation)
	found, _ := r.doc.find(e.InstanceLocation)
	v := found[len(found)-1]
	if v.bad { // the parser, or another rule, reported it
		return
	}
	v.bad = true
	at := r.doc.At(pointer)
	if text, ok := v.data.(string); ok && text == "" {
		r.add(at, subject(e.InstanceLocation)+" must not be empty", "")
		return
	}
	it := show(v.plain(true))
	if v.data == nil && r.doc.yaml {
		it = "empty"
	}
	want := mustBe(r.schema.node(e.SchemaURL))
	if want == "" {
		r.add(at, fmt.Sprintf("%s is not valid; it is %s", subject(e.InstanceLocation), it), "")
		return
	}
	r.add(at, fmt.Sprintf("%s must be %s; it is %s", subject(e.InstanceLocation), want, it), "")
}

// twice reports a list's item that stands there before.
func (r *reporter) twice(e *jsonschema.ValidationError, second int) {
	path := append(slices.Clone(e.InstanceLocation), fmt.Sprint(second))
	found, _ := r.doc.find(path)
	v := found[len(found)-1]
	if v.bad {
		return // reported as what it is
	}
	r.add(v.pos, fmt.Sprintf("%s names %s twice", subject(e.InstanceLocation), show(v.plain(true))), "remove one")
}

// required reports keys that are missing. With defaults from another file the
// object may stand there: the key is missing in this one all the same.
func (r *reporter) required(e *jsonschema.ValidationError, missing []string) {
	found, _ := r.doc.find(e.InstanceLocation)
	at := found[0].pos
	for _, v := range found {
		if v.pos.File == r.doc.file {
			at = v.pos
		}
	}
	known := r.schema.properties(e.SchemaURL)
	for _, name := range missing {
		path := append(slices.Clone(e.InstanceLocation), name)
		do := ""
		if examples, ok := known[name]["examples"].([]any); ok && len(examples) > 0 {
			do = "add " + r.example(name, examples[0])
		}
		r.missing = append(r.missing, missingKey{path, at.Problem("missing key "+subject(path), do)})
	}
}

// addMissing reports the missing keys, but for those that are there and misspelt.
func (r *reporter) addMissing() {
	for _, key := range r.missing {
		misspelt := false
		for i := range key.path {
			misspelt = misspelt || r.meant[pointerTo(key.path[:i+1])]
		}
		if !misspelt {
			r.problems = append(r.problems, key.problem)
		}
	}
}

func (r *reporter) example(name string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return quote(name)
	}
	if r.doc.yaml {
		return fmt.Sprintf("%s: %s", name, text)
	}
	return fmt.Sprintf("%s: %s", quote(name), text)
}

// unknown reports keys that the schema does not know, and drops them.
func (r *reporter) unknown(e *jsonschema.ValidationError, names []string) {
	known := r.schema.properties(e.SchemaURL)
	found, _ := r.doc.find(e.InstanceLocation)
	parent, ok := found[len(found)-1].data.(*object)
	if !ok {
		return
	}
	rule, hasRule := r.schema.node(e.SchemaURL)["x-names-must-be"].(string)
	for _, name := range names {
		at := r.doc.AtKey(pointerTo(append(slices.Clone(e.InstanceLocation), name)))
		meant := closest(name, known)
		switch {
		case hasRule:
			r.add(at, fmt.Sprintf("the name %s in %s must be %s", quote(name), subject(e.InstanceLocation), rule), "")
		case meant != "":
			r.meant[pointerTo(append(slices.Clone(e.InstanceLocation), meant))] = true
			r.add(at, "unknown key "+quote(name), fmt.Sprintf("did you mean %s?", quote(meant)))
		default:
			r.add(at, "unknown key "+quote(name), r.elsewhere(name, known, len(e.InstanceLocation) > 0))
		}
		r.unknowns = append(r.unknowns, unknownKey{parent, name})
	}
}

// elsewhere says where a key belongs that stands one level too high or too low.
func (r *reporter) elsewhere(name string, siblings map[string]map[string]any, nested bool) string {
	var homes []string
	for sibling, node := range siblings {
		inner, _ := node["properties"].(map[string]any)
		if inner[name] != nil {
			homes = append(homes, sibling)
		}
	}
	if len(homes) == 1 {
		return "it belongs in " + quote(homes[0])
	}
	if nested && r.schema.properties(r.schema.url + "#")[name] != nil {
		return "it belongs at the top level"
	}
	return ""
}

func pointerTo(path []string) string {
	parts := make([]any, len(path))
	for i, part := range path {
		parts[i] = part
	}
	return Pointer(parts...)
}

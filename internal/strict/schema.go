package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
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
	r := &reporter{schema: s, doc: d, unknowns: map[*object][]string{}, meant: map[string]bool{}}
	r.walk(invalid)
	r.addMissing()
	r.dropUnknown()
	return withMore(r.problems, d.At(""), r.dropped)
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

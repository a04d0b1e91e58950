package strict

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

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
	dropped  int                  // problems beyond maxProblems
	unknowns map[*object][]string // keys to be dropped when everything is reported
	meant    map[string]bool      // pointers of keys that were written wrongly
	missing  []missingKey
}

// missingKey waits until it is known which keys were written wrongly.
type missingKey struct {
	path    []string
	problem Problem
}

func (r *reporter) add(at Position, what, do string) {
	if len(r.problems) == maxProblems {
		r.dropped++
		return
	}
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
	found, _ := r.doc.find(e.InstanceLocation)
	v := found[len(found)-1]
	if v.bad { // the parser, or another rule, reported it
		return
	}
	v.bad = true
	if len(r.problems) >= maxProblems {
		r.dropped++
		return
	}
	at := v.pos
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
		return Quote(name)
	}
	if r.doc.yaml {
		return fmt.Sprintf("%s: %s", name, text)
	}
	return fmt.Sprintf("%s: %s", Quote(name), text)
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
	unknown := map[string]bool{}
	for _, name := range names {
		unknown[name] = true
	}
	reported := 0
	for _, m := range parent.members {
		if !unknown[m.name] {
			continue
		}
		r.unknowns[parent] = append(r.unknowns[parent], m.name)
		reported++
		if reported > maxProblems {
			r.dropped++
			continue // guessing costs time
		}
		meant := closest(m.name, known)
		switch {
		case hasRule:
			r.add(m.pos, fmt.Sprintf("the name %s in %s must be %s", Quote(m.name), subject(e.InstanceLocation), rule), "")
		case meant != "":
			r.meant[pointerTo(append(slices.Clone(e.InstanceLocation), meant))] = true
			r.add(m.pos, "unknown key "+Quote(m.name), fmt.Sprintf("did you mean %s?", Quote(meant)))
		default:
			r.add(m.pos, "unknown key "+Quote(m.name), r.elsewhere(m.name, known, len(e.InstanceLocation) > 0))
		}
	}
}

// dropUnknown takes the unknown keys away, so that they are not decoded.
func (r *reporter) dropUnknown() {
	for parent, names := range r.unknowns {
		for _, name := range names {
			delete(parent.index, name)
		}
		parent.members = slices.DeleteFunc(parent.members, func(m *member) bool { return parent.index[m.name] == nil })
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
		return "it belongs in " + Quote(homes[0])
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

package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Document is a parsed file that knows where each of its values stands. A nil
// Document is what a file that cannot be parsed gives: it holds nothing.
//
// Values are named by JSON pointers (RFC 6901): "/assets/0/id"; "" is the whole.
type Document struct {
	file string
	yaml bool
	root *value
}

// value is one value of a document.
type value struct {
	pos Position
	// data is a string, json.Number, bool or nil, *object or *list.
	data any
	bad  bool // the schema refused it: decoded as if it were absent
}

type object struct {
	members []*member
	index   map[string]*member
}

type list struct{ items []*value }

type member struct {
	name  string
	pos   Position
	value *value
}

// add appends a member and reports a name that is there already.
func (o *object) add(m *member) []Problem {
	first := o.index[m.name]
	if first == nil {
		o.members = append(o.members, m)
		o.index[m.name] = m
		return nil
	}
	where := fmt.Sprintf("line %d", first.pos.Line)
	if first.pos.Line == m.pos.Line {
		where += fmt.Sprintf(", column %d", first.pos.Column)
	}
	return []Problem{m.pos.Problem(fmt.Sprintf("duplicate key %s", Quote(m.name)), "it stands in "+where+" already: remove one")}
}

// Pointer makes a JSON pointer of names (strings) and list positions (ints).
func Pointer(parts ...any) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteByte('/')
		text := fmt.Sprint(part)
		if strings.ContainsAny(text, "~/") {
			text = strings.ReplaceAll(strings.ReplaceAll(text, "~", "~0"), "/", "~1")
		}
		b.WriteString(text)
	}
	return b.String()
}

// At returns where the value stands; where it is missing, where the innermost
// object or list stands that would hold it.
func (d *Document) At(pointer string) Position {
	if d == nil {
		return Position{Line: 1, Column: 1}
	}
	found, _ := d.find(splitPointer(pointer))
	return found[len(found)-1].pos
}

// AtKey returns where the name of an object's member stands, and what At returns
// for everything else.
func (d *Document) AtKey(pointer string) Position {
	if d != nil {
		if m := d.member(pointer); m != nil {
			return m.pos
		}
	}
	return d.At(pointer)
}

// Has reports whether the value is there and, after Into, whether the schema took it.
func (d *Document) Has(pointer string) bool {
	if d == nil {
		return false
	}
	found, ok := d.find(splitPointer(pointer))
	return ok && !found[len(found)-1].bad
}

// Lacks reports whether nothing was written at pointer, not even something wrong.
func (d *Document) Lacks(pointer string) bool {
	if d == nil {
		return true
	}
	_, ok := d.find(splitPointer(pointer))
	return !ok
}

// Keys returns the names of the object's members in the order of the file; nil
// where no object stands.
func (d *Document) Keys(pointer string) []string {
	if !d.Has(pointer) {
		return nil
	}
	found, _ := d.find(splitPointer(pointer))
	o, ok := found[len(found)-1].data.(*object)
	if !ok {
		return nil
	}
	names := make([]string, len(o.members))
	for i, m := range o.members {
		names[i] = m.name
	}
	return names
}

// Expand replaces a string at pointer, the short form of an object, by the object
// whose member key is that string.
func (d *Document) Expand(pointer, key string) {
	if !d.Has(pointer) {
		return
	}
	found, _ := d.find(splitPointer(pointer))
	v := found[len(found)-1]
	if _, ok := v.data.(string); !ok {
		return
	}
	short := *v
	m := &member{name: key, pos: v.pos, value: &short}
	v.data = &object{members: []*member{m}, index: map[string]*member{key: m}}
}

// Default lays the document over the value that stands at pointer in base: objects
// are merged member by member, everything else replaces. Each value keeps the
// position, and the file, where it was written. Neither document is changed later
// through the other.
func (d *Document) Default(base *Document, pointer string) {
	if d == nil || !base.Has(pointer) {
		return
	}
	found, _ := base.find(splitPointer(pointer))
	d.root = merge(d.root, found[len(found)-1])
}

func merge(over, base *value) *value {
	o, isObject := over.data.(*object)
	b, baseIsObject := base.data.(*object)
	if !isObject || !baseIsObject {
		return over
	}
	merged := &object{index: map[string]*member{}}
	for _, m := range o.members {
		v := m.value
		if under := b.index[m.name]; under != nil {
			v = merge(v, under.value)
		}
		merged.add(&member{m.name, m.pos, v})
	}
	for _, m := range b.members {
		if o.index[m.name] == nil {
			merged.add(&member{m.name, m.pos, m.value.clone()})
		}
	}
	return &value{pos: over.pos, data: merged, bad: over.bad}
}

// clone copies the value with everything in it: Into marks values.
func (v *value) clone() *value {
	c := *v
	switch data := v.data.(type) {
	case *object:
		o := &object{index: make(map[string]*member, len(data.members))}
		for _, m := range data.members {
			o.add(&member{m.name, m.pos, m.value.clone()})
		}
		c.data = o
	case *list:
		items := make([]*value, len(data.items))
		for i, item := range data.items {
			items[i] = item.clone()
		}
		c.data = &list{items}
	}
	return &c
}

// Into checks the document against the schema, fills into by its json tags with
// everything that the schema took, and returns the problems, sorted. Values that
// have a problem, and unknown keys, are left out, so that the caller can go on
// with rules of its own and report all mistakes at once. Numbers become
// json.Number where the target is an interface.
func (d *Document) Into(schema *Schema, into any) []Problem {
	if d == nil {
		return nil
	}
	problems := schema.check(d)
	if d.root.bad {
		return Sort(problems)
	}
	text, err := json.Marshal(d.root.plain(false))
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		err = decoder.Decode(into)
	}
	if err != nil { // the schema took what the struct does not
		problems = append(problems, d.At(errorPointer(err)).Problem(err.Error(), ""))
	}
	return Sort(problems)
}

// errorPointer says where encoding/json met a value that does not fit.
func errorPointer(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(wrong.Field, ".", "/")
}

// plain returns the value as encoding/json would decode it, with the values that
// were refused or without them.
func (v *value) plain(withBad bool) any {
	switch data := v.data.(type) {
	case *object:
		m := make(map[string]any, len(data.members))
		for _, member := range data.members {
			if withBad || !member.value.bad {
				m[member.name] = member.value.plain(withBad)
			}
		}
		return m
	case *list:
		items := make([]any, len(data.items))
		for i, item := range data.items {
			if withBad || !item.bad { // a refused item stays as null, so that the others keep their places
				items[i] = item.plain(withBad)
			}
		}
		return items
	}
	return v.data
}

// find follows a path as far as it goes and returns every value on it, the root
// first, and whether it went to the end.
func (d *Document) find(path []string) (found []*value, ok bool) {
	v := d.root
	found = append(found, v)
	for _, part := range path {
		v = v.child(part)
		if v == nil {
			return found, false
		}
		found = append(found, v)
	}
	return found, true
}

func (v *value) child(part string) *value {
	switch data := v.data.(type) {
	case *object:
		if m := data.index[part]; m != nil {
			return m.value
		}
	case *list:
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(data.items) {
			return data.items[i]
		}
	}
	return nil
}

func (d *Document) member(pointer string) *member {
	path := splitPointer(pointer)
	if len(path) == 0 {
		return nil
	}
	found, ok := d.find(path[:len(path)-1])
	if !ok {
		return nil
	}
	if o, isObject := found[len(found)-1].data.(*object); isObject {
		return o.index[path[len(path)-1]]
	}
	return nil
}

func splitPointer(pointer string) []string {
	if pointer == "" {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, part := range parts {
		if strings.Contains(part, "~") {
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		}
	}
	return parts
}

// checkText finds what keeps a file from being read as text at all.
func checkText(file string, data []byte) []Problem {
	at := Position{file, 1, 1}
	switch {
	case len(data) > MaxSize:
		return []Problem{at.Problem(fmt.Sprintf("the file has %d bytes", len(data)), fmt.Sprintf("the limit is %d", MaxSize))}
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return []Problem{at.Problem("the file starts with a byte order mark", "save it as UTF-8 without BOM")}
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		return []Problem{at.Problem("the file is UTF-16", "save it as UTF-8")}
	case len(bytes.TrimSpace(data)) == 0:
		return []Problem{at.Problem("the file is empty", "")}
	}
	if i := invalidUTF8(data); i >= 0 {
		c := newCursor(file, data)
		return []Problem{c.at(i).Problem(fmt.Sprintf("byte 0x%02x is not UTF-8", data[i]), "save the file as UTF-8")}
	}
	return nil
}

package notebook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What Parse accepts. A value of two bytes can cost 300 in memory, hence the
// second limit. What outputs and widgets hold does not count: it stays text.
const (
	maxBytes  = 64 << 20
	maxValues = 500_000
)

// Parse reads a notebook of nbformat 4. All its errors are *SyntaxError. Cells
// without a usable id (before 4.5 none had one) get one that stays the same as
// long as cell and place do.
func Parse(data []byte) (*Notebook, error) {
	p := parser{data: data}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p.notebook(spanAt(data, 0))
}

type parser struct {
	data   []byte
	cursor cursor
	values int // taken apart so far
}

func (p *parser) fail(offset int, format string, args ...any) error {
	line, column := p.cursor.at(p.data, min(max(offset, 0), len(p.data)))
	return &SyntaxError{Line: line, Column: column, Msg: fmt.Sprintf(format, args...)}
}

// check refuses what is not JSON or too large to be read.
func (p *parser) check() error {
	if len(p.data) > maxBytes {
		return p.fail(0, "the notebook is larger than %d MiB; clear its outputs and save it again", maxBytes>>20)
	}
	if bytes.HasPrefix(p.data, []byte("\xef\xbb\xbf")) {
		return p.fail(0, "the file begins with a byte order mark; save it as UTF-8 without one")
	}
	if !utf8.Valid(p.data) {
		return p.fail(invalidUTF8(p.data), "the file is not UTF-8; save it again in Jupyter")
	}
	var raw json.RawMessage
	if err := json.Unmarshal(p.data, &raw); err != nil {
		var syntax *json.SyntaxError
		if !errors.As(err, &syntax) {
			return p.fail(0, "not JSON: %v", err)
		}
		at := int(syntax.Offset) - 1
		if rest := p.data[min(max(at, 0), len(p.data)):]; bytes.HasPrefix(rest, []byte("<<<<<<<")) {
			return p.fail(at, "a merge conflict is not resolved; resolve it and save the notebook again")
		}
		return p.fail(at, "not JSON: %v; restore the file or save it again in Jupyter", err)
	}
	return nil
}

// spend counts n values that are taken apart.
func (p *parser) spend(at, n int) error {
	if p.values += n; p.values > maxValues {
		return p.fail(at, "the notebook holds more than %d JSON values; clear its outputs and save it again", maxValues)
	}
	return nil
}

// elements calls f for each element of the array v.
func (p *parser) elements(v span, f func(span) error) error {
	return elements(p.data, v, func(v span) error {
		if err := p.spend(v.start, 1); err != nil {
			return err
		}
		return f(v)
	})
}

// tree takes a value apart.
func (p *parser) tree(v span) (any, error) {
	if err := p.spend(v.start, countValues(p.data[v.start:v.end])); err != nil {
		return nil, err
	}
	return decode(p.data, v), nil
}

// json keeps a value as it is.
func (p *parser) json(v span, how canonizer) (JSON, error) {
	how.limit = math.MaxInt32
	j, err := canonical(p.data, v, how)
	if err != nil {
		err = p.fail(v.start, "%v; clear the outputs and save the notebook again", err)
	}
	return j, err
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

func (p *parser) notebook(v span) (*Notebook, error) {
	o, err := p.object(v, "a notebook")
	if err != nil {
		return nil, err
	}
	nb := &Notebook{}
	if nb.NBFormat, nb.NBFormatMinor, err = o.version(); err != nil {
		return nil, err
	}
	cells, ok := o.take("cells")
	if !ok || p.data[cells.start] != '[' {
		return nil, p.fail(o.at(cells, ok), `a notebook needs "cells", a list; save it again in Jupyter`)
	}
	if err := p.elements(cells, func(v span) error {
		cell, err := p.cell(v)
		nb.Cells = append(nb.Cells, cell)
		return err
	}); err != nil {
		return nil, err
	}
	nb.Metadata = o.notebookMetadata()
	nb.Extra = o.rest()
	if o.err != nil {
		return nil, o.err
	}
	for i, id := range nb.ids() {
		nb.Cells[i].ID = id
	}
	return nb, nil
}

// version returns nbformat's version: 4, and at least 5.
func (o *object) version() (major, minor int, err error) {
	at, ok := o.fields["nbformat"]
	if !ok {
		return 0, 0, o.p.fail(o.start, `not a notebook: it has no "nbformat"; save it again in Jupyter`)
	}
	if n := o.integer("nbformat"); n != nil {
		major = *n
	}
	if o.err == nil && major != 4 {
		return 0, 0, o.p.fail(at.start, "nbformat %d is not supported; open the notebook and save it in Jupyter 4 or newer", major)
	}
	if n := o.integer("nbformat_minor"); n != nil {
		minor = *n
	}
	return major, max(minor, 5), o.err
}

func (p *parser) cell(v span) (*Cell, error) {
	o, err := p.object(v, "a cell")
	if err != nil {
		return nil, err
	}
	cell := &Cell{
		ID:             o.string("id"),
		Type:           o.string("cell_type"),
		Metadata:       o.dict("metadata"),
		ExecutionCount: o.integer("execution_count"),
		Attachments:    o.dict("attachments"),
	}
	for _, bundle := range cell.Attachments {
		if bundle, ok := bundle.(map[string]any); ok {
			joinBundle(bundle)
		}
	}
	source, ok := o.take("source")
	if !ok {
		return nil, p.fail(v.start, `the cell has no "source"; save the notebook again in Jupyter`)
	}
	if cell.Source, cell.places, err = p.source(source); err != nil {
		return nil, err
	}
	if cell.Outputs, err = p.outputs(o); err != nil {
		return nil, err
	}
	cell.Extra = o.rest()
	if o.err != nil {
		return nil, o.err
	}
	if !slices.Contains([]string{"code", "markdown", "raw"}, cell.Type) {
		return nil, p.fail(v.start, `"cell_type" is %q; it must be code, markdown or raw`, cell.Type)
	}
	return cell, nil
}

func (p *parser) outputs(cell *object) ([]Output, error) {
	v, ok := cell.take("outputs")
	if !ok {
		return nil, nil
	}
	if p.data[v.start] != '[' {
		return nil, p.fail(v.start, `"outputs" is a list; clear the outputs and save the notebook again`)
	}
	var outputs []Output
	err := p.elements(v, func(v span) error {
		output, err := p.output(v)
		outputs = append(outputs, output)
		return err
	})
	return outputs, err
}

// source joins a cell's source and notes where its lines begin in the file.
func (p *parser) source(v span) (string, []place, error) {
	var places []place
	var joined strings.Builder
	line, fresh := 1, true // fresh: the next string begins a source line
	add := func(v span) error {
		if p.data[v.start] != '"' {
			return p.fail(v.start, `"source" is a string or a list of strings; save the notebook again in Jupyter`)
		}
		s := text(p.data, v)
		if fresh {
			fileLine, column := p.cursor.at(p.data, v.start)
			places = append(places, place{int32(line), int32(fileLine), int32(column)})
		}
		joined.WriteString(s)
		line += strings.Count(s, "\n")
		if s != "" {
			fresh = strings.HasSuffix(s, "\n")
		} else if fresh {
			places = places[:len(places)-1]
		}
		return nil
	}
	var err error
	if p.data[v.start] == '[' {
		err = p.elements(v, add)
	} else {
		err = add(v)
	}
	if len(places) == 0 && err == nil {
		fileLine, column := p.cursor.at(p.data, v.start)
		places = []place{{1, int32(fileLine), int32(column)}}
	}
	return joined.String(), places, err
}

func (p *parser) output(v span) (Output, error) {
	o, err := p.object(v, "an output")
	if err != nil {
		return Output{}, err
	}
	out := Output{Type: o.string("output_type")}
	switch out.Type {
	case "stream":
		out.Name, out.Text = o.string("name"), o.lines("text")
	case "display_data", "execute_result":
		out.Data, out.Metadata = o.json("data", canonizer{bundle: true}), o.json("metadata", canonizer{})
		if out.Type == "execute_result" {
			out.ExecutionCount = o.integer("execution_count")
		}
	case "error":
		out.EName, out.EValue, out.Traceback = o.string("ename"), o.string("evalue"), o.strings("traceback")
	}
	for key, v := range o.fields {
		if out.Extra == nil {
			out.Extra = make(map[string]any)
		}
		out.Extra[key], err = p.json(v, canonizer{})
		o.fail(err)
	}
	return out, o.err
}

// object is an object that is being read: fields are taken out one by one, what
// is left over is kept as Extra. The first wrong type is kept in err.
type object struct {
	p      *parser
	start  int
	fields map[string]span
	err    error
}

func (p *parser) object(v span, what string) (*object, error) {
	if p.data[v.start] != '{' {
		return nil, p.fail(v.start, "%s is a JSON object; save the notebook again in Jupyter", what)
	}
	o := &object{p: p, start: v.start, fields: make(map[string]span)}
	err := eachMember(p.data, v, func(key, value span) error {
		o.fields[text(p.data, key)] = value // of equal keys the last counts, as everywhere in Jupyter
		return p.spend(key.start, 1)
	})
	return o, err
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *object) at(v span, ok bool) int {
	if ok {
		return v.start
	}
	return o.start
}

func (o *object) take(key string) (span, bool) {
	v, ok := o.fields[key]
	delete(o.fields, key)
	return v, ok
}

func (o *object) wrong(v span, key, want string) {
	o.fail(o.p.fail(v.start, "%q is %s; save the notebook again in Jupyter", key, want))
}

func (o *object) string(key string) string {
	v, ok := o.take(key)
	if ok && o.p.data[v.start] != '"' {
		o.wrong(v, key, "a string")
		return ""
	}
	return text(o.p.data, v)
}

func (o *object) strings(key string) []string {
	v, ok := o.take(key)
	if !ok {
		return nil
	}
	if o.p.data[v.start] != '[' {
		o.wrong(v, key, "a list of strings")
		return nil
	}
	var list []string
	o.fail(o.p.elements(v, func(v span) error {
		if o.p.data[v.start] != '"' {
			o.wrong(v, key, "a list of strings")
		} else {
			list = append(list, text(o.p.data, v))
		}
		return nil
	}))
	return list
}

func (o *object) lines(key string) string {
	if v, ok := o.fields[key]; ok && o.p.data[v.start] == '[' {
		return strings.Join(o.strings(key), "")
	}
	return o.string(key)
}

func (o *object) integer(key string) *int {
	v, ok := o.take(key)
	if !ok || o.p.data[v.start] == 'n' {
		return nil
	}
	n, err := strconv.Atoi(string(o.p.data[v.start:v.end]))
	if err != nil {
		o.wrong(v, key, "a whole number")
		return nil
	}
	return &n
}

func (o *object) dict(key string) map[string]any {
	v, ok := o.takeObject(key)
	if !ok {
		return nil
	}
	tree, err := o.p.tree(v)
	o.fail(err)
	m, _ := tree.(map[string]any)
	return m
}

// json takes an object out as it is.
func (o *object) json(key string, how canonizer) JSON {
	v, ok := o.takeObject(key)
	if !ok {
		return JSON{}
	}
	j, err := o.p.json(v, how)
	o.fail(err)
	return j
}

func (o *object) takeObject(key string) (span, bool) {
	v, ok := o.take(key)
	if ok && o.p.data[v.start] != '{' {
		o.wrong(v, key, "an object")
		return v, false
	}
	return v, ok
}

// notebookMetadata takes the notebook's metadata out. The widgets' state may be as
// large as any output.
func (o *object) notebookMetadata() map[string]any {
	v, ok := o.takeObject("metadata")
	if !ok {
		return nil
	}
	inner, err := o.p.object(v, "metadata")
	o.fail(err)
	widgets, ok := inner.take("widgets")
	metadata := inner.rest()
	if metadata == nil {
		metadata = map[string]any{}
	}
	if ok {
		metadata["widgets"], err = o.p.json(widgets, canonizer{})
		o.fail(err)
	}
	o.fail(inner.err)
	return metadata
}

// rest returns the fields that nobody took.
func (o *object) rest() map[string]any {
	if len(o.fields) == 0 {
		return nil
	}
	extra := make(map[string]any, len(o.fields))
	for key, v := range o.fields {
		tree, err := o.p.tree(v)
		o.fail(err)
		extra[key] = tree
	}
	return extra
}

// joinBundle joins the lists of lines in a MIME bundle; JSON stays as it is.
func joinBundle(bundle map[string]any) {
	for mime, value := range bundle {
		list, ok := value.([]any)
		if !ok || isJSON(mime) {
			continue
		}
		var joined strings.Builder
		for _, line := range list {
			s, isString := line.(string)
			ok = ok && isString
			joined.WriteString(s)
		}
		if ok {
			bundle[mime] = joined.String()
		}
	}
}

// isJSON reports whether nbformat takes a MIME type for JSON.
func isJSON(mime string) bool {
	return mime == "application/json" || strings.HasPrefix(mime, "application/") && strings.HasSuffix(mime, "+json")
}

// mayBeAnything reports whether nbformat's schema allows a MIME type's value to be
// other than text. Its pattern does not reach over a newline.
func mayBeAnything(mime string) bool {
	return isJSON(mime) && !strings.Contains(mime, "\n")
}

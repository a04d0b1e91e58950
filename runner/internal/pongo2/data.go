package pongo2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"nbpress/runner/internal/render"
)

// keyOrder has the keys of each object of the data in the order of output.json. Go's maps
// have none, and a page must come out the same each time.
type keyOrder map[uintptr][]string

// keys returns a map's keys: in the order of output.json, or sorted for others.
func (o keyOrder) keys(m map[string]any) []string {
	if keys, ok := o[reflect.ValueOf(m).Pointer()]; ok {
		return keys
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// readData reads an execution's output.json, and lays what is meant for the language
// over the rest.
func readData(execution render.Execution, language string) (map[string]any, keyOrder, error) {
	refuse := func(line int, format string, args ...any) error {
		return &render.Error{Code: "output_invalid", Message: fmt.Sprintf(format, args...), File: execution.Name, Line: line}
	}
	var raw json.RawMessage
	if err := json.Unmarshal(execution.Output, &raw); err != nil { // which also bounds the depth
		line := 0
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line = 1 + bytes.Count(execution.Output[:max(0, int(syntax.Offset)-1)], []byte("\n"))
		}
		hint := ""
		if bytes.Contains(execution.Output, []byte("NaN")) || bytes.Contains(execution.Output, []byte("Infinity")) {
			hint = " (NaN and Infinity are Python's, not JSON's: write None)"
		}
		return nil, nil, refuse(line, "%s is not JSON: %v%s", execution.Name, err, hint)
	}
	order := keyOrder{}
	d := json.NewDecoder(bytes.NewReader(execution.Output))
	d.UseNumber()
	value, err := readValue(d, order)
	if err != nil {
		return nil, nil, refuse(0, "%s is not JSON: %v", execution.Name, err)
	}
	data, ok := value.(map[string]any)
	if !ok {
		return nil, nil, refuse(1, "%s holds no object", execution.Name)
	}
	if byLanguage, ok := data["by_language"].(map[string]any); ok {
		delete(data, "by_language")
		own, _ := byLanguage[language].(map[string]any)
		for key, value := range own {
			data[key] = value
		}
	}
	if _, ok := data["language"]; !ok {
		data["language"] = language
	}
	return data, order, nil
}

// readValue reads one value.
func readValue(d *json.Decoder, order keyOrder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			return readList(d, order)
		}
		return readObject(d, order)
	case json.Number:
		return readNumber(token), nil
	}
	return token, nil
}

func readList(d *json.Decoder, order keyOrder) (any, error) {
	list := []any{}
	for d.More() {
		value, err := readValue(d, order)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := d.Token()
	return list, err
}

func readObject(d *json.Decoder, order keyOrder) (any, error) {
	object := map[string]any{}
	var keys []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		value, err := readValue(d, order)
		if err != nil {
			return nil, err
		}
		if _, again := object[key]; !again {
			keys = append(keys, key)
		}
		object[key] = value
	}
	order[reflect.ValueOf(object).Pointer()] = keys
	_, err := d.Token()
	return object, err
}

// readNumber returns an integer, a float, or for what neither can hold its text.
func readNumber(n json.Number) any {
	if !strings.ContainsAny(string(n), ".eE") {
		if i, err := n.Int64(); err == nil {
			return int(i)
		}
		return string(n)
	}
	f, err := n.Float64()
	if err != nil {
		return string(n)
	}
	return f
}

// identifier reports whether a template can say a name.
func identifier(name string) bool {
	for i, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

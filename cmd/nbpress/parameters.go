package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nbpress/internal/strict"
	"nbpress/runner"
)

// parameterFlag is -p or -r: both add to one list, since the later one wins.
type parameterFlag struct {
	list  *runner.Parameters
	value func(name, text string) any
}

// Set implements pflag.Value.
func (f parameterFlag) Set(pair string) error {
	name, text, ok := strings.Cut(pair, "=")
	switch {
	case !ok || name == "":
		return errors.New("write it as NAME=VALUE, in one word")
	case !utf8.ValidString(pair):
		return errors.New("it is not UTF-8")
	}
	*f.list = given(*f.list, runner.Parameter{Name: name, Value: f.value(name, text)})
	return nil
}

// String implements pflag.Value: what --help shows as the default.
func (parameterFlag) String() string { return "" }

// Type implements pflag.Value.
func (parameterFlag) Type() string { return "NAME=VALUE" }

// given sets a parameter; one that was given before keeps its place.
func given(list runner.Parameters, p runner.Parameter) runner.Parameters {
	i := slices.IndexFunc(list, func(other runner.Parameter) bool { return other.Name == p.Name })
	if i < 0 {
		return append(list, p)
	}
	list[i] = p
	return list
}

func textParameter(_, text string) any { return text }

// typedParameter takes a text for the value that it looks like. A number is one if
// JSON has it so: 007, +1 and 1_000 are texts.
func typedParameter(name, text string) any {
	if runner.IsOwnName(name) {
		return text
	}
	switch text {
	case "True", "true":
		return true
	case "False", "false":
		return false
	case "None", "null":
		return nil
	}
	if text != "" && strings.Trim(text, "+-.eE0123456789") == "" && json.Valid([]byte(text)) {
		return json.Number(text)
	}
	return text
}

// all returns the parameters of the files and flags.
func (f executeFlags) all() (runner.Parameters, error) {
	var all runner.Parameters
	for _, path := range f.files {
		parameters, err := readParameters(path)
		if err != nil {
			return nil, err
		}
		for _, p := range parameters {
			all = given(all, p)
		}
	}
	for _, p := range f.parameters {
		all = given(all, p)
	}
	return all, nil
}

// readParameters reads a YAML file of parameters. Errors begin with file:line:column.
func readParameters(path string) (runner.Parameters, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	schema, err := strict.Compile([]byte(`{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}`))
	if err != nil {
		return nil, err
	}
	doc, problems := strict.ParseYAML(path, data)
	values := map[string]any{}
	if problems = append(problems, doc.Into(schema, &values)...); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New(p.String())
		}
		return nil, errors.Join(errs...)
	}
	parameters := inOrder(doc, "", values).(runner.Parameters)
	for i, p := range parameters {
		if number, ok := p.Value.(json.Number); ok && runner.IsOwnName(p.Name) {
			parameters[i].Value = string(number)
		}
	}
	return parameters, nil
}

// inOrder gives the mappings of a value the order that they have in the file.
func inOrder(doc *strict.Document, pointer string, value any) any {
	switch value := value.(type) {
	case []any:
		items := make([]any, len(value))
		for i, item := range value {
			items[i] = inOrder(doc, pointer+strict.Pointer(i), item)
		}
		return items
	case map[string]any:
		ordered := runner.Parameters{}
		for _, name := range doc.Keys(pointer) {
			ordered = append(ordered, runner.Parameter{Name: name, Value: inOrder(doc, pointer+strict.Pointer(name), value[name])})
		}
		return ordered
	}
	return value
}

// seconds is a duration that may be written as a number of seconds, as papermill's are.
type seconds struct{ time.Duration }

// Set implements pflag.Value.
func (s *seconds) Set(text string) error {
	d, err := time.ParseDuration(text)
	if n, numberErr := strconv.ParseUint(text, 10, 31); numberErr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 {
		return errors.New("write it as 90s, 2m or 1h30m, or as a number of seconds")
	}
	s.Duration = d
	return nil
}

// String implements pflag.Value.
func (s *seconds) String() string {
	if s.Duration == 0 {
		return ""
	}
	return s.Duration.String()
}

// Type implements pflag.Value.
func (*seconds) Type() string { return "duration" }

// amount is a number of bytes, written as in config.json.
type amount struct{ strict.Bytes }

// Set implements pflag.Value.
func (a *amount) Set(text string) (err error) {
	if a.Bytes, err = strict.ParseBytes(text); err != nil || a.Bytes == 0 {
		return errors.New("write it as 64Mi or 1Gi, or as a number of bytes")
	}
	return nil
}

// String implements pflag.Value.
func (*amount) String() string { return "" }

// Type implements pflag.Value.
func (*amount) Type() string { return "size" }

// withoutPath takes the path out of an error that names it already.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

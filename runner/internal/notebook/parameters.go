package notebook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// This file gives a notebook parameters as papermill does: behind the cell with the
// tag parameters, which holds the defaults, comes one that assigns the values.

// The tags of the two cells.
const (
	tagParameters = "parameters"
	tagInjected   = "injected-parameters"
)

// Parameter is a value for a name. It is nil, a bool, a string, a json.Number, a
// float64, a list ([]any) or a mapping (Parameters).
type Parameter struct {
	Name  string
	Value any
}

// Parameters are values in the order in which they were given.
type Parameters []Parameter

// MarshalJSON makes an object of them, in their order.
func (p Parameters) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	for i, parameter := range p {
		name, err := json.Marshal(parameter.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(parameter.Value)
		if err != nil {
			return nil, err
		}
		out.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&out, "%s:%s", name, value)
	}
	if len(p) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// Kernelspec is what a notebook says about the kernel that it was written for.
type Kernelspec struct {
	Name        string // as `jupyter kernelspec list` has it
	DisplayName string
	Language    string
}

// Kernelspec returns the notebook's metadata.kernelspec. Where that has no language,
// it is what the kernel once said about itself.
func (nb *Notebook) Kernelspec() Kernelspec {
	text := func(of, key string) string {
		fields, _ := nb.Metadata[of].(map[string]any)
		s, _ := fields[key].(string)
		return s
	}
	k := Kernelspec{text("kernelspec", "name"), text("kernelspec", "display_name"), text("kernelspec", "language")}
	if k.Language == "" {
		k.Language = text("language_info", "name")
	}
	return k
}

// SetKernelspec writes metadata.kernelspec. What another kernel said about itself goes.
func (nb *Notebook) SetKernelspec(k Kernelspec) {
	if nb.Metadata == nil {
		nb.Metadata = map[string]any{}
	}
	delete(nb.Metadata, "language_info")
	nb.Metadata["kernelspec"] = map[string]any{"name": k.Name, "display_name": k.DisplayName, "language": k.Language}
}

// Defaults returns the names that the cell with the tag parameters assigns, and
// whether there is such a cell.
func (nb *Notebook) Defaults(language string) (names []string, found bool) {
	i := nb.tagged(tagParameters)
	if i < 0 {
		return nil, false
	}
	return Assigned(nb.Cells[i].Source, language), true
}

func (nb *Notebook) tagged(tag string) int {
	return slices.IndexFunc(nb.Cells, func(c *Cell) bool { return c.Type == "code" && c.HasTag(tag) })
}

// Inject puts a cell that assigns the parameters behind the cell with the tag
// parameters, or at the top where there is none, in place of an earlier one.
func (nb *Notebook) Inject(p Parameters, language string) error {
	source, err := Assignments(p, language)
	if err != nil {
		return err
	}
	nb.Cells = slices.DeleteFunc(nb.Cells, func(c *Cell) bool { return c.Type == "code" && c.HasTag(tagInjected) })
	nb.Cells = slices.Insert(nb.Cells, nb.tagged(tagParameters)+1, &Cell{
		Type: "code", Source: source, Metadata: map[string]any{"tags": []any{tagInjected}},
	})
	return nil
}

// Assignments returns the source of a cell that assigns the parameters: a comment,
// and a line for each. Whatever a value holds, it is read back as that value and as
// nothing else. The error names what the language cannot say.
func Assignments(p Parameters, language string) (string, error) {
	d, ok := dialectOf(language)
	if !ok {
		return "", fmt.Errorf("parameters can be given to notebooks in Python, R, Julia and Bash, not in %s", language)
	}
	var out strings.Builder
	out.WriteString("# Parameters\n")
	for _, parameter := range p {
		if !d.isName(parameter.Name) {
			return "", fmt.Errorf("%q is no name that %s can assign a value to", parameter.Name, d.name)
		}
		line, err := d.assign(parameter)
		if err != nil {
			return "", fmt.Errorf("parameter %s: %w", parameter.Name, err)
		}
		out.WriteString(line + "\n")
	}
	return out.String(), nil
}

// Closest returns the name that was probably meant, "" for none.
func Closest(name string, names []string) string {
	best, least := "", 3
	for _, known := range names {
		if strings.EqualFold(name, known) {
			return known
		}
		if d := distance(name, known); d < least && len(name) > d+1 {
			best, least = known, d
		}
	}
	return best
}

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"nbpress/internal/strict"
)

var (
	languageCode  = regexp.MustCompile(`^[a-z]{2,3}(_[A-Z][a-z]{3})?(_([A-Z]{2}|[0-9]{3}))?$`)
	parameterName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
)

// assetColumns are the columns of assets.csv that are not parameters.
func assetColumns() []string { return []string{"id", "name", "languages", "enabled"} }

// maxColumns bounds the table: positions are counted for each cell of a line.
const maxColumns = 100

// assetTable is assets.csv while it is read.
type assetTable struct {
	file     string
	lines    [][]byte // for columns in characters: encoding/csv counts bytes
	defaults map[string]any
	columns  []column
	problems []strict.Problem
}

// column is one column of the header.
type column struct {
	name      string // "" where the column is refused
	parameter bool
	at        strict.Position
}

// row is a line of the table with the places of its cells.
type row struct {
	cells []string
	at    []strict.Position
}

// parseAssets reads a table of assets. The types of parameters are those of the
// report's defaults; where there is none, a column that holds only numbers, or
// only true and false, is of that type, and every other one text. An empty cell
// leaves a parameter out.
func parseAssets(file string, data []byte, defaults map[string]any) ([]assetEntry, []strict.Problem) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // spreadsheets write one
	at := whole(file)
	switch {
	case len(data) > strict.MaxSize:
		return nil, []strict.Problem{at.Problem(fmt.Sprintf("the file has %d bytes", len(data)), fmt.Sprintf("the limit is %d", strict.MaxSize))}
	case !utf8.Valid(data):
		return nil, []strict.Problem{at.Problem("the file is not UTF-8", "save it as CSV UTF-8")}
	}
	t := &assetTable{file: file, lines: bytes.Split(data, []byte("\n")), defaults: defaults}
	header, rows := t.read(data)
	if header == nil {
		if len(t.problems) == 0 {
			t.problem(at, "the file is empty", "the first line names the columns: id,name,languages,enabled")
		}
		return nil, t.problems
	}
	if len(header.cells) == 1 && strings.Contains(header.cells[0], ";") {
		t.problem(header.at[0], "the columns are separated by semicolons", "save the file with commas")
		return nil, t.problems
	}
	t.readHeader(header)
	if len(rows) == 0 && len(t.problems) == 0 {
		t.problem(at, "the file lists no assets", "add a line for each")
	}
	entries := make([]assetEntry, len(rows))
	for i, r := range rows {
		entries[i] = t.entry(r)
	}
	for i, c := range t.columns {
		if c.parameter {
			t.fillParameter(i, rows, entries)
		}
	}
	return entries, t.problems
}

func (t *assetTable) problem(at strict.Position, what, do string) {
	t.problems = append(t.problems, at.Problem(what, do))
}

// read splits the file; header is nil where there is nothing.
func (t *assetTable) read(data []byte) (header *row, rows []row) {
	reader := csv.NewReader(bytes.NewReader(data))
	reader.FieldsPerRecord = -1
	for {
		cells, err := reader.Read()
		var broken *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return header, rows
		case errors.As(err, &broken):
			t.problem(t.at(broken.Line, broken.Column), "a quote in the wrong place", `put cells with , or " in double quotes and double the " in them`)
			return header, rows
		case err != nil:
			t.problem(whole(t.file), err.Error(), "")
			return header, rows
		}
		first := t.at(reader.FieldPos(0))
		blank := strings.Trim(strings.Join(cells, ""), " \t") == "" // spreadsheets leave lines of commas
		switch {
		case header == nil && len(cells) > maxColumns:
			t.problem(first, fmt.Sprintf("more than %d columns", maxColumns), "")
			return nil, nil
		case header != nil && blank:
			continue
		case header != nil && len(cells) != len(header.cells):
			t.problem(first, fmt.Sprintf("the line has %d cells, the header %d", len(cells), len(header.cells)), "look for a comma too many or too few")
			continue
		}
		r := row{cells: cells, at: make([]strict.Position, len(cells))}
		for i := range cells {
			r.cells[i] = strings.TrimSpace(cells[i])
			r.at[i] = t.at(reader.FieldPos(i))
		}
		if header == nil {
			header = &r
		} else {
			rows = append(rows, r)
		}
	}
}

// at turns a line and a column in bytes, as encoding/csv counts, into a position.
func (t *assetTable) at(line, column int) strict.Position {
	p := strict.Position{File: t.file, Line: max(line, 1), Column: 1}
	if line >= 1 && line <= len(t.lines) {
		before := t.lines[line-1]
		p.Column += utf8.RuneCount(before[:max(0, min(column-1, len(before)))])
	}
	return p
}

func (t *assetTable) readHeader(header *row) {
	seen := map[string]string{}
	for i, name := range header.cells {
		c := column{name: name, at: header.at[i]}
		meant := t.known(name)
		switch first, twice := seen[strings.ToUpper(name)]; {
		case name == "":
			t.problem(c.at, "a column without a name", "name it or remove it")
			c.name = ""
		case twice && first == name:
			t.problem(c.at, "a second column "+strict.Quote(name), "remove one")
			c.name = ""
		case slices.Contains(assetColumns(), name):
		case meant != "":
			t.problem(c.at, fmt.Sprintf("unknown column %q", name), fmt.Sprintf("did you mean %q?", meant))
			c.name = ""
		case !parameterName.MatchString(name):
			t.problem(c.at, fmt.Sprintf("the column %s cannot be a parameter", strict.Quote(name)), "use letters, digits and _, first a letter")
			c.name = ""
		default:
			c.parameter = true
		}
		seen[strings.ToUpper(name)] = name
		t.columns = append(t.columns, c)
	}
	if _, ok := seen["ID"]; !ok {
		t.problem(whole(t.file), `there is no column "id"`, "name the column that holds the assets' ids so")
	}
}

// known returns the column that a misspelt name meant, or "". Where the report has
// a parameter of that very name, it is no misspelling.
func (t *assetTable) known(name string) string {
	if _, ok := t.defaults[name]; ok {
		return ""
	}
	meant := strict.Closest(name, assetColumns())
	if meant == "id" && !strings.EqualFold(name, "id") {
		return "" // too short for guessing
	}
	return meant
}

// entry reads the columns that every asset has.
func (t *assetTable) entry(r row) assetEntry {
	e := assetEntry{asset: Asset{Enabled: true}, id: r.at[0], parameters: map[string]strict.Position{}}
	for i, c := range t.columns {
		cell, at := r.cells[i], r.at[i]
		switch {
		case c.parameter:
		case c.name == "id":
			e.id = at
			if !safeName.MatchString(cell) {
				t.problem(at, fmt.Sprintf("%s is not an id (%s)", strict.Quote(cell), safeNameWords), "")
				continue
			}
			e.asset.ID = cell
		case c.name == "name":
			e.asset.Name = cell
		case c.name == "languages":
			t.languages(&e, cell, at)
		case c.name == "enabled":
			e.asset.Enabled = t.enabled(cell, at)
		}
	}
	return e
}

func (t *assetTable) languages(e *assetEntry, cell string, at strict.Position) {
	for _, code := range strings.FieldsFunc(cell, func(r rune) bool { return r == ';' || r == ' ' }) {
		switch {
		case !languageCode.MatchString(code):
			t.problem(at, strict.Quote(code)+" is not a language code", languageAdvice(code))
		case slices.Contains(e.asset.Languages, code):
			t.problem(at, fmt.Sprintf("%q stands there twice", code), "remove one")
		default:
			e.asset.Languages = append(e.asset.Languages, code)
			e.languages = append(e.languages, at)
		}
	}
}

// languageAdvice says how a language code is written.
func languageAdvice(code string) string {
	if with := strings.ReplaceAll(code, "-", "_"); with != code && languageCode.MatchString(with) {
		return fmt.Sprintf("write %q", with)
	}
	return `write it as "en" or "ca_ES"`
}

func (t *assetTable) enabled(cell string, at strict.Position) bool {
	switch strings.ToLower(cell) {
	case "", "true", "yes", "1":
		return true
	case "false", "no", "0":
		return false
	}
	t.problem(at, `"enabled" must be true or false; it is `+strict.Quote(cell), "")
	return true
}

// fillParameter gives one column's cells to the entries.
func (t *assetTable) fillParameter(i int, rows []row, entries []assetEntry) {
	c := t.columns[i]
	want, fixed := t.typeOf(c, i, rows)
	if want == "" {
		return
	}
	for j, r := range rows {
		cell := r.cells[i]
		if cell == "" {
			continue
		}
		value := cellValue(cell)
		if fixed && want != "string" && typeName(value) != want {
			t.problem(r.at[i], fmt.Sprintf("%q must be %s, as in config.json; it is %s", c.name, typeWords(want), strict.Quote(cell)), "")
			continue
		}
		if want == "string" {
			value = cell
		}
		if entries[j].asset.Parameters == nil {
			entries[j].asset.Parameters = map[string]any{}
		}
		entries[j].asset.Parameters[c.name] = value
		entries[j].parameters[c.name] = c.at
	}
}

// typeOf returns the type of a column's cells, and whether config.json fixes it;
// "" where a cell cannot hold it.
func (t *assetTable) typeOf(c column, i int, rows []row) (want string, fixed bool) {
	if value := t.defaults[c.name]; value != nil {
		want := typeName(value)
		if want == "" {
			t.problem(c.at, fmt.Sprintf("%q is a list or an object in config.json, which a cell cannot hold", c.name), "list the assets in config.json")
		}
		return want, true
	}
	for _, r := range rows {
		if r.cells[i] == "" {
			continue
		}
		switch got := typeName(cellValue(r.cells[i])); {
		case want == "":
			want = got
		case want != got:
			return "string", false
		}
	}
	return or(want, "string"), false
}

// cellValue reads a cell as a number or as true or false where it is one. What
// JSON takes for no number, such as 007, is text.
func cellValue(cell string) any {
	switch strings.ToLower(cell) {
	case "true":
		return true
	case "false":
		return false
	}
	if len(cell) < 64 && strings.ContainsAny(cell[:1], "-0123456789") && json.Valid([]byte(cell)) {
		if _, err := json.Number(cell).Float64(); err == nil {
			return json.Number(cell)
		}
	}
	return cell
}

func typeName(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "boolean"
	}
	return ""
}

func typeWords(name string) string {
	if name == "boolean" {
		return "true or false"
	}
	return "a " + name
}

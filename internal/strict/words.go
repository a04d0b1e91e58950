package strict

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// shownLength is how many characters of a value a message repeats.
const shownLength = 60

// Quote puts a name or a value in double quotes, on one line, and cuts what is
// longer than a message should be.
func Quote(text string) string {
	if len(text) > shownLength && utf8.RuneCountInString(text) > shownLength {
		text = string([]rune(text)[:shownLength]) + "..."
	}
	return fmt.Sprintf("%q", text)
}

// show words a value for the end of "it is ...".
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return Quote(v)
	case bool:
		return fmt.Sprint(v)
	case json.Number:
		return strings.Trim(Quote(string(v)), `"`)
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%v", v)
}

// subject names a value as people do: "timeout.cell", "assets[0].id".
func subject(path []string) string {
	if len(path) == 0 {
		return "the file"
	}
	var b strings.Builder
	for i, part := range path {
		switch {
		case part != "" && strings.Trim(part, "0123456789") == "":
			fmt.Fprintf(&b, "[%s]", part)
		case i > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return Quote(b.String())
}

// plainName drops what people vary in names: case, dashes, underscores, blanks.
func plainName(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(name))
}

// closest returns the known name that was probably meant, or "".
func closest(name string, known map[string]map[string]any) string {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	return Closest(name, names)
}

// Closest returns the one of names that was probably meant by a misspelt name, or
// "" where none is near: at most one edit in four characters, case and the marks
// - and _ not counted.
func Closest(name string, names []string) string {
	if len(name) > shownLength {
		return ""
	}
	names = slices.Sorted(slices.Values(names))
	plain := plainName(name)
	best, bestDistance := "", max(1, len(plain)/4)+1
	for _, candidate := range names {
		if d := distance(plain, plainName(candidate)); d < bestDistance && d < len(candidate) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance counts the edits (insert, drop, replace, swap neighbours) between two words.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var before []int
	last := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(row[j]+1, last[j+1]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}

package notebook

import (
	"slices"
	"strings"
	"unicode"
)

// The markers of a code cell, as documented: on its first line.
const (
	markNoExecute   = "#NoExecute"
	markEnvironment = "#Environment"
)

// Executed reports whether nbpress executes the cell: it is a code cell with code in
// it that is not to be skipped.
func (c *Cell) Executed() bool {
	return c.Type == "code" && strings.TrimSpace(c.Source) != "" && !c.Skipped()
}

// Skipped reports whether nbpress leaves the cell out: it is a code cell whose
// first line is #NoExecute, in any case and with blanks after the # and at the
// end, or that has the tag noexecute or (nbclient's) skip-execution.
func (c *Cell) Skipped() bool {
	return c.Type == "code" && (hasMarker(c.Source, markNoExecute) || c.HasTag("noexecute") || c.HasTag("skip-execution"))
}

// Environment reports whether $NAMEs are filled in in the cell: it is a code
// cell whose first line is #Environment (see Skipped for the spelling), or that
// has the tag environment.
func (c *Cell) Environment() bool {
	return c.Type == "code" && (hasMarker(c.Source, markEnvironment) || c.HasTag("environment"))
}

// HasTag reports whether the cell's metadata lists the tag, spelled exactly so.
func (c *Cell) HasTag(name string) bool {
	switch tags := c.Metadata["tags"].(type) {
	case []any:
		return slices.Contains(tags, any(name))
	case []string:
		return slices.Contains(tags, name)
	}
	return false
}

func hasMarker(source, marker string) bool {
	line, _, _ := strings.Cut(source, "\n")
	comment, ok := strings.CutPrefix(line, "#")
	return ok && strings.EqualFold(strings.TrimSpace(comment), marker[1:])
}

// NearMiss reports a comment at the top of a code cell that was probably meant
// as a marker and is none: found as it stands in the source, meant as it should
// be. It is one that reads like a marker but for punctuation, blanks or place
// (#No-Execute, #Environment:, a marker below blank lines), one word that is two
// letters from a marker or fewer, a common other name for one, or a text that
// begins with NoExecute, which no sentence does. All else is prose.
func NearMiss(source string) (found, meant string, ok bool) {
	if hasMarker(source, markNoExecute) || hasMarker(source, markEnvironment) {
		return "", "", false
	}
	line, _, _ := strings.Cut(strings.TrimSpace(source), "\n")
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "#") || len(line) > 200 {
		return "", "", false
	}
	words := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if len(words) > 0 && words[0] == "noexecute" {
		return line, markNoExecute, true
	}
	if len(words) == 0 || len(words) > 3 || punctuation(line) > 3 {
		return "", "", false
	}
	word := strings.Join(words, "")
	allowed := 2
	switch {
	case words[0] == "no" && len(words) > 1: // "# no excute"
		allowed = 1
	case len(words) > 1: // "# now execute" and "# my environment" are prose
		allowed = 0
	}
	switch {
	case slices.Contains([]string{"noexec", "noexecution", "donotexecute", "dontexecute", "skipexecution"}, word),
		strings.HasPrefix(word, "n") && distance(word, "noexecute") <= allowed: // n: "# Execute" is prose
		return line, markNoExecute, true
	case word == "environ", distance(word, "environment") <= allowed:
		return line, markEnvironment, true
	}
	return "", "", false
}

// punctuation counts what is neither letter, digit nor blank.
func punctuation(s string) int {
	count := 0
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) {
			count++
		}
	}
	return count
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to turn a into b.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

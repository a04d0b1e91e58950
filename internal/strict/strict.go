// Package strict reads JSON and YAML that people write by hand. It refuses what
// encoding/json and yaml.v3 let through (unknown, duplicate and wrongly-cased
// keys, trailing data, aliases) and reports every mistake of a file at once, each
// with its line and column and with what to do about it.
//
// Life cycle: Compile makes a Schema of a JSON Schema's text once; ParseJSON or
// ParseYAML turns a file into a Document; Document.Into checks it against the
// schema and fills a struct. The Document stays useful afterwards: it knows where
// each value stands, so that the caller's own rules are reported in the same way.
// JSON and YAML do it all in one call.
//
// Guarantees: no input makes a function of this package panic, recurse without
// bound or take longer than about a second: a file has at most MaxSize bytes and
// MaxDepth levels, and about a hundred problems are listed. Nothing is kept between
// calls.
package strict

import (
	"cmp"
	"fmt"
	"slices"
)

// MaxSize is the number of bytes that a file may have.
const MaxSize = 1 << 20

// MaxDepth is how many lists and objects may be nested.
const MaxDepth = 64

// Problem is one mistake in a file, for the person who wrote the file.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line"`         // from 1
	Column int    `json:"column"`       // from 1, in characters
	What   string `json:"what"`         // what is wrong, without a full stop
	Do     string `json:"do,omitempty"` // what to do about it; "" where What says enough
}

// String returns "file:line:column: what; what to do".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.What)
	if p.Do != "" {
		s += "; " + p.Do
	}
	return s
}

// Sort orders problems as a reader goes through the files, and drops repetitions.
func Sort(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.What, b.What),
		)
	})
	return slices.Compact(problems)
}

// maxProblems is how many problems are worth a reader's time, and ours.
const maxProblems = 100

// Limit sorts problems and keeps the first hundred; that there are more becomes a
// problem of its own, at the top of file.
func Limit(problems []Problem, file string) []Problem {
	problems = Sort(problems)
	if len(problems) <= maxProblems {
		return problems
	}
	return withMore(problems[:maxProblems], Position{file, 1, 1}, len(problems)-maxProblems)
}

// withMore says how many problems were left out.
func withMore(problems []Problem, at Position, dropped int) []Problem {
	if dropped == 0 {
		return problems
	}
	return append(problems, at.Problem(fmt.Sprintf("%d more mistakes are not listed", dropped), "mend the others first"))
}

// Position is a place in a file.
type Position struct {
	File         string
	Line, Column int // from 1
}

// Problem returns a problem at this place.
func (p Position) Problem(what, do string) Problem {
	return Problem{File: p.File, Line: p.Line, Column: p.Column, What: what, Do: do}
}

// JSON parses a file and checks and decodes it: ParseJSON, then Document.Into.
func JSON(file string, data []byte, schema *Schema, into any) []Problem {
	doc, problems := ParseJSON(file, data)
	return Sort(append(problems, doc.Into(schema, into)...))
}

// YAML is JSON for YAML. The target's fields carry json tags, not yaml ones.
func YAML(file string, data []byte, schema *Schema, into any) []Problem {
	doc, problems := ParseYAML(file, data)
	return Sort(append(problems, doc.Into(schema, into)...))
}

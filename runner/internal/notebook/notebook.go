// Package notebook reads, marks, fills in and writes Jupyter notebooks
// (nbformat 4).
//
// Life cycle: Parse reads a file, Cell's methods tell which cells run and which
// are environment cells, Substitute fills the values in, the caller stores
// outputs in the cells, Encode writes the file again.
//
// Guarantees: Parse takes any bytes without a panic and with bounded memory. A
// notebook that is read and written loses no key, also none that nbpress does
// not know, and is byte for byte what Jupyter's own nbformat would write.
// Substitute never lets a value leave the Python string literal it stands in.
// Nothing here does I/O or keeps state between calls.
package notebook

import (
	"fmt"
	"slices"
)

// Notebook is a document of nbformat 4.
type Notebook struct {
	Cells         []*Cell
	Metadata      map[string]any
	NBFormat      int            // always 4
	NBFormatMinor int            // at least 5: older notebooks are lifted to 4.5
	Extra         map[string]any // keys that nbformat does not know
}

// Cell is one cell. Source and outputs hold whole strings; the file's lists of
// lines are joined when read and split again when written.
type Cell struct {
	ID             string
	Type           string // code, markdown or raw
	Source         string
	Metadata       map[string]any
	ExecutionCount *int     // code cells only; nil: not executed
	Outputs        []Output // code cells only
	Attachments    map[string]any
	Extra          map[string]any // keys that nbformat does not know

	places []place // of the source's strings in the file, in their order
}

// Output is one output of a code cell as nbformat stores it: a stream, display
// data, an execute result or an error. See
// https://nbformat.readthedocs.io/en/latest/format_description.html#code-cell-outputs.
type Output struct {
	Type           string         // stream, display_data, execute_result or error
	Name           string         // stream: stdout or stderr
	Text           string         // stream
	Data           JSON           // display_data, execute_result: MIME bundle
	Metadata       JSON           // display_data, execute_result
	ExecutionCount *int           // execute_result
	EName          string         // error
	EValue         string         // error
	Traceback      []string       // error; ANSI colours kept
	Extra          map[string]any // keys that nbformat does not know
}

// place is where one string of a cell's source begins in the file.
type place struct {
	source       int32 // the source line (1-based) that begins in this string
	line, column int32 // of the opening quote
}

// SyntaxError says where and why a file is no notebook that nbpress can run.
type SyntaxError struct {
	Line, Column int    // in the file, 1-based; columns count characters
	Msg          string // what is wrong and what to do
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Msg)
}

// Position returns where a line of a cell's source stands in the file that the
// notebook was parsed from: the line, and the column at which the JSON string
// with it opens. Cell is an index into Cells; all else counts from 1. Where the
// whole source is one JSON string, that string's position is all there is.
// Position returns 0, 0 for a cell that came from no file.
func (nb *Notebook) Position(cell, line int) (fileLine, fileColumn int) {
	if cell < 0 || cell >= len(nb.Cells) || len(nb.Cells[cell].places) == 0 {
		return 0, 0
	}
	places := nb.Cells[cell].places
	i, found := slices.BinarySearchFunc(places, line, func(p place, line int) int { return int(p.source) - line })
	if !found && i > 0 {
		i--
	}
	return int(places[i].line), int(places[i].column)
}

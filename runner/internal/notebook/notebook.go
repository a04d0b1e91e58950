// Package notebook reads, changes and writes Jupyter notebooks (nbformat 4).
package notebook

// Notebook is a document of nbformat 4. Fields that nbpress does not know are
// kept, so that a notebook that is read and written again loses nothing.
type Notebook struct {
	Cells         []*Cell
	Metadata      map[string]any
	NBFormat      int
	NBFormatMinor int
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
}

// Output is one output of a code cell as nbformat stores it: a stream, display
// data, an execute result or an error. See
// https://nbformat.readthedocs.io/en/latest/format_description.html#code-cell-outputs.
type Output struct {
	Type           string         // stream, display_data, execute_result or error
	Name           string         // stream: stdout or stderr
	Text           string         // stream
	Data           map[string]any // display_data, execute_result: MIME bundle
	Metadata       map[string]any // display_data, execute_result
	ExecutionCount *int           // execute_result
	EName          string         // error
	EValue         string         // error
	Traceback      []string       // error; ANSI colours kept
}

package strict

// Document is a parsed file that knows where each of its values stands.
type Document struct{}

// ParseJSON parses a JSON file.
func ParseJSON(file string, data []byte) (*Document, []Problem) { return nil, nil }

// ParseYAML parses a YAML file.
func ParseYAML(file string, data []byte) (*Document, []Problem) { return nil, nil }

// Into checks a document against a schema and fills into.
func (d *Document) Into(schema *Schema, into any) []Problem { return nil }

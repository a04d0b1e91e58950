package strict

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema struct{}

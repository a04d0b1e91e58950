package report

import (
	_ "embed"
	"slices"
	"sync"

	"nbpress/internal/strict"
)

//go:embed config.schema.json
var configSchemaText []byte

//go:embed nbpress.schema.json
var defaultsSchemaText []byte

// Schema returns the JSON Schema (draft 2020-12) of config.json, for editors.
func Schema() []byte { return slices.Clone(configSchemaText) }

// DefaultsSchema returns the JSON Schema of nbpress.json. It refers to that of config.json.
func DefaultsSchema() []byte { return slices.Clone(defaultsSchemaText) }

// The schemas are part of the program: compiled once, never changed.
var (
	configSchema   = sync.OnceValue(func() *strict.Schema { return mustCompile(configSchemaText) })
	defaultsSchema = sync.OnceValue(func() *strict.Schema { return mustCompile(defaultsSchemaText, configSchemaText) })
)

func mustCompile(text []byte, more ...[]byte) *strict.Schema {
	schema, err := strict.Compile(text, more...)
	if err != nil {
		panic("report: an embedded schema is wrong: " + err.Error())
	}
	return schema
}

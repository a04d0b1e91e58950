package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nbpress/runner/report"
	"nbpress/runner/request"
)

func schemaCommand(std streams) *cobra.Command {
	schemas := map[string][]byte{
		report.ConfigFile: report.Schema(), report.DefaultsFile: report.DefaultsSchema(), "nbpress.yaml": agentSchema,
		"request.yaml": request.Schema(),
	}
	names := strings.Join(slices.Sorted(maps.Keys(schemas)), ", ")
	return &cobra.Command{
		Use:   "schema [FILE]",
		Short: "Print the JSON Schema of config.json, or of another file",
		Long: `Print the JSON Schema that nbpress itself checks a file with: config.json (the default),
nbpress.json, nbpress.yaml, or request.yaml for any request. Editors complete and check with it: name it in "$schema".`,
		Example: `  nbpress schema > config.schema.json
  nbpress schema nbpress.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := report.ConfigFile
			if len(args) > 0 {
				name = args[0]
			}
			schema, ok := schemas[name]
			if !ok {
				return wrongUse(fmt.Errorf("there is no schema of %q; there is one of %s", name, names))
			}
			_, err := std.out.Write(schema)
			return err
		},
	}
}

package kernelspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"nbpress/internal/strict"
)

// Spec is an installed kernel: what its kernel.json says.
type Spec struct {
	Name        string // as it is asked for, in lower case
	Dir         string // its folder
	Argv        []string
	Env         map[string]string
	DisplayName string
	Language    string
	Interrupt   InterruptMode

	environment Environment
}

// InterruptMode says how a kernel wants to be interrupted.
type InterruptMode string

// The interrupt modes.
const (
	BySignal  InterruptMode = "signal"  // SIGINT to its process group
	ByMessage InterruptMode = "message" // interrupt_request on the control channel
)

// schema is what Jupyter takes, as far as a kernel can be started by it.
var schema = sync.OnceValues(func() (*strict.Schema, error) {
	return strict.Compile([]byte(`{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$id": "https://nbpress.dev/kernel.schema.json",
		"type": "object",
		"properties": {
			"argv": {"type": "array", "items": {"type": "string"}, "x-must-be": "a list of strings: the program and its arguments"},
			"env": {"type": "object", "additionalProperties": {"type": "string"}},
			"name": {"type": "string"},
			"mimetype": {"type": "string"},
			"display_name": {"type": "string"},
			"language": {"type": "string"},
			"kernel_protocol_version": {"type": "string"},
			"interrupt_mode": {"type": "string", "pattern": "^(?i:signal|message)$", "x-must-be": "signal or message"},
			"resource_dir": false,
			"metadata": {
				"type": "object",
				"properties": {"kernel_provisioner": {"type": "object", "properties": {"provisioner_name": {"type": "string"}}}}
			}
		}
	}`))
})

// readSpec reads the kernel.json of a folder.
func readSpec(name, dir string, e Environment) (Spec, error) {
	s := Spec{Name: name, Dir: dir, Interrupt: BySignal, environment: e}
	path := filepath.Join(dir, "kernel.json")
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	rules, err := schema()
	if err != nil {
		return s, err
	}
	document, problems := strict.ParseJSON(path, data)
	fields := map[string]json.RawMessage{} // encoding/json takes "Argv" for argv in a struct
	if problems = append(problems, document.Into(rules, &fields)...); len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = errors.New(p.String())
		}
		return s, errors.Join(errs...)
	}
	var mode string
	var metadata struct {
		Provisioner struct {
			Name string `json:"provisioner_name"`
		} `json:"kernel_provisioner"`
	}
	for key, into := range map[string]any{
		"argv": &s.Argv, "env": &s.Env, "display_name": &s.DisplayName, "language": &s.Language,
		"interrupt_mode": &mode, "metadata": &metadata,
	} {
		if raw, ok := fields[key]; ok {
			err = errors.Join(err, json.Unmarshal(raw, into))
		}
	}
	if mode != "" {
		s.Interrupt = InterruptMode(strings.ToLower(mode))
	}
	if by := metadata.Provisioner.Name; by != "" && by != "local-provisioner" {
		err = errors.Join(err, errors.New(document.At("/metadata/kernel_provisioner/provisioner_name").Problem(
			fmt.Sprintf("the kernel is started by the provisioner %s, not on this machine", strict.Quote(by)),
			"start the notebook through Jupyter, or choose another kernel").String()))
	}
	return s, err
}

var template = regexp.MustCompile(`\{([A-Za-z0-9_]+)\}`)

// Command returns the program that starts the kernel, and its arguments, for a user's home
// folder.
func (s Spec) Command(connectionFile, home string) []string {
	values := map[string]string{"{connection_file}": connectionFile, "{resource_dir}": s.Dir}
	if s.environment.Prefix != "" {
		values["{prefix}"] = s.environment.Prefix
	}
	argv := slices.Clone(s.Argv)
	if len(argv) > 0 && s.environment.interprets(argv[0]) {
		argv[0] = s.environment.Python
	}
	for i, arg := range argv {
		arg = template.ReplaceAllStringFunc(arg, func(name string) string {
			if value, ok := values[name]; ok {
				return value
			}
			return name
		})
		argv[i] = expandHome(arg, home)
	}
	return argv
}

var variable = regexp.MustCompile(`\$(?:\$|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})`)

// Environ returns the environment of the kernel's process, made of ours.
func (s Spec) Environ(environ []string) []string {
	values := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		_, replaced := s.Env[name]
		return replaced || name == "PYTHONEXECUTABLE" && strings.HasPrefix(strings.ToLower(s.Language), "python")
	})
	for name, value := range s.Env {
		filled := variable.ReplaceAllStringFunc(value, func(reference string) string {
			name := strings.Trim(reference, "${}")
			if name == "" {
				return "$" // "$$"
			}
			if value, ok := values[name]; ok {
				return value
			}
			return reference
		})
		environ = append(environ, name+"="+filled)
	}
	return environ
}

// IPython returns the interpreter of a kernel that is nothing but ipykernel, started as
// ipykernel's own kernel.json does it: without settings that another way to start it
// would lose.
func (s Spec) IPython() (python string, ok bool) {
	argv := s.Command("{connection_file}", "~")
	if len(argv) > 1 && argv[1] == "-Xfrozen_modules=off" { // for debuggers
		argv = slices.Delete(argv, 1, 2)
	}
	if len(argv) != 5 || len(s.Env) > 0 || argv[1] != "-m" || argv[3] != "-f" || argv[4] != "{connection_file}" {
		return "", false
	}
	return argv[0], argv[2] == "ipykernel_launcher" || argv[2] == "ipykernel"
}

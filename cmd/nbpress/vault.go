package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/report"
)

// This file holds what the operator grants reports: secrets, and variables that are none.

// Where a secret can be.
const (
	fromEnv        = "env"
	fromFile       = "file"
	fromKubernetes = "kubernetes"
)

// secretConfig is one of the secrets of nbpress.yaml: where it is, and who may have it.
type secretConfig struct {
	From    string    `json:"from"`
	Name    string    `json:"name"` // of an environment variable of the agent's; "": the secret's own
	Path    string    `json:"path"`
	Secret  string    `json:"secret"` // an object in the pods' namespace
	Key     string    `json:"key"`
	Reports reportSet `json:"reports"`
}

// envConfig is a variable of nbpress.yaml that notebooks get.
type envConfig struct {
	Value   string    `json:"value"`
	Reports reportSet `json:"reports"`
}

// reportSet are names of reports, and patterns of path.Match.
type reportSet []string

func (s reportSet) has(report string) bool {
	return slices.ContainsFunc(s, func(pattern string) bool {
		ok, err := path.Match(pattern, report)
		return ok && err == nil
	})
}

// grantProblems are the mistakes in what is granted that a schema cannot see.
func (c *config) grantProblems(doc *strict.Document) []strict.Problem {
	var problems []strict.Problem
	wrong := func(at strict.Position, what, do string) { problems = append(problems, at.Problem(what, do)) }
	belongs := map[string]string{"name": fromEnv, "path": fromFile, "secret": fromKubernetes, "key": fromKubernetes}
	for name, s := range c.Secrets {
		at := strict.Pointer("secrets", name)
		for key, from := range belongs {
			given := !doc.Lacks(at + "/" + key)
			switch {
			case s.From == "": // the schema says so
			case given && from != s.From:
				wrong(doc.AtKey(at+"/"+key), fmt.Sprintf(`%q is for "from: %s", and %s is from %s`, key, from, name, s.From), "remove it")
			case !given && from == s.From && from != fromEnv:
				wrong(doc.AtKey(at), fmt.Sprintf("%s is from %s, and %q is missing", name, s.From, key), s.example(key))
			}
		}
		if s.From == fromKubernetes && doc.Lacks("/executor/kubernetes") {
			wrong(doc.At(at+"/from"), name+" is from kubernetes, and the agent's engine is not", `add "kubernetes" to "executor", or take the secret from env or file`)
		}
		if !doc.Lacks(strict.Pointer("env", name)) {
			wrong(doc.AtKey(at), fmt.Sprintf(`%s stands in "env" as well`, name), "keep one of them")
		}
		problems = append(problems, s.Reports.problems(doc, at)...)
	}
	for name, e := range c.Env {
		problems = append(problems, e.Reports.problems(doc, strict.Pointer("env", name))...)
	}
	return problems
}

func (s secretConfig) example(key string) string {
	switch key {
	case "path":
		return `add "path" with the file that holds it`
	case "secret":
		return `add "secret" with the name of a Secret in the pods' namespace`
	}
	return `add "key" with the key of the Secret's data`
}

func (s reportSet) problems(doc *strict.Document, at string) []strict.Problem {
	var problems []strict.Problem
	for i, pattern := range s {
		if _, err := path.Match(pattern, ""); err != nil || strings.Contains(pattern, "**") {
			problems = append(problems, doc.At(at+strict.Pointer("reports", i)).Problem(
				fmt.Sprintf("%q is no pattern of reports", pattern), `write a report's name, or a pattern such as "energy/*"; * does not cross folders`))
		}
	}
	return problems
}

// env returns the variables that the operator gives a report.
func (c config) env(report string) map[string]string {
	env := map[string]string{}
	for name, e := range c.Env {
		if e.Reports.has(report) {
			env[name] = e.Value
		}
	}
	return env
}

// secretReader reads Secrets of a cluster. The error is fs.ErrNotExist where there is no
// such Secret or key, and fs.ErrPermission where we may not see it.
type secretReader interface {
	Secret(ctx context.Context, name, key string) (string, error)
}

// vault implements runner.Vault. It keeps no value.
type vault struct {
	secrets map[string]secretConfig
	cluster secretReader // nil: none
	all     bool         // every report may have them
	// ungranted says what a person has to do about a secret that there is not, or not for
	// the report.
	ungranted func(name, report string, known bool) string
}

// newVault returns the vault of nbpress.yaml.
func newVault(c config, cluster secretReader) vault {
	return vault{secrets: c.Secrets, cluster: cluster, ungranted: func(name, report string, known bool) string {
		if !known {
			return fmt.Sprintf(`the operator's nbpress.yaml has no secret %s: there, below "secrets", it needs "from" and "reports" with %s`, name, report)
		}
		return fmt.Sprintf(`the secret %s is not granted to %s: in the operator's nbpress.yaml its "reports" need the name`, name, report)
	}}
}

// Secrets implements runner.Vault.
func (v vault) Secrets(ctx context.Context, report string, names []string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	var missing []string
	for _, name := range names {
		s, known := v.secrets[name]
		if !known || !v.all && !s.Reports.has(report) {
			missing = append(missing, v.ungranted(name, report, known))
			continue
		}
		value, err := v.read(ctx, name, s)
		var gone *missingSecret
		if errors.As(err, &gone) {
			missing = append(missing, fmt.Sprintf("the secret %s is not there: %s", name, gone.why))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		values[name] = value
	}
	if len(missing) > 0 {
		return nil, &runner.Failure{Code: runner.SecretMissing, Message: strings.Join(missing, "; ")}
	}
	return values, nil
}

// missingSecret says why a secret is not where it should be. It will not be there the next
// moment either.
type missingSecret struct{ why string }

func (e *missingSecret) Error() string { return e.why }

// read reads a secret where it is now.
func (v vault) read(ctx context.Context, name string, s secretConfig) (string, error) {
	switch s.From {
	case fromFile:
		return readSecretFile(s.Path)
	case fromKubernetes:
		value, err := v.cluster.Secret(ctx, s.Secret, s.Key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", &missingSecret{fmt.Sprintf("the namespace of the pods has no Secret %s with the key %s", s.Secret, s.Key)}
		case errors.Is(err, fs.ErrPermission):
			return "", &missingSecret{fmt.Sprintf("the agent may not get the Secret %s: its Role needs it by name", s.Secret)}
		case err == nil && value == "":
			return "", &missingSecret{fmt.Sprintf("the key %s of the Secret %s is empty", s.Key, s.Secret)}
		}
		return withoutLineEnd(value), err
	}
	variable := cmp.Or(s.Name, name)
	value := os.Getenv(variable)
	if value == "" {
		return "", &missingSecret{fmt.Sprintf("the environment that nbpress was started in has no %s", variable)}
	}
	return value, nil
}

// secretLimit is how large a file with a secret may be: what fits into an environment variable
// is less.
const secretLimit = 128 << 10

func readSecretFile(name string) (string, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", &missingSecret{brief(err)}
	case !info.Mode().IsRegular():
		return "", &missingSecret{name + " is no file"}
	}
	file, err := os.Open(name)
	if err != nil {
		return "", &missingSecret{brief(err)}
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, secretLimit+1))
	switch {
	case err != nil:
		return "", &missingSecret{brief(err)}
	case len(data) > secretLimit:
		return "", &missingSecret{fmt.Sprintf("%s has more than %d KiB, which no environment variable can hold", name, secretLimit>>10)}
	}
	if value := withoutLineEnd(string(data)); value != "" {
		return value, nil
	}
	return "", &missingSecret{name + " is empty"}
}

// brief is an error of a file without the name of the system call.
func brief(err error) string {
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		return failed.Path + ": " + failed.Err.Error()
	}
	return err.Error()
}

// withoutLineEnd is a value without the one line end that editors and echo add.
func withoutLineEnd(value string) string {
	return strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
}

const secretUsage = "a secret for the notebook: NAME takes the environment variable of that name, NAME=file:PATH a file (may be repeated)"

// flagVault returns the vault of --secret flags. Their values need not be there.
func flagVault(flags []string) (vault, error) {
	v := vault{secrets: map[string]secretConfig{}, all: true, ungranted: func(name, _ string, _ bool) string {
		return fmt.Sprintf("config.json asks for the secret %s: give it with --secret %s, which takes the environment variable, or with --secret %s=file:PATH", name, name, name)
	}}
	for _, flag := range flags {
		name, source, given := strings.Cut(flag, "=")
		s := secretConfig{From: fromEnv}
		if given {
			file, ok := strings.CutPrefix(source, "file:")
			if !ok || file == "" {
				return v, fmt.Errorf("--secret %s=...: write NAME, or NAME=file:PATH; a value itself would stand in the shell's history", name)
			}
			s.From, s.Path = fromFile, file
		}
		if name == "" {
			return v, errors.New("--secret: write NAME, or NAME=file:PATH")
		}
		if _, twice := v.secrets[name]; twice {
			return v, fmt.Errorf("--secret %s is given twice", name)
		}
		v.secrets[name] = s
	}
	return v, nil
}

// checkNamed says which secrets were given that a bundle does not ask for.
func (v vault) checkNamed(bundle *report.Bundle) error {
	for _, name := range slices.Sorted(maps.Keys(v.secrets)) {
		if !slices.Contains(bundle.Config.Secrets, name) {
			return fmt.Errorf(`--secret %s: %s does not ask for it; name it in "secrets" of its config.json`, name, bundle.Name)
		}
	}
	return nil
}

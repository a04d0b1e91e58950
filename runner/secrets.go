package runner

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/redact"
)

// This file gets the secrets of an attempt, and keeps them out of what it leaves.

// Vault has the secrets that reports are granted.
type Vault interface {
	// Secrets returns the values of secrets for an attempt of a report. They are as they
	// are now, and are forgotten when the attempt ends. The error is a *Failure with the
	// code secret_missing where one of them is not granted, or not there; any other is
	// infrastructure's. It holds no value.
	Secrets(ctx context.Context, report string, names []string) (map[string]string, error)
}

// Secrets are the values of environment variables that must not be seen. However they
// are printed or logged, their names are all that shows.
type Secrets map[string]string

// String lists the names.
func (s Secrets) String() string {
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	return "secrets " + strings.Join(names, ", ")
}

// GoString is String, for %#v.
func (s Secrets) GoString() string { return s.String() }

// LogValue is String, for logs.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for encoders.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// vaultTimeout is how long getting the secrets of an attempt may take.
const vaultTimeout = 30 * time.Second

// unlock gets the secrets that a report names.
func (p *press) unlock(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if p.job.Vault == nil {
		return &Failure{Code: SecretMissing, Message: "config.json asks for " + strings.Join(names, ", ") + ", and there are no secrets here"}
	}
	ctx, cancel := context.WithTimeout(ctx, vaultTimeout)
	defer cancel()
	values, err := p.job.Vault.Secrets(ctx, p.job.Report, names)
	if err != nil {
		return fmt.Errorf("get the secrets: %w", err)
	}
	for _, name := range names {
		if values[name] == "" {
			return &Failure{Code: SecretMissing, Message: fmt.Sprintf("the secret %s is empty", name)}
		}
		p.hiding = append(p.hiding, redact.Secret{Name: name, Value: values[name]})
	}
	p.secrets = values
	return p.hide()
}

// hide adds to what nothing that the attempt leaves may hold. What cannot be protected is
// secret_missing, and what was known before stays so.
func (p *press) hide(more ...redact.Secret) error {
	p.hiding = append(p.hiding, more...)
	hidden, err := redact.New(p.hiding...)
	if err != nil {
		return &Failure{Code: SecretMissing, Message: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	p.hidden = hidden
	return nil
}

// leaked is the failure of an attempt that hands over the value of a secret.
func leaked(where, secret string) *Failure {
	return &Failure{Code: SecretLeaked, Message: fmt.Sprintf("%s holds the value of the secret %s", where, secret)}
}

// redacted returns texts without values of secrets.
func (p *press) redacted(texts []string) []string {
	safe := slices.Clone(texts)
	for i := range safe {
		safe[i] = p.hidden.String(clean(safe[i]))
	}
	return safe
}

// redact returns the failure without values of secrets, while its texts are whole.
func (f *Failure) redact(hidden *redact.Redactor) *Failure {
	safe := *f
	safe.Message, safe.Traceback = hidden.String(clean(f.Message)), hidden.String(clean(f.Traceback))
	return &safe
}

// hideStreams redacts what a cell, or an output widget, printed, where it is one text for
// whoever reads it and several outputs here, because the other stream came between.
func hideStreams(cell *notebook.Cell, hidden *redact.Redactor) {
	if hidden == nil {
		return
	}
	for _, name := range []string{"stdout", "stderr"} {
		var texts []string
		var of []*notebook.Output
		for i := range cell.Outputs {
			if o := &cell.Outputs[i]; o.Type == "stream" && o.Name == name {
				texts, of = append(texts, o.Text), append(of, o)
			}
		}
		if len(texts) < 2 {
			continue
		}
		for i, text := range hidden.Pieces(texts) {
			of[i].Text = text
		}
	}
}

// hideEnds redacts what of a value a log begins with because what was before it is not
// kept, at its start or behind the line that says so, and what it ends with because the
// process died while it wrote.
func hideEnds(log []byte, hidden *redact.Redactor) []byte {
	log = hidden.Ended(log)
	if first := bytes.IndexByte(log, '\n') + 1; first > 0 && bytes.HasPrefix(log, []byte("[nbpress: ")) {
		log = slices.Concat(log[:first], hidden.Ended(log[first:]))
	}
	return []byte(hidden.Begun(string(log)))
}

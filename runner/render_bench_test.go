package runner_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nbpress/internal/testenv"
	"nbpress/runner"
	"nbpress/runner/local"
)

const benchTemplate = `<!DOCTYPE html>
<html lang="{{ language }}"><head><title>{{ title }}</title></head><body>
{% macro change(now, before) %}{% if now > before %}<b>+{{ "%.1f"|format(now - before) }}</b>{% else %}{{ "%.1f"|format(now - before) }}{% endif %}{% endmacro %}
<h1>{{ _("Energy report") }}</h1>
<table><tr><th>{{ _("Day") }}</th><th>kWh</th><th>{{ _("Change") }}</th><th>{{ _("Cost") }}</th></tr>
{% for row in rows %}<tr class="{{ loop.cycle("odd", "even") }}"><td>{{ row.name }}</td><td>{{ row.kwh }}</td><td>{{ change(row.kwh, row.before) }}</td><td>{{ row.cost }} €</td></tr>
{% endfor %}</table></body></html>
`

// plainRendering is what an author does at home.
const plainRendering = `
import gettext, json, sys
from jinja2 import Environment, FileSystemLoader, select_autoescape

env = Environment(loader=FileSystemLoader("."), autoescape=select_autoescape(), extensions=["jinja2.ext.i18n"])
env.install_gettext_translations(gettext.translation("messages", "languages", [sys.argv[1]]))
with open("output.json") as f:
    output = json.load(f)
with open("page.html", "w") as f:
    f.write(env.get_template("template.html").render(output, language=sys.argv[1]))
`

// BenchmarkRender renders a page of 1,000 rows: one that plain Jinja2 makes, start of
// Python included, and those of one and of ten languages in a sandbox, where the time is
// that of one language.
func BenchmarkRender(b *testing.B) {
	mo, err := os.ReadFile(filepath.Join(testenv.Root(b), "reports-example", "weekly-energy", "languages", "ca", "LC_MESSAGES", "messages.mo"))
	if err != nil {
		b.Fatal(err)
	}
	var rows []map[string]any
	for i := range 1000 {
		rows = append(rows, map[string]any{"name": fmt.Sprintf("Meter %d & <co>", i), "kwh": float64(i*37%1009) / 8, "before": float64(i*53%1009) / 8, "cost": i % 97})
	}
	output, err := json.Marshal(map[string]any{"title": "A thousand meters", "rows": rows})
	if err != nil {
		b.Fatal(err)
	}
	bundle := bundleOf("plant-1")
	bundle.Config.Languages = nil
	bundle.Files["template.html"] = []byte(benchTemplate)
	for i := range 10 {
		language := fmt.Sprintf("l%d", i)
		bundle.Config.Languages = append(bundle.Config.Languages, language)
		bundle.Files["languages/"+language+"/LC_MESSAGES/messages.mo"] = mo
	}
	plain := renderPlainly(b, bundle.Files, output)
	b.Run("plain_jinja2", func(b *testing.B) {
		for b.Loop() {
			plain(b)
		}
	})
	executor, err := local.New(b.Context(), local.Options{
		Python: testenv.Python(b), Dir: b.TempDir(), Init: []string{"/proc/self/exe", "sandbox-init"}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, languages := range map[string]int{"one_language": 1, "ten_languages": 10} {
		job := jobOf(bundle)
		job.Languages = bundle.Config.Languages[:languages]
		b.Run(name, func(b *testing.B) {
			sandbox, err := executor.Start(b.Context(), runner.Spec{Run: job.Run})
			if err != nil {
				b.Fatal(err)
			}
			defer sandbox.Close(b.Context())
			want := plain(b)
			for b.Loop() {
				outcome, err := runner.Render(b.Context(), sandbox, job, runner.Outputs{"": output})
				if err != nil || outcome.Failure != nil {
					b.Fatal(err, outcome.Failure)
				}
				if got := string(outcome.Pages["l0"]); got != want || len(outcome.Pages) != languages {
					b.Fatalf("%d pages, not the one that Jinja2 makes, %d and %d bytes", len(outcome.Pages), len(got), len(want))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*languages), "ns/op")
		})
	}
}

// renderPlainly returns what renders the page of the first language in a Python of its own.
func renderPlainly(b *testing.B, files map[string][]byte, output []byte) func(b *testing.B) string {
	folder := b.TempDir()
	for name, data := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "output.json"), output, 0o644); err != nil {
		b.Fatal(err)
	}
	return func(b *testing.B) string {
		cmd := exec.Command(testenv.Python(b), "-I", "-c", plainRendering, "l0")
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		page, err := os.ReadFile(filepath.Join(folder, "page.html"))
		if err != nil {
			b.Fatal(err)
		}
		return string(page)
	}
}

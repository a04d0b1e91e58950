package render

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

// interpreter renders in a plain child process: what a sandbox adds is tested there.
type interpreter struct {
	python, dir string
}

func newInterpreter(t *testing.T) interpreter {
	return interpreter{testenv.Python(t), t.TempDir()}
}

func (i interpreter) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	script := filepath.Join(i.dir, "render.py")
	if err := os.WriteFile(script, Script(), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, i.python, "-I", script)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = i.dir, stdin, stdout, stderr
	return cmd.Run()
}

// request asks for one page of one template.
func request(template, output string) Request {
	return Request{
		Template: "template.html", Files: map[string][]byte{"template.html": []byte(template)},
		Executions: []Execution{{Output: []byte(output), Languages: []string{"en"}}},
	}
}

func TestPages_AreWhatJinja2Makes(t *testing.T) {
	for _, tt := range []struct{ name, template, output, want string }{
		{"keeps the order of keys", `{% for k, v in env.items() %}{{ k }}={{ v }};{% endfor %}`, `{"env": {"z": 1, "a": 2}}`, "z=1;a=2;"},
		{"escapes", `{{ s }}`, `{"s": "<b>'\"&"}`, "&lt;b&gt;&#39;&#34;&amp;"},
		{"prints numbers as Python", `{{ a }} {{ b }} {{ c }} {{ d }}`, `{"a": 1.0, "b": 1e30, "c": 123456789012345678901234567890, "d": NaN}`, "1.0 1e+30 123456789012345678901234567890 nan"},
		{"drops one trailing newline", "x\n\n", `{}`, "x\n"},
		{"sees the language", `{{ language }}`, `{}`, "en"},
		{"leaves a language of the data alone", `{{ language }}`, `{"language": "Go"}`, "Go"},
		{"lays by_language over", `{{ a }}{{ b }}`, `{"a": 1, "b": 2, "by_language": {"en": {"b": 3}}}`, "13"},
		{"falls back to the message", `{{ _("Title") }}{% trans %} Body{% endtrans %}`, `{}`, "Title Body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Pages(t.Context(), newInterpreter(t), request(tt.template, tt.output))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got.Pages["en"])); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
			if got.Warnings != nil {
				t.Errorf("warnings: %q", got.Warnings)
			}
		})
	}
}

func TestPages_SayWhatIsWrongAndWhere(t *testing.T) {
	for _, tt := range []struct{ name, template, output, code, want string }{
		{"syntax", "one\n{% if %}", `{}`, "template_error", "template.html:2: Expected an expression, got 'end of statement block'"},
		{"unknown filter", "one\n\n{{ 1|nofilter }}", `{}`, "template_error", "template.html:3: No filter named 'nofilter'."},
		{"a raised error", "\n{{ 1 // 0 }}", `{}`, "template_error", "template.html:2: ZeroDivisionError: integer division or modulo by zero"},
		{"a file outside", `{% include "/etc/passwd" %}`, `{}`, "template_error", "template.html:1: TemplateNotFound: '/etc/passwd' is no file of the bundle"},
		{"a file above", `{% include "../render.py" %}`, `{}`, "template_error", "template.html:1: TemplateNotFound: '../render.py' is no file of the bundle"},
		{"an endless macro", `{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`, `{}`, "template_error", "template.html:1: RecursionError: "},
		{"a huge string", `{{ "a" * 100000000000 }}`, `{}`, "template_error", "template.html:1: MemoryError"},
		{"not JSON", `x`, `{`, "output_invalid", "output.json:1: output.json is not JSON: Expecting property name"},
		{"an array", `x`, `[1]`, "output_invalid", "output.json:1: output.json holds an array, not an object"},
		{"deep JSON", `x`, strings.Repeat("[", 100_000), "output_invalid", "output.json: output.json cannot be read: RecursionError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Pages(t.Context(), newInterpreter(t), request(tt.template, tt.output))
			var refused *Error
			if !errors.As(err, &refused) || refused.Code != tt.code || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s %q", err, tt.code, tt.want)
			}
		})
	}
}

func TestPages_WarnOfUndefinedNamesWithTheirPlace(t *testing.T) {
	r := request("{% for k, v in costs|items %}{% endfor %}{{ missing }}\n{{ row.missing }}\n{% if absent %}{% endif %}\n{% include 'part.html' %}", `{"row": {}}`)
	r.Files["part.html"] = []byte("\n{% for x in nothing %}{% endfor %}")
	got, err := Pages(t.Context(), newInterpreter(t), r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"template.html:1: 'costs' is undefined",
		"template.html:1: 'missing' is undefined",
		"template.html:2: 'dict object' has no attribute 'missing'",
		"template.html:3: 'absent' is undefined",
		"part.html:2: 'nothing' is undefined",
	}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	r.Strict = true
	if _, err := Pages(t.Context(), newInterpreter(t), r); err == nil || err.Error() != "template.html:1: UndefinedError: 'costs' is undefined" {
		t.Errorf("strict: got %v", err)
	}
}

func TestPages_EndInTimeAndSayWhere(t *testing.T) {
	for name, tt := range map[string]struct{ template, want string }{
		"an endless loop":              {"\n{% for i in range(10**12) %}{% endfor %}", "template.html:2: rendering took too long"},
		"an endless loop that filters": {"\n{% for i in range(10**12) if i < 0 %}{% endfor %}", "template.html:2: rendering took too long"},
		"an endless loop in a macro":   {"{% macro m() %}\n{% for i in range(10**12) %}{% endfor %}\n{% endmacro %}\n{{ m() }}", "template.html:2: rendering took too long"},
		"an endless loop of Python's":  {"\n\n{{ range(10**12)|sum }}", context.DeadlineExceeded.Error()}, // which heeds no signal
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // of which the start takes some
			defer cancel()
			_, err := Pages(ctx, newInterpreter(t), request(tt.template, `{}`))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			var refused *Error
			if errors.As(err, &refused) && refused.Code != "render_timeout" {
				t.Errorf("the code is %s", refused.Code)
			}
		})
	}
}

func TestPages_CutAPageOverTheLimit(t *testing.T) {
	r := request(`{{ "a" * 30000000 }}`, `{}`)
	r.PageLimit = 1 << 20
	_, err := Pages(t.Context(), newInterpreter(t), r)
	if err == nil || err.Error() != "template.html:1: the pages have more than 1 MiB together" {
		t.Errorf("got %v", err)
	}
}

func TestPages_TheNotebooksModulesChangeNothing(t *testing.T) {
	r := request(`{{ 1 }}`, `{}`)
	for _, name := range []string{"jinja2.py", "json.py", "sitecustomize.py", "gettext.py"} {
		r.Files[name] = []byte("raise SystemExit('owned')")
	}
	got, err := Pages(t.Context(), newInterpreter(t), r)
	if err != nil || string(got.Pages["en"]) != "1" {
		t.Errorf("got %q, %v", got.Pages["en"], err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("{\"language\":\"en\",\"bytes\":2}\nhi{\"done\":true}\n"))
	f.Add([]byte("{\"error\":{\"code\":\"template_error\",\"message\":\"m\"}}\n"))
	f.Add([]byte("{\"language\":\"en\",\"bytes\":99999999}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := decode(data, []string{"en"})
		if err == nil && !bytes.Contains(data, result.Pages["en"]) {
			t.Errorf("the page was not in the answer")
		}
	})
}

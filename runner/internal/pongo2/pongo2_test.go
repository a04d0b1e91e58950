package pongo2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/flosch/pongo2/v6"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"nbpress/internal/catalog"
	"nbpress/runner/internal/render"
	"nbpress/runner/internal/template"
)

// TestMain makes the test binary a renderer, too.
func TestMain(m *testing.M) {
	if os.Getenv("NBPRESS_TEST_SERVE") != "" {
		if err := Serve(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child renders in a process of its own.
type child struct{}

// Render implements render.Renderer.
func (child) Render(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = []string{"NBPRESS_TEST_SERVE=1", "GOTRACEBACK=single", "GORACE=atexit_sleep_ms=0"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	return cmd.Run()
}

func catalogOf(t *testing.T, messages string) []byte {
	t.Helper()
	c, err := catalog.ParsePO([]byte("msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals=3; plural=n==1 ? 0 : n==2 ? 1 : 2;\\n\"\n\n" + messages))
	if err != nil {
		t.Fatal(err)
	}
	return c.MO()
}

func request(t *testing.T, source, output string) render.Request {
	return render.Request{
		Template: "template.html",
		Files: map[string][]byte{
			"template.html": []byte(source), "part.html": []byte("[{{ n }}]"), "loop.html": []byte(`{% include "loop.html" %}`),
			"base.html": []byte("<{% block body %}base{% endblock %}>"), "common/shared.html": []byte("shared"), "secret.txt": []byte("no"),
			"macros.html": []byte(`{% macro hello(x) export %}Hello {{ x }}{% endmacro %}`),
			"languages/ca/LC_MESSAGES/messages.mo": catalogOf(t, "msgid \"Total\"\nmsgstr \"Tot <b>\"\n\nmsgctxt \"month\"\nmsgid \"May\"\nmsgstr \"maig\"\n\n"+
				"msgid \"one\"\nmsgid_plural \"many\"\nmsgstr[0] \"un\"\nmsgstr[1] \"dos\"\nmsgstr[2] \"molts\"\n"),
		},
		Includes:   []string{"common"},
		Executions: []render.Execution{{Output: []byte(output), Languages: []string{"ca_ES"}}},
	}
}

const data = `{"title": "Energy & <water>", "n": 42, "f": 2.5, "big": 123456789012345678901234567890, "none": null, "yes": true,
	"env": {"Z_LAST": "1", "API_KEY": "<i>", "m": {"b": 1, "a": 2}}, "list": [3, 1, 2], "a b": 1, "site": {"name": "x"},
	"by_language": {"ca_ES": {"own": "Català"}}}`

func TestServe_RendersWhatPongo2TemplatesSay(t *testing.T) {
	for source, want := range map[string]string{
		`{{ title }} {{ title|safe }} {{ n }} {{ n|add:1 }} {{ f|floatformat:2 }} {{ big }} {{ yes }}`:                                        "Energy &amp; &lt;water&gt; Energy & <water> 42 43 2.50 123456789012345678901234567890 True",
		`{% for k, v in env %}{{ k }}={{ v }};{% endfor %}`:                                                                                   "Z_LAST=1;API_KEY=&lt;i&gt;;m=<map[string]interface {} Value>;",
		`{% for k, v in env sorted %}{{ k }} {% endfor %}{% for k in env reversed %}{{ k }} {% endfor %}`:                                     "API_KEY Z_LAST m m API_KEY Z_LAST ",
		`{% for x in list sorted %}{{ forloop.Counter }}/{{ forloop.Revcounter0 }}:{{ x }}{% if not forloop.Last %},{% endif %}{% endfor %}`:  "1/2:1,2/1:2,3/0:3",
		`{% for k, v in env %}{% for a, b in v %}{{ forloop.Parentloop.Counter }}{{ a }}{{ b }} {% endfor %}{% endfor %}`:                     "11 2&lt; 2i 2&gt; 3b1 3a2 ",
		`{% for x in none %}x{% empty %}none{% endfor %}{% for c in "ñab" sorted %}{{ c }}.{% endfor %}`:                                      "nonea.b.ñ.",
		`{{ _("Total") }} {{ gettext("Total")|safe }} {{ pgettext("month", "May") }} {{ _("May") }}`:                                          "Tot &lt;b&gt; Tot <b> maig May",
		`{{ ngettext("one", "many", 1) }} {{ ngettext("one", "many", 2) }} {{ ngettext("one", "many", n) }} {{ ngettext("day", "days", n) }}`: "un dos molts days",
		`{{ language }} {{ own }} {{ site.name }}`:                                                                                            "ca_ES Català x",
		`{% extends "base.html" %}{% block body %}child {{ n }} {{ block.Super }}{% endblock %}`:                                              "<child 42 base>",
		`{% include "part.html" %}{% include "shared.html" %}{% include "common/shared.html" %}`:                                              "[42]sharedshared",
		`{% import "macros.html" hello as h %}{{ h("<x>") }}`:                                                                                 "Hello &lt;x&gt;",
		`{% include "nowhere.html" if_exists %}{% autoescape off %}{{ title }}{% endautoescape %}`:                                            "Energy & <water>",
	} {
		got, err := render.Pages(t.Context(), child{}, request(t, source, data))
		if err != nil {
			t.Errorf("%s\n%v", source, err)
			continue
		}
		if diff := cmp.Diff(want, string(got.Pages["ca_ES"])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", source, diff)
		}
		if got.Warnings != nil {
			t.Errorf("%s\nwarnings: %q", source, got.Warnings)
		}
	}
}

func TestServe_RendersAPageTheSameEachTime(t *testing.T) {
	var env strings.Builder
	for i := range 100 {
		fmt.Fprintf(&env, `"k%d": %d,`, i*7919%100, i)
	}
	r := request(t, `{% for k, v in env %}{{ k }}={{ v }};{% endfor %}`, `{"env": {`+strings.TrimSuffix(env.String(), ",")+`}}`)
	first := ""
	for range 3 {
		got, err := render.Pages(t.Context(), child{}, r)
		if err != nil {
			t.Fatal(err)
		}
		if page := string(got.Pages["ca_ES"]); first == "" {
			first = page
		} else if page != first {
			t.Error("the page differs")
		}
	}
	if !strings.HasPrefix(first, "k0=0;k19=1;k38=2;") {
		t.Errorf("got %s", first)
	}
}

func TestServe_SaysWhatIsWrongAndWhere(t *testing.T) {
	for name, tt := range map[string]struct{ source, output, code, want string }{
		"syntax":                   {"one\n{% if %}", data, "template_error", "template.html:2: "},
		"unknown filter":           {"one\n\n{{ n|tojson }}", data, "template_error", "template.html:3: Filter 'tojson' does not exist."},
		"a banned tag":             {`{% ssi "/etc/hostname" %}`, data, "template_error", "template.html:1: "},
		"a file of the machine":    {`{% include "/etc/hostname" %}`, data, "template_error", `template.html:1: "/etc/hostname" is no file of the bundle`},
		"a file above":             {`{% include "../secret.txt" %}`, data, "template_error", `template.html:1: "../secret.txt" is no file of the bundle`},
		"in a loop":                {"\n{% for x in list %}\n{{ x.y.z }}{% endfor %}", data, "template_error", "template.html:3: can't access a field by name on type int"},
		"a template in itself":     {`{% include "loop.html" %}`, data, "template_error", "template.html: it calls or includes itself without end"},
		"a template of itself":     {`{% extends "template.html" %}`, data, "template_error", "template.html: it calls or includes itself without end"},
		"an endless macro":         {`{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`, data, "template_error", "template.html: it calls or includes itself without end"},
		"not JSON":                 {"x", "{\n\"a\": ]", "output_invalid", "output.json:2: output.json is not JSON: invalid character ']'"},
		"NaN":                      {"x", `{"a": NaN}`, "output_invalid", "output.json:1: output.json is not JSON: invalid character 'N' looking for beginning of value (NaN and Infinity are Python's"},
		"an array":                 {"x", "[1]", "output_invalid", "output.json:1: output.json holds no object"},
		"deep":                     {"x", strings.Repeat("[", 100_000), "output_invalid", "output.json"},
		"a page without end":       {`{% for a in list %}{% for b in list %}{{ title|center:900000 }}{% endfor %}{% endfor %}`, data, "template_error", "template.html: the pages have more than 1 MiB together"},
		"memory without end":       {`{% set x = "xxxxxxxxxxxxxxxx" %}{% for c in title %}{% set x = x|add:x|add:x|add:x %}{% endfor %}{{ x|length }}`, data, "template_error", "template.html: the page needs more memory"},
		"one text of all there is": {`{{ "x"|ljust:9000000000 }}`, data, "template_error", "template.html"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, tt.source, tt.output)
			r.PageLimit, r.Memory = 1<<20, 256<<20
			_, err := render.Pages(t.Context(), child{}, r)
			var refused *render.Error
			if !errors.As(err, &refused) || refused.Code != tt.code || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s %q", err, tt.code, tt.want)
			}
		})
	}
}

func TestServe_EndsWithItsContext(t *testing.T) {
	loops := strings.Repeat(`{% for x in list %}`, 30) + strings.Repeat(`{% endfor %}`, 30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := render.Pages(ctx, child{}, request(t, loops, data))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestServe_WarnsOfNamesThatAreNotThere(t *testing.T) {
	r := request(t, "{{ titel }}\n{{ site.nme }} {{ site.name.first }}{% include \"part.html\" %}\n{% if absent %}{{ absent.x }}{% elif missing == 1 %}{% endif %}{{ titel }}", `{"site": {"name": {}}}`)
	got, err := render.Pages(t.Context(), child{}, r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"template.html:1: 'titel' is undefined", "template.html:2: 'site' has no 'nme'", "template.html:2: 'name' has no 'first'",
		"template.html:3: 'missing' is undefined", "template.html:3: 'titel' is undefined", "part.html:1: 'n' is undefined",
	}
	if diff := cmp.Diff(want, got.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	r.Strict = true
	if _, err := render.Pages(t.Context(), child{}, r); err == nil || err.Error() != "template.html:1: UndefinedError: 'titel' is undefined" {
		t.Errorf("strict: got %v", err)
	}
}

// Whatever filter and tag data goes through, it is no markup.
func TestServe_EscapesData(t *testing.T) {
	sources := []string{
		`{% firstof absent s %}`, `{% ifchanged s %}{{ s }}{% endifchanged %}`, `{% with x=s %}{{ x }}{% endwith %}`, `{% set x = s %}{{ x }}`,
		`{% for c in l %}{{ c }}{% endfor %}`, `{% for k, v in o %}{{ k }}{{ v }}{% endfor %}`, `{% macro m(x) %}{{ x }}{% endmacro %}{{ m(s) }}`,
		`{% filter upper %}{{ s }}{% endfilter %}`, `{% spaceless %}{{ s }}{% endspaceless %}`, `{{ _(s) }}`, `{{ s + s }}`,
	}
	for name := range strings.FieldsSeq(template.Pongo2Filters()) {
		if name != "safe" {
			sources = append(sources, "{{ s|"+name+" }}", "{{ s|"+name+":300 }}", "{{ s|"+name+":s }}", "{{ l|"+name+":s }}")
		}
	}
	const markup = "<b>&"
	data := `{"s": "<b>&", "l": ["<b>&"], "o": {"<b>&": "<b>&"}}`
	rendered := 0
	for _, source := range sources {
		r := request(t, source, data)
		page, err := open(r, &keyOrder{})
		if err != nil {
			continue // a filter that takes no argument, or another one
		}
		text, _, err := page(render.Execution{Output: []byte(data)}, "ca", 1<<20)
		if err == nil {
			rendered++
		}
		if strings.Contains(strings.ToLower(string(text)), "<b>") {
			t.Errorf("%s prints %s as %s", source, markup, text)
		}
	}
	if rendered < 60 {
		t.Errorf("only %d of %d templates were rendered", rendered, len(sources))
	}
	for _, source := range []string{"{{ s|truncatechars_html:9 }}", "{{ s|truncatewords_html:9 }}", "{% cycle s s %}", `{% ssi "/etc/passwd" %}`} {
		if _, err := open(request(t, source, data), &keyOrder{}); err == nil {
			t.Errorf("%s is not refused", source)
		}
	}
}

// What template.Parse says of pongo2 is what pongo2 says.
func TestParse_AgreesWithPongo2(t *testing.T) {
	good, err := os.ReadFile("../template/testdata/pongo2_good.html")
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, strings.Replace(string(good), `row, cell as td`, `hello`, 1), data)
	if _, err := open(r, &keyOrder{}); err != nil {
		t.Errorf("template.Parse finds nothing wrong with it; pongo2: %v", err)
	}
	archive, err := txtar.ParseFile("../template/testdata/pongo2.txtar")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range archive.Files {
		source, _, _ := strings.Cut(string(file.Data), "---\n")
		for _, line := range strings.SplitAfter(source, "\n") {
			if !strings.HasPrefix(line, "{{") || !strings.Contains(line, "}}") || template.Parse(line, template.Pongo2).Problems == nil {
				continue
			}
			page, openErr := open(request(t, line, data), &keyOrder{})
			rendered := ""
			if openErr == nil {
				text, _, err := page(render.Execution{Output: []byte(data)}, "ca", 1<<20)
				rendered = string(text)
				openErr = err
			}
			if openErr == nil && strings.TrimSpace(rendered) != "" && !strings.Contains(line, "%.2f") {
				t.Errorf("template.Parse refuses %s, pongo2 renders %q", line, rendered)
			}
			lines++
		}
	}
	if lines < 12 {
		t.Errorf("only %d lines were compared", lines)
	}
	for name := range strings.FieldsSeq(template.Pongo2Filters()) {
		if !pongo2.FilterExists(name) {
			t.Errorf("pongo2 has no filter %s", name)
		}
	}
}

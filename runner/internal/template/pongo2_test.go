package template

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// Each file of testdata/pongo2.txtar is a template, and behind a line "---" what is wrong
// with it in pongo2.
func TestParse_FindsWhatOnlyJinja2Knows(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/pongo2.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.Files {
		source, want, _ := strings.Cut(string(file.Data), "---\n")
		var got strings.Builder
		for _, p := range Parse(source, Pongo2).Problems {
			got.WriteString(p.String() + "\n")
		}
		if got.String() != want {
			t.Errorf("%s: got\n%swant\n%s", file.Name, got.String(), want)
		}
	}
}

func TestParse_TakesWhatPongo2Knows(t *testing.T) {
	source, err := os.ReadFile("testdata/pongo2_good.html")
	if err != nil {
		t.Fatal(err)
	}
	got := Parse(string(source), Pongo2)
	for _, p := range got.Problems {
		t.Error(p)
	}
	if len(got.Messages) != 3 || len(got.Uses) != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestParse_FindsTheNamesOfPongo2sData(t *testing.T) {
	const source = `{% macro row(a, b="x") %}{{ a }}{{ macroless }}{% endmacro %}
{{ title }} {{ site.name.first|default:fallback }} {{ row(cells) }} {{ _("x") }} {{ list.0 }} {{ forloop.Counter }}
{% for key, value in env reversed %}{{ key }}{{ value.x }}{% empty %}{{ none_at_all }}{% endfor %}
{% set z = first %}{{ z }}{% with q=second %}{{ q }}{% endwith %}{% include "p.html" with r=third only %}
{% if a > b and not c %}{{ c.d }}{% elif e.f %}{{ e.f.g }}{{ e.h }}{% endif %}{% block body %}{% endblock body %}{% import "m.html" m as n %}{{ n() }}
{% comment %}{{ hidden|tojson }}{% fro %}{% endcomment %}{% filter upper|lower %}{% endfilter %}{% autoescape off %}{% endautoescape %}`
	got := Parse(source, Pongo2)
	var names []string
	for _, n := range got.Names {
		names = append(names, fmt.Sprintf("%d:%d %s", n.Line, n.Column, strings.Join(n.Path, ".")))
	}
	want := []string{
		"1:36 macroless", "2:4 title", "2:40 fallback", "2:59 cells", "2:85 list",
		"3:22 env", "3:73 none_at_all", "4:12 first", "4:37 second", "4:93 third", "5:62 e.h", // b is a macro's
	}
	if diff := cmp.Diff(want, names); diff != "" || got.Problems != nil {
		t.Errorf("names (-want +got):\n%s%v", diff, got.Problems)
	}
}

package template

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"nbpress/internal/testenv"
)

// oracle is Jinja2 itself.
type oracle struct{ python *testenv.Oracle }

// said is what Jinja2 says of a template.
type said struct {
	Messages []saidMessage
	Uses     []string
	Dynamic  bool
	Error    string
	Line     int
}

type saidMessage struct {
	Line                  int
	Context, Text, Plural string
}

func newOracle(t testing.TB) oracle {
	t.Helper()
	return oracle{testenv.NewOracle(t, "testdata/oracle.py")}
}

func (o oracle) ask(t testing.TB, source string) (answer said) {
	t.Helper()
	o.python.Ask(t, source, &answer)
	return answer
}

// corpus is the templates that rendering is tested with, and some about messages.
func corpus(t testing.TB) map[string]string {
	t.Helper()
	sources := map[string]string{}
	lists, err := filepath.Glob("../render/testdata/oracle/*.txt")
	if err != nil || len(lists) == 0 {
		t.Fatalf("%v, %v", lists, err)
	}
	for _, list := range append(lists, "testdata/messages.txt") {
		data, err := os.ReadFile(list)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
			if i > 0 {
				sources[filepath.Base(list)+": "+line] = line
			}
		}
	}
	for _, name := range []string{"whitespace.txtar", "files.txtar"} {
		archive, err := txtar.ParseFile("../render/testdata/oracle/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range archive.Files {
			if !strings.HasSuffix(file.Name, ".po") {
				sources[name+": "+file.Name] = string(file.Data)
			}
		}
	}
	examples, err := filepath.Glob(filepath.Join(testenv.Root(t), "reports-example", "*", "*.html"))
	if err != nil || len(examples) < 4 {
		t.Fatalf("%v, %v", examples, err)
	}
	for _, file := range examples {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources[file] = string(data)
	}
	return sources
}

func TestParse_FindsWhatJinja2Finds(t *testing.T) {
	jinja2 := newOracle(t)
	messages, uses := 0, 0
	for name, source := range corpus(t) {
		want := jinja2.ask(t, source)
		got := Parse(source, Jinja2)
		if want.Error != "" {
			continue // what is wrong with it Jinja2 says
		}
		if got.Problems != nil {
			t.Errorf("%s\nJinja2 takes it, we say %v", name, got.Problems)
		}
		found := []saidMessage{}
		for _, m := range got.Messages {
			found = append(found, saidMessage{m.Line, m.Context, m.Text, m.Plural})
		}
		if diff := cmp.Diff(sorted(want.Messages), sorted(found)); diff != "" {
			t.Errorf("%s\nmessages (-Jinja2 +ours):\n%s", name, diff)
		}
		names := []string{}
		for _, use := range got.Uses {
			names = append(names, use.Name)
		}
		slices.Sort(names)
		// Jinja2 names no candidates where the name is an expression.
		if diff := cmp.Diff(want.Uses, slices.Compact(names)); diff != "" && !got.Dynamic {
			t.Errorf("%s\nuses (-Jinja2 +ours):\n%s", name, diff)
		}
		if want.Dynamic != got.Dynamic {
			t.Errorf("%s\ndynamic is %v, Jinja2 says %v", name, got.Dynamic, want.Dynamic)
		}
		messages += len(found)
		uses += len(names)
	}
	if messages < 100 || uses < 20 {
		t.Errorf("only %d messages and %d uses were compared", messages, uses)
	}
}

// sorted brings messages into one order: Jinja2's walks over a tree.
func sorted(messages []saidMessage) []saidMessage {
	return slices.SortedFunc(slices.Values(messages), func(a, b saidMessage) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Context+"\x00"+a.Text, b.Context+"\x00"+b.Text)
	})
}

// What Jinja2 refuses for its tags and quotes, we refuse too, at the same line or nearer
// to the mistake.
func TestParse_FindsWhatJinja2Refuses(t *testing.T) {
	jinja2 := newOracle(t)
	for _, test := range []struct{ source, want string }{
		{"a\n{% endif %}", "2:4: endif without if before it"},
		{"{% if a %}\n", `1:4: "if" is not closed; add {% endif %}`},
		{"{% for a in b %}\n{% if a %}\n{% endfor %}", `3:4: endfor where endif is expected; "if" of line 2 is still open here`},
		{"{% fro a in b %}{% endfor %}", `1:4: unknown tag "fro"`},
		{"{% if a %}{% elseif b %}{% endif %}", `1:14: unknown tag "elseif"; "if" of line 1 is still open here`},
		{"{{ a", "1:1: {{ that does not end; close it with }}"},
		{"x\n  {% if a", "2:3: {% that does not end; close it with %}"},
		{"{# a", "1:1: a comment that does not end; close it with #}"},
		{"{% raw %}{{ a }}", "1:1: a raw section that does not end; close it with {% endraw %}"},
		{"{{ 'a }}", "1:4: a string that does not end"},
		{"{{ (a }}", "1:7: } where ) is expected; close what is open: ) ] }"},
		{"{{ a] }}", "1:5: ] that nothing opens; close what is open: ) ] }"},
		{"{{ a $ b }}", `1:6: unexpected character "$"`},
		{"{% set x %}a", `1:4: "set" is not closed; add {% endset %}`},
		{"{% trans %}{{ a + 1 }}{% endtrans %}", "1:12: {% trans %} takes plain names between {{ and }} only; give it the value: {% trans total=sum(values) %}... {{ total }} ...{% endtrans %}"},
		{"{% trans %}{% if a %}{% endif %}{% endtrans %}", "1:12: no other tag may stand within {% trans %}; put it around, or use _() within it"},
		{"{% %}", "1:4: a tag without a name"},
		{"{% 'a' %}", `1:4: a tag begins with its name, not with "a"`},
		{"{% else %}", "1:4: else without for or if before it"},
		{"{% block a %}{% else %}{% endblock %}", `1:17: else where endblock is expected; "block" of line 1 is still open here`},
		{"é\r\n{% endfor %}", "2:4: endfor without for before it"},
		{"{% pluralize %}", "1:4: pluralize without trans before it"},
	} {
		got := Parse(test.source, Jinja2).Problems
		if len(got) == 0 || got[0].String() != test.want {
			t.Errorf("%q: got %v, want %s", test.source, got, test.want)
		}
		if said := jinja2.ask(t, test.source); said.Error == "" {
			t.Errorf("%q: Jinja2 takes it", test.source)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, source := range corpus(f) {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, engine := range []Engine{Jinja2, Pongo2} {
			got := Parse(source, engine)
			lines := 2 + strings.Count(source, "\n") + strings.Count(source, "\r")
			for _, p := range got.Problems {
				if p.Line < 1 || p.Line > lines || p.Column < 1 || p.What == "" {
					t.Errorf("%+v", p)
				}
			}
			if len(got.Problems) > mostProblems {
				t.Errorf("%d problems", len(got.Problems))
			}
		}
	})
}

// What Jinja2 takes has no problems, and the other way round no template that breaks the
// tags' order is taken: with templates that nobody wrote.
func FuzzParseAsJinja2(f *testing.F) {
	for _, source := range corpus(f) {
		f.Add(source)
	}
	jinja2 := newOracle(f)
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 2000 || !json.Valid([]byte(`"`+strings.ToValidUTF8(strings.Map(func(r rune) rune {
			if r < ' ' || r == '"' || r == '\\' {
				return ' '
			}
			return r
		}, source), "")+`"`)) {
			return
		}
		if said := jinja2.ask(t, source); said.Error == "" {
			if problems := Parse(source, Jinja2).Problems; problems != nil {
				t.Errorf("Jinja2 takes %q, we say %v", source, problems)
			}
		}
	})
}

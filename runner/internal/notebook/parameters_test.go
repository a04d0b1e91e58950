package notebook

import (
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

func TestAssigned_FindsTheNamesOfTheTopLevel(t *testing.T) {
	tests := []struct{ language, source, want string }{
		{"python", "alpha = 0.6\nratio=0.1  # the ratio", "alpha ratio"},
		{"python", "a, b = 1, 2\nc = d = e = 3\n(f, [g, *h]) = rows", "a b c d e f g h"},
		{"python", "x: int = 1\ny : dict[str, int] = {}\nz: str", "x y z"},
		{"python", "a = 1; b = 2;c=3", "a b c"},
		{"python", "rows = [\n    1,\n    2,\n]\nkeys = dict(\nx=1,\ny=2)\nlast = \\\n  3", "rows keys last"},
		{"python", "'''\na = 1\n'''\n\"\"\"b = 2\"\"\"\nc = '''\nd = 1\n'''\n# e = 1", "c"},
		{"python", "if True:\n    a = 1\nfor x in y: b = 1\ndef f(c=1):\n\td = 2\ntry: e = 1\nelse: g = 1", ""},
		{"python", "a == 1\na >= 1\na != 1\na += 1\na.b = 1\na[0] = 1\nprint(end='')\n(a := 1)", ""},
		{"python", "f = lambda x=1: x == 2\ng = h if x == 1 else y", "f g"},
		{"python", "%time a = 1\n!b = 1\nfiles = !ls\nwhere = %pwd", "files where"},
		{"python", "%%bash\na=1", ""},
		{"python", "größe = 1\nx = 'it does not end\ny = 1", "größe x"},
		{"python", "", ""},
		{"r", "alpha <- 0.6\nbeta = 1\n2 -> gamma\n`delta` <<- 3\na <- b <- c(1)\n.d <- 1", "alpha beta gamma delta a b .d"},
		{"r", "f <- function(x = 1) {\n y <- 2\n}\nif (x == 1) z <- 1\ns <- \"a <- 1\n b <- 1\" # c <- 1\nlist(k = 1)", "f s"},
		{"julia", "alpha = 0.6\nconst beta::Int = 1\na, b = 1, 2\nc = d = 3\ns = \"\"\"\nx = 1\n\"\"\"\nq = 'c'; p = \"#\"", "alpha beta a b c d s q p"},
		{"julia", "f(x) = 2x\nx == 1\nx .= 1\nd = Dict(:a => 1)\n#= y = 1\n=#\nfunction g()\n  z = 1\nend # w = 1", "d"},
		{"bash", "alpha=0.6\nexport beta='x y=1' gamma=\"$(date)\"\ndeclare -A map=([a]=1)\nlist=(1 2\n3) # d=1\n: \"${e:=5}\"\nf=1 g=2", "alpha beta gamma map list e f g"},
		{"bash", "LANG=C sort file\necho a=1\nh() {\n b=1\n}\nif true; then\n  c=1\nfi\n[[ $d == 1 ]]\necho 'x\ny=1'", ""},
		{"scheme", "(define a 1)", ""},
	}
	for _, test := range tests {
		if got := strings.Join(Assigned(test.source, test.language), " "); got != test.want {
			t.Errorf("%s: got %q, want %q for\n%s", test.language, got, test.want, test.source)
		}
	}
}

func FuzzAssigned(f *testing.F) {
	for _, s := range []string{
		"a = b = 1", "(a, [b, *c]) = x", "x: int = 1", "`a b` <- 1 -> c", "export a=1 b=$(x)", "f = lambda x=1: x",
		"'''\na=1'''", "a, = 1", "r\"(a)\" -> b", ": \"${x:=1}\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, language := range []string{"python", "R", "julia", "bash"} {
			d, _ := dialectOf(language)
			for _, name := range Assigned(source, language) {
				if !d.isName(name) {
					t.Errorf("%s: %q is no name", language, name)
				}
			}
		}
	})
}

// every is a value of each kind, each with what Python's json makes of it.
func every() Parameters {
	return Parameters{
		{"text", "it's \"quoted\" \\ $HOME `id` ${x} !x\n\ttab \x00end"},
		{"empty", ""},
		{"whole", json.Number("-3")},
		{"decimal", json.Number("0.10")},
		{"small", json.Number("1E-4")},
		{"yes", true},
		{"no", false},
		{"none", nil},
		{"list", []any{json.Number("1"), "a\nb", nil, []any{}, Parameters{}}},
		{"map", Parameters{{"b", json.Number("1")}, {"a'\"\\", []any{true}}}},
		{"nan", math.NaN()},
		{"inf", math.Inf(1)},
		{"minus", math.Inf(-1)},
	}
}

func TestAssignments_AreWrittenAsEachLanguageReadsThem(t *testing.T) {
	without := func(names ...string) Parameters {
		var kept Parameters
		for _, p := range every() {
			if !strings.Contains(" "+strings.Join(names, " ")+" ", " "+p.Name+" ") {
				kept = append(kept, p)
			}
		}
		return kept
	}
	text := Parameter{"text", "it's \"q\" \\ $x !\n\x01é\u200b"}
	tests := []struct {
		language string
		p        Parameters
		want     string
	}{
		{"python", without("text"), `empty = ""
whole = -3
decimal = 0.10
small = 1e-4
yes = True
no = False
none = None
list = [1, "a\nb", None, [], {}]
map = {"b": 1, "a'\"\\": [True]}
nan = float("nan")
inf = float("inf")
minus = float("-inf")
`},
		{"python", Parameters{text}, `text = "it's \"q\" \\ $x !\n\x01é\u200b"` + "\n"},
		{"R", append(without("text"), text), `empty = ""
whole = -3
decimal = 0.10
small = 1e-4
yes = TRUE
no = FALSE
none = NULL
list = list(1, "a\nb", NULL, list(), list())
map = list("b" = 1, "a'\"\\" = list(TRUE))
nan = NaN
inf = Inf
minus = -Inf
text = "it's \"q\" \\ $x !\n\u0001é\u200b"
`},
		{"julia", append(without("text"), text), `empty = ""
whole = -3
decimal = 0.10
small = 1e-4
yes = true
no = false
none = nothing
list = [1, "a\nb", nothing, [], Dict()]
map = Dict("b" => 1, "a'\"\\" => [true])
nan = NaN
inf = Inf
minus = -Inf
text = "it's \"q\" \\ \$x !\n\u0001é\u200b"
`},
		{"bash", append(without("text", "list", "map"), text, Parameter{"list", []any{json.Number("1"), "a b", nil, true}}, Parameter{"map", Parameters{{"k'", "v"}}}), `empty=''
whole=-3
decimal=0.10
small=1e-4
yes=true
no=false
none=
nan=nan
inf=inf
minus=-inf
text=$'it\'s "q" \\ $x \x21\x0a\x01é\xe2\x80\x8b'
list=(1 'a b' '' true)
unset -v map; declare -A map=([$'k\'']=v)
`},
	}
	for _, test := range tests {
		got, err := Assignments(test.p, test.language)
		if diff := cmp.Diff("# Parameters\n"+test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", test.language, err, diff)
		}
	}
}

func TestAssignments_RefusesWhatALanguageCannotSay(t *testing.T) {
	deep := any("x")
	for range 200 {
		deep = []any{deep}
	}
	tests := []struct {
		language string
		p        Parameter
		want     string
	}{
		{"python", Parameter{"a b", 1}, `"a b" is no name that Python can assign a value to`},
		{"python", Parameter{"x=1;import os", 1}, "is no name"},
		{"python", Parameter{"class", 1}, "is no name"},
		{"python", Parameter{"", 1}, "is no name"},
		{"python", Parameter{"x", deep}, "parameter x: more than 90 lists"},
		{"r", Parameter{"_x", 1}, "is no name that R can"},
		{"r", Parameter{".2x", 1}, "is no name"},
		{"r", Parameter{"x", "a\x00"}, "parameter x: it has a NUL character"},
		{"julia", Parameter{"end", 1}, "is no name"},
		{"bash", Parameter{"a-b", 1}, "is no name"},
		{"bash", Parameter{"UID", 1}, "is no name"},
		{"bash", Parameter{"x", []any{[]any{}}}, "parameter x: Bash has no lists or mappings inside others"},
		{"bash", Parameter{"x", Parameters{{"@", "1"}}}, `parameter x: there is no key "@" in Bash`},
		{"bash", Parameter{"x", "a\x00"}, "NUL"},
		{"fortran", Parameter{"x", 1}, "in Python, R, Julia and Bash, not in fortran"},
	}
	for _, test := range tests {
		got, err := Assignments(Parameters{test.p}, test.language)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %s: got %q, %v, want %q", test.language, test.p.Name, got, err, test.want)
		}
	}
}

// inShells are texts that want to be code in a shell or a terminal, beside those of hostile.
var inShells = []string{
	"`id`", "$(id)", "${HOME}", "$HOME", "!!", "!id", "'; id; '", "a\\\nb", "\x1b[2J", "\x03\x04\x1a", "~", "~root", "*", "{a,b}",
	"(", ")", "[x]=1", "]", "-n", "#x", "a #b", "e\u0301", "\U0001f600",
}

func TestAssignments_AreReadBackByPython(t *testing.T) {
	p := every()
	for i, text := range slices.Concat(hostile, inShells) {
		p = append(p, Parameter{"h" + strings.Repeat("x", i), text}, Parameter{"m" + strings.Repeat("x", i), Parameters{{text, []any{text}}}})
	}
	source, err := Assignments(p, "python")
	if err != nil {
		t.Fatal(err)
	}
	names, want := []string{}, []any{}
	for _, parameter := range p {
		names = append(names, parameter.Name)
		value := parameter.Value
		if _, ok := value.(float64); ok {
			value = parameter.Name
		}
		want = append(want, value)
	}
	program := "import json, sys\nnames, source = json.load(sys.stdin)\nscope = {}\nexec(source, scope)\n" +
		"print(json.dumps([str(v).replace('-inf', 'minus') if isinstance(v, float) and v * 0 != 0 else v for v in (scope[n] for n in names)]))"
	checkReadBack(t, exec.Command(testenv.Python(t), "-c", program), []any{names, source}, want)
}

func TestAssignments_AreReadBackByBash(t *testing.T) {
	var p Parameters
	var want []any
	source := ""
	for i, text := range slices.Concat(hostile, inShells) {
		if strings.Contains(text, "\x00") {
			continue // Bash has no such text
		}
		name := "h" + strings.Repeat("x", i)
		p = append(p, Parameter{name, text}, Parameter{name + "l", []any{text, "end"}}, Parameter{name + "v", Parameters{{"k", text}}})
		source += "printf '%s\\0' \"$" + name + "\" \"${" + name + "l[0]}\" \"${#" + name + "l[@]}\" \"${" + name + "v[k]}\"\n"
		want = append(want, text, text, "2", text)
		if text != "" && text != "*" {
			p = append(p, Parameter{name + "k", Parameters{{text, "v"}}})
			source += "printf '%s\\0' \"${!" + name + "k[@]}\"\n"
			want = append(want, text)
		}
	}
	assignments, err := Assignments(p, "bash")
	if err != nil {
		t.Fatal(err)
	}
	program := `import json, subprocess, sys
out = subprocess.run(["bash", "-c", json.load(sys.stdin)], capture_output=True, check=True)
assert not out.stderr, out.stderr
print(json.dumps(out.stdout.decode().split("\0")[:-1]))`
	checkReadBack(t, exec.Command(testenv.Python(t), "-c", program), assignments+source, want)
}

// checkReadBack compares what a program answers with what is wanted, both as JSON.
func checkReadBack(t *testing.T, program *exec.Cmd, input, want any) {
	t.Helper()
	text, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	program.Stdin = strings.NewReader(string(text))
	out, err := program.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got, expected any
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(wanted, &expected); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestInject_PutsOneCellBehindTheDefaults(t *testing.T) {
	cell := func(source string, tags ...any) *Cell {
		return &Cell{Type: "code", Source: source, Metadata: map[string]any{"tags": tags}}
	}
	injected := "# Parameters\nx = 1\n"
	tests := []struct {
		name  string
		cells []*Cell
		want  []string
	}{
		{"behind it", []*Cell{cell("a"), cell("x = 0", "parameters"), cell("b")}, []string{"a", "x = 0", injected, "b"}},
		{"in place of an earlier one", []*Cell{cell("x = 0", "parameters"), cell("x = 7", "injected-parameters"), cell("b")}, []string{"x = 0", injected, "b"}},
		{"at the top", []*Cell{cell("a"), cell("b")}, []string{injected, "a", "b"}},
		{"of a markdown cell nothing is thought", []*Cell{{Type: "markdown", Source: "a", Metadata: map[string]any{"tags": []any{"parameters"}}}}, []string{injected, "a"}},
		{"in an empty notebook", nil, []string{injected}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nb := &Notebook{Cells: test.cells}
			if err := nb.Inject(Parameters{{"x", json.Number("1")}}, "python"); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range nb.Cells {
				got = append(got, c.Source)
				if c.Source == injected && !c.HasTag("injected-parameters") {
					t.Error("the cell has no tag")
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("cells (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKernelspec_IsReadAndWritten(t *testing.T) {
	old := &Notebook{Metadata: map[string]any{"language_info": map[string]any{"name": "R"}, "kernelspec": map[string]any{"name": "ir", "display_name": "R 4"}}}
	if diff := cmp.Diff(Kernelspec{"ir", "R 4", "R"}, old.Kernelspec()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, nb := range []*Notebook{old, {}, {Metadata: map[string]any{"kernelspec": "odd", "language_info": []any{}}}} {
		want := Kernelspec{"bash", "Bash", "bash"}
		nb.SetKernelspec(want)
		if diff := cmp.Diff(want, nb.Kernelspec()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got := (&Notebook{}).Kernelspec(); got != (Kernelspec{}) {
		t.Errorf("of a notebook that says nothing: %+v", got)
	}
}

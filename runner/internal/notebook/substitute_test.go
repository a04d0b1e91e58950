package notebook

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var hostile = []string{
	"", "plain", `"`, `'`, `\`, `\\`, `\"`, `"""`, `'''`, "\n", "\r\n", "\r", "\x00", "\x00123", "\t\b\x1b[0m\x7f",
	"{", "}", "{{", "}}", "{x}", "{y}", "}{", "#", "# comment", `\N{`, `\N{DASH}`, `\x41`, `\u0041`, `\101`, "7", "77", "f", "a", "Abc",
	`"; import os; os.system("id"); "`, `'); raise SystemExit #`, `""" + y + """`, "'''\nraise SystemExit\n'''", `"+y+"`, `" y "`,
	"é", "日本", "😀", "\u2028", "\u200b", "\u202e", "\ufeff", "\u00a0", "\ufffd", "$B", "$A", "$$", "%s", "!ls", "ends in \\", "\\ begins", "'\"", `"'`, "\\\n", "\f\v\x1c\u0085",
}

// frames hold $A in every kind of literal and place. Of each, want says what
// Python must read for a value; nil stands for the value itself.
var frames = []struct {
	source string
	want   func(string) string
}{
	{`x = "$A"`, nil},
	{`x = '$A'`, nil},
	{`x = u"$A"`, nil},
	{`x = U'$A'`, nil},
	{`x = """$A"""`, nil},
	{`x = '''$A'''`, nil},
	{`x = r"$A"`, nil},
	{`x = R'$A'`, nil},
	{`x = r"""$A"""`, nil},
	{`x = f"$A"`, nil},
	{`x = F'''$A'''`, nil},
	{`x = rf"$A"`, nil},
	{`x = fR'''$A'''`, nil},
	{`x = b"$A"`, nil},
	{`x = B'''$A'''`, nil},
	{`x = br"$A"`, nil},
	{`x = Rb'''$A'''`, nil},
	{`x = "a$A.b"`, around("a", ".b")},
	{`x = "it's $A!"`, around("it's ", "!")},
	{`x = 'say "$A"'`, around(`say "`, `"`)},
	{`x = """say "$A" """`, around(`say "`, `" `)},
	{"x = '''\n$A\n'''", around("\n", "\n")},
	{`x = "\\$A\\"`, around(`\`, `\`)},
	{`x = "\1$A"`, around("\x01", "")},
	{`x = "\12$A"`, around("\n", "")},
	{`x = "\123$A"`, around("S", "")},
	{`x = "\x41$A\x42"`, around("A", "B")},
	{`x = "\N{DIGIT ONE}$A"`, around("1", "")},
	{`x = "\N{DIGIT ONE}" "$A"`, around("1", "")},
	{`x = f"\N{DIGIT ONE}{y}$A{y}"`, around("1why", "why")},
	{`x = f"{y}$A{y!r:>3}{{$A}}"`, func(v string) string { return "why" + v + "'why'{" + v + "}" }},
	{`x = f"{y:{n}}$A{'}:'}"`, around("why    ", "}:")},
	{`x = f'{ {"a": y}["a"] }$A'`, around("why", "")},
	{`x = f'{(lambda: y)()}$A'`, around("why", "")},
	{`x = f"{n:#x}$A#"`, around("0x7", "#")},
	{`x = f"""{y}"$A" '{y}'"""`, around(`why"`, `" 'why'`)},
	{`x = f"""{f'{y}$B'}$A"""`, around("why$B", "")},
	{`x = f"\{y}$A"`, around(`\why`, "")},
	{`x = rf"\{y}\$A\d{y}"`, around(`\why\`, `\dwhy`)},
	{`x = rf"{y}'$A'"`, around("why'", "'")},
	{`x = r"\$A"`, around(`\`, "")},
	{`x = r"\d$A\w"`, around(`\d`, `\w`)},
	{`x = r"\"$A\""`, around(`\"`, `\"`)},
	{`x = r"\\$A$A\\"`, func(v string) string { return `\\` + v + v + `\\` }},
	{`x = r'''\'''' "$A"`, around(`\'`, "")},
	{`x = r'''a''$A'b'''`, around(`a''`, `'b`)},
	{"x = r'''a\\\n$A\nb'''", around("a\\\n", "\nb")},
	{`x = b"\xff$A\0"`, around("\xff", "\x00")},
	{`x = b"\N{$A}"`, around(`\N{`, "}")},
	{"x = \"a\\\n$A\"", around("a", "")},
	{"x = \"a\\\r\n$A\"", around("a", "")},
	{"x = ('a' # \"\n  \"$A\" 'b')", around("a", "b")},
	{"x = 'a' \\\n '$A'", around("a", "")},
	{"x = 'a''$A''b'", around("a", "b")},
	{"x = '''a''''$A''b'", around("a", "b")},
	{"x = ''r'$A'", nil},
	{"x = '$A'''", nil},
	{`x = """a"$A"""`, around(`a"`, "")},
	{`x = """a""$A"b"""`, around(`a""`, `"b`)},
	{`x = f"""{y}"$A"$A"$A{y}"""`, func(v string) string { return `why"` + v + `"` + v + `"` + v + "why" }},
	{`x = """\\\""$A"b"""`, around(`\""`, `"b`)},
	{`x = """\\""$A"b"""`, around(`\""`, `"b`)},
	{`x = b"""'$A""$A"""`, func(v string) string { return "'" + v + `""` + v }},
	{`x = r"""a""$A"b"""`, around(`a""`, `"b`)},
	{"x = '$A''$A'", func(v string) string { return v + v }},
	{"x = b''bR'$A'b''", nil},
	{`x = ""rf"$A"''`, nil},
	{"# it's\nx = '$A' # '", nil},
	{"x = [c for c in['$A']][0]", nil},
	{"def f(a):\n  return'$A'if a else'b'\nx = f(1)", nil},
	{"x = {'k': \"$A\"}['k']", nil},
	{"x = '$A'.replace('$', '$')", nil},
	{"d = 5 # $A '\nx = '$A'", nil},
	{`x = "$$A"`, around("$", "")},
	{`x = "$ $a ${A} \$A $A"`, around(`$ $a ${A} \$A `, "")},
}

func around(before, after string) func(string) string {
	return func(v string) string { return before + v + after }
}

// encoded returns what Python makes of s in a bytes literal: one character per byte.
func encoded(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		out.WriteRune(rune(b))
	}
	return out.String()
}

func checkFrame(t *testing.T, o oracle, i int, value string) {
	t.Helper()
	frame := frames[i]
	source, used, problems := Substitute(frame.source, Values{"A": value})
	if len(problems) > 0 && !strings.Contains(frame.source, "$B") || cmp.Diff([]string{"A"}, used) != "" {
		t.Fatalf("%s: used %v, problems %v", frame.source, used, problems)
	}
	a := o.ask(t, "run", source)
	want := value
	if frame.want != nil {
		want = frame.want(value)
	}
	var got string
	if a.Bytes != nil {
		got, want = *a.Bytes, encoded(want)
	} else if err := json.Unmarshal(a.Value, &got); err != nil {
		t.Errorf("%s with %q is\n%s: %s %v", frame.source, value, source, a.Error, err)
		return
	}
	if got != want {
		t.Errorf("%s with %q is\n%s: got %q, want %q", frame.source, value, source, got, want)
	}
}

func TestSubstitute_GivesPythonBackEveryHostileValue(t *testing.T) {
	o := newOracle(t)
	for i := range frames {
		for _, value := range hostile {
			checkFrame(t, o, i, value)
		}
	}
}

func TestSubstitute_GivesPythonBackRandomValues(t *testing.T) {
	o := newOracle(t)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []rune("\"'\\{}$#\n\r\x00\tNxuU01789afAB( )+=;:!%éß日😀\u2028\u0085")
	for n := range 4000 {
		value := make([]rune, random.IntN(8))
		for i := range value {
			value[i] = alphabet[random.IntN(len(alphabet))]
		}
		checkFrame(t, o, n%len(frames), string(value))
	}
}

// Random sources: whatever Python accepts, it accepts with the same shape after
// the values are in, and no code was added.
func TestSubstitute_NeverLetsAValueBecomeCode(t *testing.T) {
	o := newOracle(t)
	random := rand.New(rand.NewPCG(3, 4))
	parts := []string{`"`, `'`, `"$A"`, `'$A'`, `""`, `''`, `f"`, `rb'`, `"""`, `'''`, `\`, "\n", "$A", "$A", "$B", "{", "}", "{{", "}}", "{y}", ":", "#", "r", "b", "f", "x", " ", "(", ")", "[", "]", "+", "=", "=", `\N{`, "!", "%"}
	starts := []string{`x = "$A" + `, `x = "$A`, `x = """$A`, `x = f"$A`, `x = f"""$A`, `x = rf'$A{`, `x = r"\`, `x = b'$A`}
	accepted := 0
	for range 8000 {
		var b strings.Builder
		b.WriteString(starts[random.IntN(len(starts))])
		for range 1 + random.IntN(9) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		source := b.String()
		value, other := hostile[random.IntN(len(hostile))], hostile[random.IntN(len(hostile))]
		before := o.ask(t, "shape", source)
		after, _, _ := Substitute(source, Values{"A": value, "B": other})
		now := o.ask(t, "shape", after)
		if before.Error != "" && now.Error == "" {
			t.Fatalf("%q with %q, %q became valid: %q", source, value, other, after)
		}
		if before.Error != "" {
			continue
		}
		accepted++
		if diff := cmp.Diff(codeKinds(before.Kinds), codeKinds(now.Kinds)); diff != "" || now.Error != "" {
			t.Fatalf("%q with %q, %q became %q: %s\n%s", source, value, other, after, now.Error, diff)
		}
	}
	if accepted < 200 {
		t.Errorf("only %d sources were valid", accepted)
	}
}

// codeKinds leaves out the nodes that a constant is split into in f-strings.
func codeKinds(kinds []string) []string {
	var kept []string
	for _, kind := range kinds {
		if kind != "Constant" && kind != "JoinedStr" {
			kept = append(kept, kind)
		}
	}
	return kept
}

func TestSubstitute_MakesAWholeLiteralTheTypedValue(t *testing.T) {
	o := newOracle(t)
	for _, c := range []struct {
		source string
		value  any
		kind   string
		want   string // JSON
	}{
		{`x = "$A"`, true, "bool", "true"},
		{`x = "$A"`, false, "bool", "false"},
		{`x = '$A'`, nil, "NoneType", "null"},
		{`x = "$A"`, json.Number("3"), "int", "3"},
		{`x = "$A"`, json.Number("3.0"), "float", "3.0"},
		{`x = "$A"`, json.Number("1E-7"), "float", "1e-07"},
		{`x = "$A"`, json.Number("-0"), "int", "0"},
		{`x = "$A"`, json.Number("123456789012345678901234567890"), "int", "123456789012345678901234567890"},
		{`x = "$A"`, json.Number("y"), "str", `"y"`},
		{`x = "$A"`, json.Number(" 1"), "str", `" 1"`},
		{`x = "$A"`, json.Number("1\n"), "str", `"1\n"`},
		{`x = "$A"`, 0.5, "float", "0.5"},
		{`x = "$A"`, float64(3), "int", "3"},
		{`x = "$A"`, 3, "int", "3"},
		{`x = "$A"`, []string{"a"}, "list", `["a"]`},
		{`x = """$A"""`, true, "bool", "true"},
		{`x = u'$A'`, true, "bool", "true"},
		{`x = "$A" ** 2`, json.Number("-5"), "int", "25"},
		{`x = 2-"$A"`, json.Number("-5"), "int", "7"},
		{"def f():\n  return\"$A\"\nx = f()", json.Number("5"), "int", "5"},
		{`x = "$A"if y else 1`, true, "bool", "true"},
		{`x = "$A".bit_length()`, json.Number("5"), "int", "3"},
		{"x = (\"$A\"\n ** 2)", json.Number("-5"), "int", "25"},
		{"x = (\"$A\" # c\n ** 2)", json.Number("-5"), "int", "25"},
		{"x = \"$A\" \\\n ** 2", json.Number("-5"), "int", "25"},
		{"x = \"$A\"\n'a string of its own'", json.Number("-5"), "int", "-5"},
		{"x = ('a' \"$A\")", json.Number("5"), "str", `"a5"`},
		{"x = (\"$A\"\n'a')", []any{}, "str", `"[]a"`},
		{`x = "$A" "$A"`, true, "str", `"TrueTrue"`},
		{`x = "$A" f"$A"`, true, "str", `"TrueTrue"`},
		{`x = r"$A"`, true, "str", `"True"`},
		{`x = f"$A"`, nil, "str", `"None"`},
		{`x = f"{y}$A"`, map[string]any{"k": "{"}, "str", `"why{'k': '{'}"`},
		{`x = "a $A"`, json.Number("1.50"), "str", `"a 1.50"`},
		{`x = "a $A"`, []any{"it's", `"`, nil, true, json.Number("1")}, "str", `"a [\"it's\", '\"', None, True, 1]"`},
		{`x = "$A"`, map[string]any{"b": []any{"\"'\n\\", nil}, "a": map[string]any{}}, "dict", `{"b": ["\"'\n\\", null], "a": {}}`},
	} {
		source, _, problems := Substitute(c.source, Values{"A": c.value})
		a := o.ask(t, "run", source)
		if len(problems) > 0 || a.Error != "" || a.Type != c.kind {
			t.Errorf("%s with %v is\n%s: %s %s, want %s; %v", c.source, c.value, source, a.Type, a.Error, c.kind, problems)
			continue
		}
		if diff := cmp.Diff(jsonOf(t, c.want), jsonOf(t, string(a.Value))); diff != "" {
			t.Errorf("%s with %v is\n%s: (-want +got)\n%s", c.source, c.value, source, diff)
		}
	}
}

func jsonOf(t *testing.T, s string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func TestSubstitute_ReadsWell(t *testing.T) {
	values := Values{"A": `say "hi"`, "N": json.Number("0.8"), "L": []any{"a", json.Number("1")}, "D": `C:\new`}
	for source, want := range map[string]string{
		`name = "$A"`:        `name = "say \"hi\""`,
		`name = '$A'`:        `name = 'say "hi"'`,
		`f(x="$N", y='$L')`:  `f(x=0.8, y=['a', 1])`,
		`t = -"$N"`:          `t = -(0.8)`,
		`p = r"$D\x"`:        `p = "C:\\new" r"\x"`,
		`p = r"x\$N"`:        `p = r"x\0.8"`,
		`a = f"{b}$A"`:       `a = f"{b}say \"hi\""`,
		"# $A\nb = '$A'":     "# $A\nb = 'say \"hi\"'",
		`a = $A + x["$$N,"]`: `a = $A + x["$0.8,"]`,
	} {
		if got, _, problems := Substitute(source, values); got != want || len(problems) > 0 {
			t.Errorf("%s\n got %s\nwant %s; %v", source, got, want, problems)
		}
	}
}

func TestSubstitute_LeavesWhatIsNotPython(t *testing.T) {
	values := Values{"A": "value"}
	for _, source := range []string{
		"",
		"$A",
		"# '$A'",
		"%%bash\necho \"$A\"",
		"%env X='$A'",
		"!echo \"$A\"",
		"!echo it's \\\n \"$A\"",
		"files = !ls '$A'",
		"x = %time '$A'",
		"?'$A'",
		`x = "\$A"`,
		`x = "\N{$A}"`,
		"x = '$'",
		"x = '$a $1 $é'",
		"''''''",
		"x = \\",
	} {
		got, used, problems := Substitute(source, values)
		if got != source || used != nil || problems != nil || Names(source) != nil {
			t.Errorf("%q became %q, used %v, problems %v, names %v", source, got, used, problems, Names(source))
		}
	}
	got, _, _ := Substitute("!echo it's\nx = a \\\n % '$A'\ny = [1\n  % '$A']", values)
	if want := "!echo it's\nx = a \\\n % 'value'\ny = [1\n  % 'value']"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSubstitute_ReportsProblemsWithPositions(t *testing.T) {
	values := Values{"LANGUAGE": "en", "A": "1"}
	for _, c := range []struct {
		source, result string
		want           []string
	}{
		{"x = '$A'\ny = 'é $NOPE $A'", "x = '1'\ny = 'é $NOPE 1'", []string{"2:8: unknown name $NOPE; give it as a parameter, or write the $ on its own"}},
		{"'$LANGAUGE'", "'$LANGAUGE'", []string{"1:2: unknown name $LANGAUGE; did you mean $LANGUAGE?"}},
		{"'$AB'", "'$AB'", []string{"1:2: unknown name $AB; give it as a parameter, or write the $ on its own"}},
		{"f'{\"$A\"} $A'", "f'{\"$A\"} 1'", []string{"1:5: $A stands in {} of an f-string, where nothing is replaced; assign it to a variable first"}},
		{"f'{y:$A}'", "f'{y:$A}'", []string{"1:6: $A stands in {} of an f-string, where nothing is replaced; assign it to a variable first"}},
		{"a = '$A'\nb = '$A", "a = '$A'\nb = '$A", []string{"2:5: the string literal does not end; close its quotes"}},
		{"'$A\n'", "'$A\n'", []string{"1:1: the string literal does not end; close its quotes"}},
		{"'''$A''", "'''$A''", []string{"1:1: the string literal does not end; close its quotes"}},
		{"x = rb'$A\\'", "x = rb'$A\\'", []string{"1:5: the string literal does not end; close its quotes"}},
		{"f'{x'", "f'{x'", []string{"1:1: the string literal does not end; close its quotes"}},
		{"f'{x:", "f'{x:", []string{"1:1: the string literal does not end; close its quotes"}},
		{strings.Repeat(`f"{`, 100000), strings.Repeat(`f"{`, 100000), []string{"1:1: the string literal does not end; close its quotes"}},
	} {
		result, _, problems := Substitute(c.source, values)
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" || result != c.result {
			t.Errorf("%.50q became %.50q (-want +got)\n%s", c.source, result, diff)
		}
	}
}

func TestNames_ListsEveryUseInOrder(t *testing.T) {
	got := Names("a = '$A' # '$C'\nb = f'é$B_2{\"$A\"}'\nc = r\"\\$A\"")
	want := []NameUse{{"A", 1, 6, false}, {"B_2", 2, 8, false}, {"A", 2, 14, true}, {"A", 3, 8, false}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzSubstitute(f *testing.F) {
	for _, frame := range frames {
		f.Add(frame.source, `\'"`)
	}
	f.Add("f'{f\"{x:{y}}\"}' \\", "")
	f.Fuzz(func(t *testing.T, source, value string) {
		if got, used, _ := Substitute(source, nil); got != source || used != nil {
			t.Errorf("nothing substituted made %q of %q", got, source)
		}
		values := Values{}
		for _, use := range Names(source) {
			values[use.Name] = value
		}
		filled, _, problems := Substitute(source, values)
		if len(problems) > 0 && filled == source {
			return
		}
		before, _ := scan(source)
		after, broken := scan(filled)
		if broken >= 0 || len(after) < len(before) {
			t.Errorf("%q with %q became %q: %d literals of %d", source, value, filled, len(after), len(before))
		}
	})
}

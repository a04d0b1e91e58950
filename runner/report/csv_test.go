package report

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseAssets_TypesParameters(t *testing.T) {
	n := func(text string) json.Number { return json.Number(text) }
	defaults := map[string]any{"limit": n("1"), "code": "x", "flag": false}
	tests := []struct {
		name, column string
		cells        []string
		want         []any // nil: not given
	}{
		{"number as in config.json", "limit", []string{"2", "", "-1.5e3"}, []any{n("2"), nil, n("-1.5e3")}},
		{"text as in config.json", "code", []string{"007", "12", "true"}, []any{"007", "12", "true"}},
		{"flag as in config.json", "flag", []string{"TRUE", "false"}, []any{true, false}},
		{"only numbers", "own", []string{"1", "", "2.5"}, []any{n("1"), nil, n("2.5")}},
		{"a code with a zero makes all of them text", "own", []string{"12", "007"}, []any{"12", "007"}},
		{"only flags", "own", []string{"true", "False"}, []any{true, false}},
		{"mixed", "own", []string{"true", "1"}, []any{"true", "1"}},
		{"text", "own", []string{" north ", "1,5"}, []any{"north", "1,5"}},
		{"no number of JSON's", "own", []string{"NaN", "0x1", "1_0", ".5", "1e999"}, []any{"NaN", "0x1", "1_0", ".5", "1e999"}},
		{"empty", "own", []string{"", ""}, []any{nil, nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := "\ufeffid," + test.column + "\r\n"
			for i, cell := range test.cells {
				text += string(rune('a'+i)) + `,"` + cell + "\"\r\n"
			}
			entries, problems := parseAssets("f", []byte(text), defaults)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			var got []any
			for _, e := range entries {
				got = append(got, e.asset.Parameters[test.column])
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseAssets_SkipsBlankLines(t *testing.T) {
	entries, problems := parseAssets("f", []byte("id,name\n\na,A\n,\nb,\"B\nC\"\n"), nil)
	if len(problems) > 0 || len(entries) != 2 || entries[1].asset.Name != "B\nC" || entries[1].id.Line != 5 {
		t.Errorf("got %+v, %v", entries, problems)
	}
}

func FuzzParseAssets(f *testing.F) {
	for _, seed := range []string{
		"id,name,languages,enabled,x\na,A,en;ca,true,1\nb,,,,\n", "id\n", "ID;x\n", "id,x\n\"a\n\"b\n", ",,\n", "id,id\na,b\n", "\ufeffid\r\na\r\n", "id,limit\na,\"é\"\n",
	} {
		f.Add([]byte(seed))
	}
	defaults := map[string]any{"limit": json.Number("1"), "list": []any{}}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, problems := parseAssets("f", data, defaults)
		for _, p := range problems {
			if p.File != "f" || p.Line < 1 || p.Line > strings.Count(string(data), "\n")+1 || p.Column < 1 || p.What == "" {
				t.Errorf("%+v", p)
			}
		}
		if len(problems) > 0 {
			return
		}
		if len(entries) == 0 {
			t.Error("neither assets nor problems")
		}
		for _, e := range entries {
			if !safeName.MatchString(e.asset.ID) {
				t.Errorf("took the id %q", e.asset.ID)
			}
		}
	})
}

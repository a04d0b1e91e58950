package template

import (
	"os"
	"strings"
	"testing"

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

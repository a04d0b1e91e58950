package template

import (
	"strings"
	"testing"
	"time"
)

// A file of a bundle may be one line of megabytes, and one author must not keep all others
// waiting: where each token counted from the line's start, these took minutes.
func TestParse_TakesLongLinesInStride(t *testing.T) {
	for name, piece := range map[string]string{
		"messages": `{{ _("x") }}`, "uses": `{% include "x.html" %}`, "names": `{{ a.b }}`, "remarks": `{# TRANSLATORS: é #}{{ _("é") }}`,
	} {
		for _, engine := range []Engine{Jinja2, Pongo2} {
			source := strings.Repeat(piece, 512<<10/len(piece))
			started := time.Now()
			Parse(source, engine)
			if took := time.Since(started); took > time.Minute {
				t.Errorf("%s for %s: %v", name, engine, took)
			}
		}
	}
}

func TestPlaces_CountCharacters(t *testing.T) {
	src := strings.Repeat("é", 3000) + "\nab" + strings.Repeat("€", 2000) + "x"
	p := newPlaces(src)
	for offset, want := range map[int][2]int{0: {1, 1}, 4000: {1, 2001}, 6000: {1, 3001}, 6001: {2, 1}, 6003: {2, 3}, len(src) - 1: {2, 2003}, len(src): {2, 2004}} {
		if line, column := p.of(offset); line != want[0] || column != want[1] {
			t.Errorf("%d: got %d:%d, want %v", offset, line, column, want)
		}
	}
}

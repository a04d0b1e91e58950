package catalog

import (
	"strings"
	"testing"
	"time"
)

// Babel takes its table from CLDR, and agrees with the gettext manual on these. Of ca, es,
// fr, it and others CLDR knows a form for millions, which no catalog has.
func TestPluralForms_CountAsBabelDoes(t *testing.T) {
	python := newOracle(t)
	for _, language := range strings.Fields("af ar be bg bs cs da de el en et eu fi gl hr hu id is ja ko lt nb nl nn pl ro ru sk sl sr sv th tr uk vi zh zh_TW de_CH") {
		c, err := New("x", language, time.Now())
		if err != nil {
			t.Errorf("%s: %v", language, err)
			continue
		}
		var want []int
		if raised := python.ask(t, "forms", language, &want); raised != "" {
			t.Fatalf("%s: %s", language, raised)
		}
		for n, want := range want {
			if got := c.Form(n); got != want {
				t.Errorf("%s: %d takes form %d, Babel says %d", language, n, got, want)
				break
			}
		}
	}
}

func TestTemplate_IsTheSameButForItsDate(t *testing.T) {
	messages := []*Message{{Key: Key{Text: "a"}, Translations: []string{"x"}}}
	one, two := Template("p", messages, time.Unix(0, 0)), Template("p", messages, time.Now())
	if !two.SameButDate(one) || two.SameButDate(Template("p", nil, time.Unix(0, 0))) || two.SameButDate(nil) {
		t.Error("what differs is not told")
	}
	if one.Messages[0].Translations[0] != "" {
		t.Error("a template has translations")
	}
	if _, err := ParsePO(two.PO()); err != nil {
		t.Error(err)
	}
}

package catalog

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// Each file of testdata/merge holds a catalog, the messages that templates hold now, and
// what becomes of them.
func TestMerge_KeepsWhatPeopleWrote(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/merge.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+2 < len(archive.Files); i += 3 {
		name := strings.TrimSuffix(archive.Files[i].Name, ".po")
		t.Run(name, func(t *testing.T) {
			old, now, want := string(archive.Files[i].Data), string(archive.Files[i+1].Data), string(archive.Files[i+2].Data)
			c := mustPO(t, header+old)
			c.Merge(mustPO(t, now).Messages)
			if diff := cmp.Diff(header+want, string(c.PO())); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			again := mustPO(t, string(c.PO()))
			again.Merge(mustPO(t, now).Messages)
			if diff := cmp.Diff(string(c.PO()), string(again.PO())); diff != "" {
				t.Errorf("merged twice it differs:\n%s", diff)
			}
		})
	}
}

func TestMerge_KeepsEveryForm(t *testing.T) {
	c := mustPO(t, "msgid \"a day\"\nmsgid_plural \"days\"\nmsgstr[0] \"eins\"\nmsgstr[1] \"zwei\"\nmsgstr[2] \"drei\"\n")
	c.Merge(mustPO(t, "msgid \"a day\"\nmsgid_plural \"days\"\nmsgstr[0] \"\"\nmsgstr[1] \"\"\n").Messages)
	if m := c.Messages[0]; m.Fuzzy() || len(m.Translations) != 3 || m.Translations[2] != "drei" {
		t.Errorf("got %+v", m)
	}
}

func TestStale_SeesOtherPluralForms(t *testing.T) {
	const messages = "\n\nmsgid \"a day\"\nmsgid_plural \"days\"\nmsgstr[0] \"a\"\nmsgstr[1] \"b\"\n"
	const before, now = "msgid \"\"\nmsgstr \"Plural-Forms: nplurals=2; plural=n > 1;\\n\"", "msgid \"\"\nmsgstr \"Plural-Forms: nplurals=2; plural=n > 5;\\n\""
	if got := mustPO(t, now+messages).Stale(mustMO(t, mustPO(t, before+messages).MO())); got != "its plural form for 2 is another one" {
		t.Errorf("got %q", got)
	}
}

func TestMerge_CountsWhatItDid(t *testing.T) {
	c := mustPO(t, header+"msgid \"kept\"\nmsgstr \"x\"\n\nmsgid \"Consumption by week\"\nmsgstr \"x\"\n\nmsgid \"gone for good\"\nmsgstr \"x\"\n\nmsgid \"never translated\"\nmsgstr \"\"\n")
	got := c.Merge(mustPO(t, "msgid \"kept\"\nmsgstr \"\"\n\nmsgid \"Consumption by weeks\"\nmsgstr \"\"\n\nmsgid \"altogether new\"\nmsgstr \"\"\n").Messages)
	if want := (Merged{Kept: 1, New: 1, Fuzzy: 1, Obsolete: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPlaceholders_AreWhatValuesReplace(t *testing.T) {
	for text, want := range map[string][]string{
		"Total: %(total)s of %(name)s": {"%(name)", "%(total)"},
		"%(total)5.2f kWh":             {"%(total)"},
		"%s and %d, %.1f":              {"%d", "%f", "%s"},
		"100 % sure, 50%":              nil,
		"100%% sure":                   nil,
		"20%de descompte":              nil,
		"{name} has {0} and {}":        {"{0}", "{name}", "{}"},
		"{total:.2f} {who!r}":          {"{total}", "{who}"},
		"{{ not one }}":                nil,
		"{ a: 1 }":                     nil,
		"":                             nil,
	} {
		if diff := cmp.Diff(want, Placeholders(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestDisagree_TellsWhatIsWrongWithATranslation(t *testing.T) {
	for _, test := range []struct {
		text, plural string
		translations []string
		want         string
	}{
		{"Total of %(name)s", "", []string{"Total de %(name)s"}, ""},
		{"%(a)s of %(b)s", "", []string{"%(b)s: %(a)s"}, ""},
		{"Total of %(name)s", "", []string{"Total de %(nom)s"}, "%(nom) is not in the message"},
		{"Total of %(name)s", "", []string{"Total"}, "%(name) of the message is missing"},
		{"Total of {name}", "", []string{"Total de {nom}"}, "{nom} is not in the message"},
		{"%s of %s", "", []string{"%s"}, "it has another number of %s and the like than the message"},
		{"%d", "", []string{"%s"}, "%s is not in the message"},
		{"one reading", "%(num)d readings", []string{"una lectura", "%(num)d lectures"}, ""},
		{"one reading", "%(num)d readings", []string{"%(num)d lectura", "%(num)d lectures"}, ""},
		{"%(num)d of %(of)s", "%(num)d of %(of)s", []string{"%(num)d de %(of)s", "%(num)d"}, "%(of) of the message is missing"},
		{"100 %", "", []string{"100%"}, ""},
		{"%(n)s%% of days", "", []string{"el %(n)s%% dels dies"}, ""},
		{"%(n)s%% of days", "", []string{"el %(n)s% dels dies"}, "it holds a % that is no placeholder; write %%"},
		{"%(n)s of days", "", []string{"%(n)s dies, 100%"}, "it holds a % that is no placeholder; write %%"},
		{"%d of %s", "", []string{"%d de %s, 50 %"}, "it holds a % that is no placeholder; write %%"},
		{"{n} of days", "", []string{"{n} dies, 100 %"}, ""},
		{"Name %(t)s", "", []string{"Nom %(t)d"}, "its values are of other kinds, or in another order: %d takes no text"},
		{"%(n)d of %(t)s", "", []string{"%(t)s: %(n)i"}, ""},
		{"%s of %d", "", []string{"%d de %s"}, "its values are of other kinds, or in another order: %d takes no text"},
		{"%d of %d", "", []string{"%d de %d"}, ""},
		{"x", "", []string{""}, ""},
	} {
		m := &Message{Key: Key{Text: test.text}, Plural: test.plural, Translations: test.translations}
		if got := m.Disagree(); got != test.want {
			t.Errorf("%q, %q: got %q, want %q", test.text, test.translations, got, test.want)
		}
	}
}

func TestMarkup_FindsTagsAndEntities(t *testing.T) {
	for text, want := range map[string]string{
		"a <b>bold</b> word": "<b>", "line<br/>line": "<br/>", `<a href="x">y</a>`: `<a href="x">`, "R&amp;D": "&amp;", "&#8212;": "&#8212;",
		"R&D": "", "a < b and b > a": "", "x<3": "", "&nothing": "",
	} {
		if got := (&Message{Translations: []string{"plain", text}}).Markup(); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestPseudo_AccentsAllButWhatMustStay(t *testing.T) {
	for text, want := range map[string]string{
		"Total":                      "[Ţóţáļ··]",
		"Total of %(name)s":          "[Ţóţáļ óƒ %(name)s···]",
		"See <a href=\"x\">this</a>": "[Šéé <a href=\"x\">ţĥîš</a>···]",
		"  kWh\n":                    "  [ķŴĥ·]\n",
		"{total:.1f} kWh":            "[{total:.1f} ķŴĥ··]",
		"":                           "",
		"100 %":                      "[100 %··]",
	} {
		if got := Pseudo(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	c := PseudoCatalog([]*Message{{Key: Key{Text: "%d day"}, Plural: "%d days"}})
	if got := c.Messages[0].Translations; !slices.Equal(got, []string{"[%d ðáý··]", "[%d ðáýš··]"}) || c.Form(1) != 0 || c.Form(2) != 1 {
		t.Errorf("got %q", got)
	}
	mustMO(t, c.MO())
}

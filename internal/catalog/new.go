package catalog

import (
	"strings"
	"time"
)

// dateFormat is that of dates in headers.
const dateFormat = "2006-01-02 15:04-0700"

// Template returns the catalog that translators start from (POT): messages without
// translations, and a header.
func Template(project string, messages []*Message, at time.Time) *Catalog {
	c := &Catalog{Header: newHeader("Texts of " + project + ".")}
	c.SetField("Project-Id-Version", project)
	c.SetField("POT-Creation-Date", at.Format(dateFormat))
	c.SetField("MIME-Version", "1.0")
	c.SetField("Content-Type", "text/plain; charset=UTF-8")
	c.SetField("Content-Transfer-Encoding", "8bit")
	for _, m := range messages {
		c.Messages = append(c.Messages, m.asNew(2))
	}
	return c
}

// New returns a catalog in a language with nothing in it but a header.
func New(project, language string, at time.Time) (*Catalog, error) {
	c := &Catalog{Header: newHeader("Texts of " + project + ".")}
	c.SetField("Project-Id-Version", project)
	c.SetField("PO-Revision-Date", at.Format(dateFormat))
	c.SetField("Language", language)
	c.SetField("MIME-Version", "1.0")
	c.SetField("Content-Type", "text/plain; charset=UTF-8")
	c.SetField("Content-Transfer-Encoding", "8bit")
	c.SetField("Plural-Forms", PluralForms(language))
	return c, c.readPlural()
}

func newHeader(comment string) *Message {
	return &Message{Comments: []string{comment}, Translations: []string{""}}
}

// SameButDate reports whether two catalogs are written alike but for when they were made.
func (c *Catalog) SameButDate(other *Catalog) bool {
	if other == nil || c.Header == nil || other.Header == nil {
		return false
	}
	as := *other
	header := *other.Header
	header.Translations = []string{other.Header.Translations[0]}
	as.Header = &header
	as.SetField("POT-Creation-Date", c.Field("POT-Creation-Date"))
	return string(as.PO()) == string(c.PO())
}

// PluralForms returns the header field of a language, as the gettext manual has it; that
// of English for languages that are not known here.
func PluralForms(language string) string {
	for _, code := range []string{language, strings.SplitN(language, "_", 2)[0]} {
		for _, family := range pluralFamilies {
			if strings.Contains(" "+family.languages+" ", " "+code+" ") {
				return family.forms
			}
		}
	}
	return "nplurals=2; plural=(n != 1);"
}

// pluralFamilies are languages that count alike, those apart that count as in English.
// See https://www.gnu.org/software/gettext/manual/html_node/Plural-forms.html.
var pluralFamilies = [...]struct{ forms, languages string }{
	{"nplurals=1; plural=0;", "id ja ko lo ms my th vi zh"},
	{"nplurals=2; plural=(n > 1);", "ak fil fr ln mg mi oc pt_BR ti tl uz wa"},
	{"nplurals=2; plural=(n%10!=1 || n%100==11);", "is"},
	{"nplurals=2; plural=(n%10==1 && n%100!=11 ? 0 : 1);", "mk"},
	{"nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2);", "lv"},
	{"nplurals=3; plural=(n==1 ? 0 : n==0 || (n%100 > 0 && n%100 < 20) ? 1 : 2);", "ro"},
	{"nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && (n%100<10 || n%100>=20) ? 1 : 2);", "lt"},
	{"nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);", "be bs hr ru sr uk"},
	{"nplurals=3; plural=((n==1) ? 0 : (n>=2 && n<=4) ? 1 : 2);", "cs sk"},
	{"nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);", "pl"},
	{"nplurals=4; plural=(n%100==1 ? 0 : n%100==2 ? 1 : n%100==3 || n%100==4 ? 2 : 3);", "sl"},
	{"nplurals=4; plural=(n==1 ? 0 : n==2 ? 1 : (n != 8 && n != 11) ? 2 : 3);", "cy"},
	{"nplurals=4; plural=(n==1 ? 0 : n==0 || (n%100>1 && n%100<11) ? 1 : (n%100>10 && n%100<20) ? 2 : 3);", "mt"},
	{"nplurals=4; plural=(n==1 || n==11 ? 0 : n==2 || n==12 ? 1 : n>2 && n<20 ? 2 : 3);", "gd"},
	{"nplurals=5; plural=(n==1 ? 0 : n==2 ? 1 : n<7 ? 2 : n<11 ? 3 : 4);", "ga"},
	{"nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);", "ar"},
}

package pongo2

import (
	"github.com/flosch/pongo2/v6"

	"nbpress/internal/catalog"
)

// translations are the functions that translate: _, gettext, ngettext, pgettext and
// npgettext, by the catalogs of the language, then of the language without its region.
func translations(files map[string][]byte, language string) pongo2.Context {
	var catalogs []*catalog.Catalog
	for _, code := range catalog.Fallbacks(language) {
		c, err := catalog.ParseMO(files["languages/"+code+"/LC_MESSAGES/messages.mo"])
		if err == nil { // one that is there and cannot be read never comes this far
			catalogs = append(catalogs, c)
		}
	}
	translate := func(context, text, plural string, n int) string {
		for _, c := range catalogs {
			if translated, ok := c.Translate(context, text, n); ok {
				return translated
			}
		}
		if plural != "" && n != 1 {
			return plural
		}
		return text
	}
	gettext := func(text string) string { return translate("", text, "", 1) }
	return pongo2.Context{
		"_":        gettext,
		"gettext":  gettext,
		"pgettext": func(context, text string) string { return translate(context, text, "", 1) },
		"ngettext": func(text, plural string, n int) string { return translate("", text, plural, n) },
		"npgettext": func(context, text, plural string, n int) string {
			return translate(context, text, plural, n)
		},
	}
}

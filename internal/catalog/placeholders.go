package catalog

import (
	"regexp"
	"slices"
	"strings"
)

// placeholder matches what a page's data is put into: %(name)s and its kin, %s, and
// {name} or {0} of str.format. A "%" with a blank behind it is a percent sign.
var placeholder = regexp.MustCompile(`%%|%\(([A-Za-z_][A-Za-z0-9_]*)\)[-+#0]*[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa]|%[-+#0]*[0-9]*(?:\.[0-9]+)?[diouxXeEfFgGcrsa]|\{\{|\}\}|\{([A-Za-z_0-9][A-Za-z0-9_.]*)?(?:![rsa])?(?::[^{}]{0,20})?\}`)

// Placeholders returns what of a text is replaced by values, sorted: "%(name)s" is
// "%(name)", whatever its format, "{total:.2f}" is "{total}".
func Placeholders(text string) []string {
	var found []string
	for _, at := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		whole := text[at[0]:at[1]]
		switch {
		case whole == "%%" || whole == "{{" || whole == "}}":
		case at[2] >= 0:
			found = append(found, "%("+text[at[2]:at[3]]+")")
		case at[4] >= 0:
			found = append(found, "{"+text[at[4]:at[5]]+"}")
		case whole[0] == '{':
			found = append(found, "{}")
		case percentSign(text, at[0], at[1]):
		default:
			found = append(found, "%"+whole[len(whole)-1:])
		}
	}
	slices.Sort(found)
	return found
}

// conversion matches what Python's % takes for a placeholder, and "%%".
var conversion = regexp.MustCompile(`%%|%(?:\([^()]*\))?[-+#0]*(?:\*|[0-9]*)(?:\.(?:\*|[0-9]+))?[hlL]?[diouxXeEfFgGcrsa]`)

// stray reports whether a text that Python formats with % holds a % that is neither a
// placeholder nor doubled: it ends the page.
func stray(text string) bool { return strings.Contains(conversion.ReplaceAllString(text, ""), "%") }

// formatted reports whether placeholders are of Python's %.
func formatted(placeholders []string) bool {
	return slices.ContainsFunc(placeholders, func(p string) bool { return p[0] == '%' })
}

// percentSign reports whether "%d" is not one: as in "20%de".
func percentSign(text string, start, end int) bool {
	letter := func(i int) bool {
		return i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= 'A' && text[i] <= 'Z' || text[i] >= 0x80)
	}
	return letter(end) && start > 0 && text[start-1] >= '0' && text[start-1] <= '9'
}

// Disagree says how the placeholders of a message's translation are not those of its
// text; "" where they agree. A plural form may leave out what the text for one or for
// several leaves out.
func (m *Message) Disagree() string {
	known := Placeholders(m.Text)
	needed := known
	if m.Plural != "" {
		several := Placeholders(m.Plural)
		needed = slices.DeleteFunc(slices.Clone(known), func(p string) bool { return !slices.Contains(several, p) })
		known = append(slices.Clone(known), several...)
	}
	for _, translation := range m.Translations {
		if translation == "" {
			continue
		}
		if formatted(known) && stray(translation) {
			return "it holds a % that is no placeholder; write %%"
		}
		got := Placeholders(translation)
		for _, p := range got {
			if !slices.Contains(known, p) {
				return p + " is not in the message"
			}
		}
		for _, p := range needed {
			if !slices.Contains(got, p) {
				return p + " of the message is missing"
			}
		}
		if m.Plural == "" && len(positional(got)) != len(positional(known)) {
			return "it has another number of %s and the like than the message"
		}
		if m.Plural == "" && formatted(known) && !slices.Equal(kinds(translation), kinds(m.Text)) {
			return "its values are of other kinds, or in another order: %d takes no text"
		}
	}
	return ""
}

// kinds returns which of a text's placeholders take numbers alone, by their names and,
// for those without, in their order.
func kinds(text string) []string {
	var named, inOrder []string
	for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
		whole := match[0]
		kind := whole[len(whole)-1:]
		if strings.ContainsAny(kind, "diouxXeEfFgGc") {
			kind = "number"
		} else {
			kind = "any"
		}
		switch {
		case whole[0] != '%' || whole == "%%":
		case match[1] != "":
			named = append(named, match[1]+" "+kind)
		default:
			inOrder = append(inOrder, kind)
		}
	}
	slices.Sort(named)
	return append(slices.Compact(named), inOrder...)
}

// positional returns the placeholders that take the next value, whatever its name.
func positional(placeholders []string) []string {
	return slices.DeleteFunc(slices.Clone(placeholders), func(p string) bool { return strings.ContainsAny(p, "({") })
}

// markup matches a tag or an entity of HTML.
var markup = regexp.MustCompile(`</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>]*)?/?>|&(?:[A-Za-z]{2,20}|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});`)

// Markup returns the first tag or entity of HTML in a message's translation, "" for none.
func (m *Message) Markup() string { return markup.FindString(strings.Join(m.Translations, " ")) }

package catalog

import "strings"

// accented has an accented letter that everybody can read for each plain one.
var accented = strings.NewReplacer(
	"a", "á", "b", "ƀ", "c", "ç", "d", "ð", "e", "é", "f", "ƒ", "g", "ĝ", "h", "ĥ", "i", "î", "j", "ĵ", "k", "ķ", "l", "ļ", "m", "ɱ",
	"n", "ñ", "o", "ó", "p", "þ", "q", "ǫ", "r", "ŕ", "s", "š", "t", "ţ", "u", "û", "v", "ṽ", "w", "ŵ", "x", "ẋ", "y", "ý", "z", "ž",
	"A", "Å", "B", "Ɓ", "C", "Ç", "D", "Ð", "E", "É", "F", "Ƒ", "G", "Ĝ", "H", "Ĥ", "I", "Î", "J", "Ĵ", "K", "Ķ", "L", "Ļ", "M", "Ṁ",
	"N", "Ñ", "O", "Ó", "P", "Þ", "Q", "Ǫ", "R", "Ŕ", "S", "Š", "T", "Ţ", "U", "Û", "V", "Ṽ", "W", "Ŵ", "X", "Ẋ", "Y", "Ý", "Z", "Ž",
)

// Pseudo returns a text as if it were translated: accented, a third longer and between
// brackets, so that what is not translated, and what has too little room, stands out.
// Placeholders, markup and blanks at both ends stay.
func Pseudo(text string) string {
	core := strings.TrimSpace(text)
	if core == "" {
		return text
	}
	before, after, _ := strings.Cut(text, core)
	var b strings.Builder
	letters, last := 0, 0
	plain := func(part string) {
		letters += len(part)
		b.WriteString(accented.Replace(part))
	}
	for _, at := range keptInPseudo(core) {
		plain(core[last:at[0]])
		b.WriteString(core[at[0]:at[1]])
		last = at[1]
	}
	plain(core[last:])
	return before + "[" + b.String() + strings.Repeat("·", (letters+2)/3) + "]" + after
}

// keptInPseudo returns where placeholders and markup stand, in order.
func keptInPseudo(text string) [][]int {
	var kept [][]int
	for at := 0; at < len(text); {
		next := []int(nil)
		for _, found := range [][]int{placeholder.FindStringIndex(text[at:]), markup.FindStringIndex(text[at:])} {
			if found != nil && (next == nil || found[0] < next[0]) {
				next = found
			}
		}
		if next == nil {
			break
		}
		kept = append(kept, []int{at + next[0], at + next[1]})
		at += next[1]
	}
	return kept
}

// PseudoCatalog returns a catalog that translates messages as Pseudo does.
func PseudoCatalog(messages []*Message) *Catalog {
	c := &Catalog{forms: 2}
	c.SetField("Content-Type", "text/plain; charset=UTF-8")
	c.SetField("Plural-Forms", "nplurals=2; plural=(n != 1);")
	for _, source := range messages {
		m := source.asNew(2)
		m.Translations[0] = Pseudo(m.Text)
		if m.Plural != "" {
			m.Translations[1] = Pseudo(m.Plural)
		}
		c.Messages = append(c.Messages, m)
	}
	return c
}

package catalog

import (
	"cmp"
	"slices"
)

// Merged counts what Merge did.
type Merged struct {
	Kept     int // translated and still asked for
	New      int // without a translation
	Fuzzy    int // with one that somebody has to look at
	Obsolete int // translated and no longer asked for
}

// Merge brings c up to date with the messages that the templates hold, as msgmerge
// does: what is translated stays so; a new message that is much like one that went gets
// its translation, marked as fuzzy; what is no longer asked for becomes obsolete if it
// had a translation, and comes back with it. The order is that of the messages.
func (c *Catalog) Merge(messages []*Message) Merged {
	var result Merged
	gone := make(map[Key]*Message, len(c.Messages)) // what the templates do not hold, as far as we know
	for _, m := range c.Messages {
		if old := gone[m.Key]; old == nil || old.Obsolete {
			gone[m.Key] = m
		}
	}
	var merged []*Message
	var fresh []*Message // of merged
	for _, source := range messages {
		m := source.asNew(c.Forms())
		if old := gone[source.Key]; old != nil {
			delete(gone, source.Key)
			m.takeFrom(old)
		} else {
			fresh = append(fresh, m)
		}
		merged = append(merged, m)
	}
	left := c.leftOver(gone)
	used := map[*Message]bool{} // of left: their translations live on
	for _, m := range fresh {
		if like := mostLike(m, left); like != nil {
			m.guessFrom(like)
			used[like] = true
		}
	}
	left = slices.DeleteFunc(left, func(m *Message) bool { return used[m] })
	for _, m := range merged {
		switch {
		case m.Fuzzy():
			result.Fuzzy++
		case m.Translated():
			result.Kept++
		default:
			result.New++
		}
	}
	result.Obsolete = len(left)
	c.Messages = append(merged, left...)
	return result
}

// leftOver returns the messages of gone that have a translation, as obsolete ones, in
// the order of the file.
func (c *Catalog) leftOver(gone map[Key]*Message) []*Message {
	var left []*Message
	for _, m := range c.Messages {
		if gone[m.Key] != m || !slices.ContainsFunc(m.Translations, func(t string) bool { return t != "" }) {
			continue
		}
		old := *m
		old.Obsolete, old.References, old.Extracted = true, nil, nil
		left = append(left, &old)
	}
	return left
}

// asNew returns an untranslated copy of a template's message.
func (m *Message) asNew(forms int) *Message {
	fresh := *m
	fresh.Flags = slices.Clone(m.Flags)
	fresh.Translations = []string{""}
	if m.Plural != "" {
		fresh.Translations = make([]string, forms)
	}
	return &fresh
}

// takeFrom takes over what people wrote of the same message. Where it got a plural, or
// lost it, they have to look at it.
func (m *Message) takeFrom(old *Message) {
	m.Comments, m.Previous = old.Comments, old.Previous
	flags := slices.Clone(old.Flags)
	for _, flag := range m.Flags {
		if !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	m.Flags = flags
	if m.Plural != "" && len(old.Translations) > len(m.Translations) {
		m.Translations = make([]string, len(old.Translations)) // the header does not say how many there are
	}
	copy(m.Translations, old.Translations)
	if m.Plural != old.Plural || m.Plural != "" && len(old.Translations) != len(m.Translations) {
		m.doubt(old)
	}
}

// guessFrom takes over the translation of a message that is much like this one.
func (m *Message) guessFrom(like *Message) {
	m.takeFrom(like)
	m.doubt(like)
}

// doubt marks a translation as one to be looked at, and says what it was made for.
func (m *Message) doubt(old *Message) {
	if !slices.ContainsFunc(m.Translations, func(t string) bool { return t != "" }) {
		return
	}
	if !m.Fuzzy() {
		m.Flags = append([]string{fuzzyFlag}, m.Flags...)
	}
	m.Previous = nil
	if old.Context != "" {
		m.Previous = append(m.Previous, previousLines("msgctxt", old.Context)...)
	}
	m.Previous = append(m.Previous, previousLines("msgid", old.Text)...)
	if old.Plural != "" {
		m.Previous = append(m.Previous, previousLines("msgid_plural", old.Plural)...)
	}
}

func previousLines(keyword, text string) []string {
	pieces := brokenLines(text)
	if len(pieces) == 1 {
		return []string{keyword + " " + pieces[0]}
	}
	return append([]string{keyword + ` ""`}, pieces...)
}

// The limits of looking for messages that are much alike: what is longer, or one of
// more, is translated anew.
const (
	alike       = 0.6 // of two texts, as msgmerge and Babel take it
	longestLike = 500 // characters
	mostLikes   = 2000
)

// mostLike returns the message with the text that is most like m's; nil where none is
// much like it.
func mostLike(m *Message, messages []*Message) *Message {
	text := []rune(m.Text)
	if len(text) > longestLike || len(messages) > mostLikes {
		return nil
	}
	var best *Message
	most := alike
	for _, other := range messages {
		if like := likeness(text, []rune(other.Text), most); like > most || like == most && best == nil {
			best, most = other, like
		}
	}
	return best
}

// likeness is from 0 to 1: how much of two texts an edit leaves. It is 0 where it
// cannot be more than atLeast.
func likeness(a, b []rune, atLeast float64) float64 {
	longer, shorter := len(a), len(b)
	if longer < shorter {
		longer, shorter = shorter, longer
	}
	if longer > longestLike || float64(shorter) < atLeast*float64(longer) {
		return 0
	}
	row := make([]int, len(b)+1) // the edits from a's beginning to b's beginnings
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, s := range b {
			edits := diagonal
			if r != s {
				edits = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], edits
		}
	}
	return 1 - float64(row[len(b)])/float64(cmp.Or(longer, 1))
}

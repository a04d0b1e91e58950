package redact

import (
	"bytes"
	"html"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// view undoes one way of escaping, everywhere in a text.
type view struct {
	order int
	first string // the bytes that an escape can begin with
	// read returns how many bytes at the beginning of text are one escape, and what it
	// stands for; 0: none. It is not asked where no escape can begin.
	read func(text []byte, room []byte) (n int, stands []byte)
}

// viewsFor returns the views that a value may be hidden behind.
func viewsFor(value string) []view {
	views := []view{
		{1, "\\", readBackslash},
		{2, "%", readPercent},
		{3, "&", readEntity},
		{4, "\x1b", readColour},
		{squeezing, " \t\r\n", func([]byte, []byte) (int, []byte) { return 1, nil }},
	}
	if strings.Contains(value, " ") {
		views = append(views, view{5, "%+", readForm})
	}
	if !isASCII(value) {
		views = append(views, view{6, "\\", readLatin})
	}
	return views
}

// squeezing is the view without blanks. None is looked through behind it.
const squeezing = 9

// joinViews returns each view once. Where no secret holds what an escape begins with, one
// view undoes all ways of escaping at once: it cannot undo what is no escape of a secret.
func joinViews(views []view, secrets []Secret) []view {
	slices.SortFunc(views, func(a, b view) int { return a.order - b.order })
	views = slices.CompactFunc(views, func(a, b view) bool { return a.order == b.order })
	for _, s := range secrets {
		if strings.ContainsAny(s.Value, escapes) {
			return views
		}
	}
	views = slices.DeleteFunc(views, func(v view) bool { return v.order <= 4 })
	return append([]view{{0, escapes, readAny}}, views...)
}

// escapes are the bytes that an escape can begin with.
const escapes = "\\%&\x1b"

// readAny reads what any of the other views would.
func readAny(text, room []byte) (int, []byte) {
	switch text[0] {
	case '\\':
		return readBackslash(text, room)
	case '%':
		return readPercent(text, room)
	case '&':
		return readEntity(text, room)
	}
	return readColour(text, room)
}

// behind returns the views that are looked through behind this one.
func (v view) behind(views []view) []view {
	if v.order == squeezing {
		return nil
	}
	return views
}

// text is of without the places, written into room.
func (v view) text(text, room []byte) (seen []byte, changed bool) {
	i := bytes.IndexAny(text, v.first)
	if i < 0 {
		return room, false
	}
	var begins [256]bool
	for _, c := range []byte(v.first) {
		begins[c] = true
	}
	var short [8]byte
	seen = slices.Grow(room[:0], len(text))
	from := 0 // what is not in seen yet
	for i < len(text) {
		if !begins[text[i]] {
			i++
			continue
		}
		n, stands := v.read(text[i:], short[:0])
		if n == 0 {
			i++
			continue
		}
		seen = append(append(seen, text[from:i]...), stands...)
		i += n
		from, changed = i, true
	}
	return append(seen, text[from:]...), changed
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}

// place is where a byte that a view shows stands in the text.
type place struct{ from, to int32 }

// of returns a text as the view shows it, and where each byte of that stands in the text;
// nil where nothing is escaped.
func (v view) of(text []byte) (seen []byte, at []place) {
	i := bytes.IndexAny(text, v.first)
	if i < 0 {
		return nil, nil
	}
	var begins [256]bool
	for _, c := range []byte(v.first) {
		begins[c] = true
	}
	var room [8]byte
	for ; i < len(text); i++ {
		n, stands := 0, room[:0]
		if begins[text[i]] {
			n, stands = v.read(text[i:], stands)
		}
		switch {
		case n == 0 && seen == nil:
			continue
		case n == 0:
			n, stands = 1, text[i:i+1]
		case seen == nil:
			seen, at = make([]byte, i, len(text)), make([]place, i, len(text))
			copy(seen, text)
			for k := range at {
				at[k] = place{int32(k), int32(k + 1)}
			}
		}
		for range stands {
			at = append(at, place{int32(i), int32(i + n)})
		}
		seen = append(seen, stands...)
		i += n - 1
	}
	return seen, at
}

// readBackslash reads what JSON, Python, C and shells write with a backslash. \x and octal
// digits are bytes.
func readBackslash(text, room []byte) (int, []byte) {
	if len(text) < 2 {
		return 0, nil
	}
	const letters, stand = "abfnrtv", "\a\b\f\n\r\t\v"
	switch c := text[1]; {
	case c == 'u':
		return readUnicode(text, room)
	case c == 'U':
		if n, ok := number(text, 2, 8, 16); ok {
			return 10, utf8.AppendRune(room, rune(n))
		}
	case c == 'x':
		if n, ok := number(text, 2, 2, 16); ok {
			return 4, append(room, byte(n))
		}
	case c >= '0' && c <= '7':
		digits := 1
		for digits < 3 && 1+digits < len(text) && text[1+digits] >= '0' && text[1+digits] <= '7' {
			digits++
		}
		n, _ := number(text, 1, digits, 8)
		return 1 + digits, append(room, byte(n))
	case strings.IndexByte(letters, c) >= 0:
		return 2, append(room, stand[strings.IndexByte(letters, c)])
	case c == '\n': // a line that goes on
		return 2, room
	}
	return 2, append(room, text[1])
}

// readUnicode reads \uXXXX, of which two may be one character.
func readUnicode(text, room []byte) (int, []byte) {
	n, ok := number(text, 2, 4, 16)
	if !ok {
		return 2, append(room, 'u')
	}
	if utf16.IsSurrogate(rune(n)) && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
		if low, ok := number(text, 8, 4, 16); ok {
			if r := utf16.DecodeRune(rune(n), rune(low)); r != utf8.RuneError {
				return 12, utf8.AppendRune(room, r)
			}
		}
	}
	return 6, utf8.AppendRune(room, rune(n))
}

// readLatin is readBackslash, but for \x with a character's number, as Python writes text.
func readLatin(text, room []byte) (int, []byte) {
	if n, ok := number(text, 2, 2, 16); ok && text[1] == 'x' {
		return 4, utf8.AppendRune(room, rune(n))
	}
	return readBackslash(text, room)
}

// readPercent reads %XX of addresses.
func readPercent(text, room []byte) (int, []byte) {
	if n, ok := number(text, 1, 2, 16); ok {
		return 3, append(room, byte(n))
	}
	return 0, nil
}

// readForm is readPercent where a blank is a plus.
func readForm(text, room []byte) (int, []byte) {
	if text[0] == '+' {
		return 1, append(room, ' ')
	}
	return readPercent(text, room)
}

// readEntity reads what HTML and XML write with an ampersand.
func readEntity(text, room []byte) (int, []byte) {
	end := bytes.IndexByte(text[:min(len(text), 12)], ';')
	if end < 2 {
		return 0, nil
	}
	entity := string(text[:end+1])
	stands := html.UnescapeString(entity)
	if stands == entity {
		return 0, nil
	}
	return end + 1, append(room, stands...)
}

// readColour reads a CSI sequence of ECMA-48.
func readColour(text, room []byte) (int, []byte) {
	if len(text) < 3 || text[1] != '[' {
		return 0, nil
	}
	for i, c := range text[2:min(len(text), 32)] {
		if c >= '@' && c <= '~' {
			return i + 3, room
		}
	}
	return 0, nil
}

// number reads digits of a base at a place.
func number(text []byte, from, digits, base int) (n int, ok bool) {
	if len(text) < from+digits {
		return 0, false
	}
	for _, c := range text[from : from+digits] {
		d := base
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c >= 'a' && c <= 'f':
			d = int(c-'a') + 10
		case c >= 'A' && c <= 'F':
			d = int(c-'A') + 10
		}
		if d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}

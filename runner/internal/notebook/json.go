package notebook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a JSON may nest. Python's nbformat, which Jupyter opens
// notebooks with, gives up at about twice that.
const maxDepth = 100

// ErrTooLarge is the error for a value that is over the caller's limit.
var ErrTooLarge = errors.New("the value is too large")

// JSON is a JSON value that nobody had to take apart: what a kernel displays may be
// a million objects. It is the value's text in one canonical form: no blanks, keys
// sorted, of equal keys the last, numbers and strings as Python writes them. It
// costs the memory of that text and never changes. The zero value is an empty object.
type JSON struct{ text []byte }

// ParseJSON checks data and returns it in canonical form. Invalid UTF-8 and lone
// surrogates become U+FFFD. ErrTooLarge: that has more bytes than limit.
func ParseJSON(data []byte, limit int) (JSON, error) {
	if !json.Valid(data) {
		return JSON{}, errors.New("it is not JSON")
	}
	return canonical(data, spanAt(data, 0), canonizer{limit: limit})
}

// String returns the value's text.
func (j JSON) String() string {
	if j.text == nil {
		return "{}"
	}
	return string(j.text)
}

// Equal reports whether two values are the same.
func (j JSON) Equal(other JSON) bool { return bytes.Equal(j.text, other.text) }

// MarshalJSON returns the value's text.
func (j JSON) MarshalJSON() ([]byte, error) { return []byte(j.String()), nil }

// canonizer writes a valid JSON text in canonical form.
type canonizer struct {
	limit  int
	bundle bool // the value is a MIME bundle: its lists of lines become strings
	repair bool // what nbformat does not allow in a bundle becomes text
	deep   bool // it may nest as deep as encoding/json can read

	data    []byte
	out     []byte
	missing error // what of a bundle was left out
	depth   int
	open    []member // of the objects that are being written
	moved   []byte   // kept for the next object that is sorted
}

// member is one member of an object in out, up to its comma.
type member struct{ start, end int32 }

// canonical returns the value v of data in canonical form, as how says. Of a bundle
// that is repaired, an error may only mean that a part of it is missing.
func canonical(data []byte, v span, how canonizer) (JSON, error) {
	c := how
	c.data = data
	c.out = make([]byte, 0, min(v.end-v.start, c.limit))
	if _, err := c.value(v.start); err != nil {
		return JSON{}, err
	}
	if string(c.out) == "{}" {
		return JSON{}, c.missing
	}
	if waste := cap(c.out) - len(c.out); waste > len(c.out)/8 {
		c.out = append(make([]byte, 0, len(c.out)), c.out...)
	}
	return JSON{c.out}, c.missing
}

// value writes the value at i and returns where it ends.
func (c *canonizer) value(i int) (end int, err error) {
	i = skipBlanks(c.data, i)
	switch c.data[i] {
	case '{', '[':
		if c.depth++; c.depth > maxDepth && !c.deep {
			return 0, fmt.Errorf("it nests deeper than %d levels", maxDepth)
		}
		if c.data[i] == '{' {
			end, err = c.object(i)
		} else {
			end, err = c.array(i)
		}
		c.depth--
	case '"':
		end = stringEnd(c.data, i)
		c.out = appendString(c.out, c.data[i:end])
	case 't', 'f', 'n':
		end = scalarEnd(c.data, i)
		c.out = append(c.out, c.data[i:end]...)
	default:
		end = scalarEnd(c.data, i)
		c.out = appendNumber(c.out, c.data[i:end])
	}
	if err == nil && len(c.out) > c.limit {
		err = ErrTooLarge
	}
	return end, err
}

func (c *canonizer) array(i int) (end int, err error) {
	c.out = append(c.out, '[')
	for i = skipBlanks(c.data, i+1); c.data[i] != ']'; {
		if i, err = c.value(i); err != nil {
			return 0, err
		}
		c.out = append(c.out, ',')
		i = c.next(i)
	}
	c.end('[', ']')
	return i + 1, nil
}

// next returns where the element or member after i begins, or its parent ends.
func (c *canonizer) next(i int) int {
	if i = skipBlanks(c.data, i); c.data[i] == ',' {
		i = skipBlanks(c.data, i+1)
	}
	return i
}

// end puts the closing bracket in the place of the last comma.
func (c *canonizer) end(opening, closing byte) {
	if last := len(c.out) - 1; c.out[last] == ',' {
		c.out[last] = closing
	} else {
		c.out = append(c.out, closing)
	}
}

func (c *canonizer) object(i int) (end int, err error) {
	c.out = append(c.out, '{')
	first, from, sorted := len(c.open), len(c.out), true
	for i = skipBlanks(c.data, i+1); c.data[i] != '}'; {
		start := len(c.out)
		if i, err = c.member(i); err != nil {
			return 0, err
		}
		i = c.next(i)
		if len(c.out) == start {
			continue // left out
		}
		c.out = append(c.out, ',')
		if n := len(c.open); n > first && compareKeys(c.out[c.open[n-1].start:], c.out[start:]) >= 0 {
			sorted = false
		}
		c.open = append(c.open, member{int32(start), int32(len(c.out))})
	}
	if !sorted {
		c.sort(c.open[first:], from)
	}
	c.open = c.open[:first]
	c.end('{', '}')
	return i + 1, nil
}

func (c *canonizer) member(i int) (end int, err error) {
	start := len(c.out)
	keyEnd := stringEnd(c.data, i)
	c.out = append(appendString(c.out, c.data[i:keyEnd]), ':')
	value := skipBlanks(c.data, keyEnd)
	if c.bundle && c.depth == 1 {
		return c.shown(text(c.data, span{i, keyEnd}), start, value+1)
	}
	return c.value(value + 1)
}

// sort brings members, which out ends with, into order.
func (c *canonizer) sort(members []member, from int) {
	slices.SortFunc(members, func(a, b member) int {
		return cmp.Or(compareKeys(c.out[a.start:], c.out[b.start:]), cmp.Compare(a.start, b.start))
	})
	c.moved = slices.Grow(c.moved[:0], len(c.out)-from)
	for i, m := range members {
		if i+1 < len(members) && compareKeys(c.out[m.start:], c.out[members[i+1].start:]) == 0 {
			continue // the last one counts
		}
		c.moved = append(c.moved, c.out[m.start:m.end]...)
	}
	c.out = append(c.out[:from], c.moved...)
}

// shown writes the value at i of a bundle's member that begins at start. Lists of
// lines become strings, as nbformat reads them.
func (c *canonizer) shown(mime string, start, i int) (end int, err error) {
	v := spanAt(c.data, i)
	first, at, open := c.data[v.start], len(c.out), len(c.open)
	isLines := first == '[' && c.isLines(v)
	switch {
	case isLines && !isJSON(mime):
		c.joined(v)
	case first == 'n' && c.repair && !mayBeAnything(mime):
		c.out = c.out[:start]
	default:
		_, err = c.value(i)
		if err == nil && c.repair && first != '"' && !isLines && !mayBeAnything(mime) {
			c.out = appendQuoted(c.out[:at], string(c.out[at:]))
		}
	}
	if err != nil && c.repair && !errors.Is(err, ErrTooLarge) {
		c.missing = fmt.Errorf("%.100q: %w", mime, err)
		c.out, c.open, c.depth = c.out[:start], c.open[:open], 1
		err = nil
	}
	if err == nil && len(c.out) > c.limit {
		err = ErrTooLarge
	}
	return v.end, err
}

// joined writes a list of lines as one string.
func (c *canonizer) joined(v span) {
	c.out = append(c.out, '"')
	_ = elements(c.data, v, func(line span) error {
		c.out = appendString(c.out, c.data[line.start+1:line.end-1])
		return nil
	})
	c.out = append(c.out, '"')
}

func (c *canonizer) isLines(v span) bool {
	return elements(c.data, v, func(line span) error {
		if c.data[line.start] != '"' {
			return errors.ErrUnsupported
		}
		return nil
	}) == nil
}

// compareKeys compares the strings that a and b begin with, as Python sorts them.
// Both are canonical.
func compareKeys(a, b []byte) int {
	i := 1
	for a[i] == b[i] && a[i] != '"' && a[i] != '\\' {
		i++
	}
	a, b = a[i:], b[i:]
	for {
		x, n := keyByte(a)
		y, m := keyByte(b)
		if x != y || x < 0 {
			return cmp.Compare(x, y)
		}
		a, b = a[n:], b[m:]
	}
}

// keyByte returns the first byte of what a canonical string says, and its size
// there; -1 at the string's end.
func keyByte(s []byte) (value, size int) {
	switch {
	case s[0] == '"':
		return -1, 0
	case s[0] != '\\':
		return int(s[0]), 1
	}
	r, size := unescape(s)
	return int(r), size // canonical strings escape nothing beyond ASCII
}

// unescape returns the character that the escape at the beginning of s means.
func unescape(s []byte) (r rune, size int) {
	switch s[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'f':
		return '\f', 2
	case 'b':
		return '\b', 2
	case 'u':
	default:
		return rune(s[1]), 2
	}
	r = hex4(s[2:])
	switch {
	case r < 0xd800 || r > 0xdfff:
		return r, 6
	case r < 0xdc00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u':
		if low := hex4(s[8:]); low >= 0xdc00 && low <= 0xdfff {
			return 0x10000 + (r-0xd800)<<10 + (low - 0xdc00), 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(s []byte) rune {
	n, _ := strconv.ParseUint(string(s[:4]), 16, 32) // valid: see the top of scan.go
	return rune(n)
}

// appendString appends a part of a JSON string with its escapes as Python has them.
func appendString(out, s []byte) []byte {
	for {
		n := bytes.IndexByte(s, '\\')
		if n < 0 {
			return appendValid(out, s)
		}
		out = appendValid(out, s[:n])
		r, size := unescape(s[n:])
		out = appendEscaped(out, r)
		s = s[n+size:]
	}
}

func appendValid(out, s []byte) []byte {
	if utf8.Valid(s) {
		return append(out, s...)
	}
	for _, r := range string(s) {
		out = utf8.AppendRune(out, r)
	}
	return out
}

// appendQuoted appends s as a JSON string.
func appendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		out = appendEscaped(out, r)
	}
	return append(out, '"')
}

// appendEscaped appends a character as it stands in a JSON string.
func appendEscaped(out []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(out, '\\', byte(r))
	case '\n':
		return append(out, `\n`...)
	case '\r':
		return append(out, `\r`...)
	case '\t':
		return append(out, `\t`...)
	case '\f':
		return append(out, `\f`...)
	case '\b':
		return append(out, `\b`...)
	}
	if r < ' ' {
		return append(out, '\\', 'u', '0', '0', "01"[r>>4], "0123456789abcdef"[r&15])
	}
	return utf8.AppendRune(out, r)
}

// maxDigits is how long a whole number may be for Python to read it.
const maxDigits = 4300

// appendNumber appends a number of a JSON text as Python writes it that has read it.
func appendNumber(out, number []byte) []byte {
	if !bytes.ContainsAny(number, ".eE") {
		digits := bytes.TrimPrefix(number, []byte("-"))
		switch {
		case string(number) == "-0":
			return append(out, '0')
		case len(digits) > maxDigits: // so large a float is infinite to all who read it
			out = append(out, number[:len(number)-len(digits)+1]...)
			out = append(append(out, '.'), digits[1:17]...)
			return strconv.AppendInt(append(out, "e+"...), int64(len(digits)-1), 10)
		}
		return append(out, number...)
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil { // too large for a float: as it is
		return append(out, number...)
	}
	return append(out, pythonFloat(f)...)
}

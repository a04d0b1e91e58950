package notebook

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// This file finds values and their offsets in JSON that encoding/json has
// already found valid; nothing else may be handed to it. It does not recurse.

// span is one JSON value: data[start:end].
type span struct{ start, end int }

func skipBlanks(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// spanAt returns the value that begins at or after i.
func spanAt(data []byte, i int) span {
	start := skipBlanks(data, i)
	depth := 0
	for i = start; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		default:
			if depth == 0 {
				return span{start, scalarEnd(data, i)}
			}
			continue
		}
		if depth == 0 {
			return span{start, i + 1}
		}
	}
	return span{start, len(data)}
}

func stringEnd(data []byte, i int) int {
	i++
	for range 24 { // most are short
		switch {
		case i >= len(data):
			return len(data)
		case data[i] == '"':
			return i + 1
		case data[i] == '\\':
			i++
		}
		i++
	}
	for quote := -1; ; {
		if quote < i {
			n := bytes.IndexByte(data[min(i, len(data)):], '"')
			if n < 0 {
				return len(data)
			}
			quote = i + n
		}
		n := bytes.IndexByte(data[i:quote], '\\')
		if n < 0 {
			return quote + 1
		}
		i += n + 2
	}
}

func scalarEnd(data []byte, i int) int {
	for ; i < len(data); i++ {
		switch data[i] {
		case ' ', '\n', '\t', '\r', ',', ']', '}':
			return i
		}
	}
	return i
}

// elements calls f for each element of the array v.
func elements(data []byte, v span, f func(span) error) error {
	for i := skipBlanks(data, v.start+1); i < v.end && data[i] != ']'; {
		element := spanAt(data, i)
		if err := f(element); err != nil {
			return err
		}
		if i = skipBlanks(data, element.end); i < v.end && data[i] == ',' {
			i = skipBlanks(data, i+1)
		}
	}
	return nil
}

// eachMember calls f for the key, with its quotes, and the value of each member of
// the object v.
func eachMember(data []byte, v span, f func(key, value span) error) error {
	for i := skipBlanks(data, v.start+1); i < v.end && data[i] == '"'; {
		key := span{i, stringEnd(data, i)}
		value := spanAt(data, skipBlanks(data, key.end)+1)
		if err := f(key, value); err != nil {
			return err
		}
		if i = skipBlanks(data, value.end); i < v.end && data[i] == ',' {
			i = skipBlanks(data, i+1)
		}
	}
	return nil
}

// text returns the string v, "" where v is empty.
func text(data []byte, v span) string {
	if v.start == v.end {
		return ""
	}
	s := data[v.start+1 : v.end-1]
	var b strings.Builder
	b.Grow(len(s))
	for {
		n := bytes.IndexByte(s, '\\')
		if n < 0 {
			writeValid(&b, s)
			break
		}
		writeValid(&b, s[:n])
		r, size := unescape(s[n:])
		b.WriteRune(r)
		s = s[n+size:]
	}
	if b.Len() < b.Cap()/8*7 {
		return strings.Clone(b.String())
	}
	return b.String()
}

func writeValid(b *strings.Builder, s []byte) {
	if utf8.Valid(s) {
		b.Write(s)
		return
	}
	b.WriteString(validUTF8(string(s)))
}

// decode returns v as maps, slices, strings, booleans and json.Numbers.
func decode(data []byte, v span) any {
	decoder := json.NewDecoder(bytes.NewReader(data[v.start:v.end]))
	decoder.UseNumber()
	var value any
	_ = decoder.Decode(&value) // valid: see the top of the file
	return value
}

// countValues returns about how many JSON values data holds.
func countValues(data []byte) int {
	count := 1
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = stringEnd(data, i) - 1
		case '{', '[', ',':
			count++
		}
	}
	return count
}

// cursor turns growing offsets into lines and columns in one pass.
type cursor struct{ offset, line, column int }

// at returns line and column, 1-based, of an offset of data.
func (c *cursor) at(data []byte, offset int) (line, column int) {
	if c.line == 0 || offset < c.offset {
		*c = cursor{line: 1, column: 1}
	}
	passed := data[c.offset:offset]
	if n := bytes.Count(passed, []byte{'\n'}); n > 0 {
		c.line += n
		c.column = 1
		passed = passed[bytes.LastIndexByte(passed, '\n')+1:]
	}
	c.column += utf8.RuneCount(passed)
	c.offset = offset
	return c.line, c.column
}

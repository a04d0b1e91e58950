package notebook

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writer writes values as Python's json.dumps(v, indent=1, sort_keys=True,
// ensure_ascii=False, separators=(",", ": ")) does. After its first error what it
// wrote is of no use.
type writer struct {
	buf     []byte
	out     *bufio.Writer // takes it instead of buf; nil: buf does
	measure bool          // write nothing, only count
	size    int64         // bytes counted
	err     error
}

func (w *writer) raw(s string) {
	if w.measure {
		w.size += int64(len(s))
		return
	}
	if w.out != nil {
		_, _ = w.out.WriteString(s) // its error stays until the end
		return
	}
	w.buf = append(w.buf, s...)
}

func (w *writer) bytes(b []byte) {
	if w.measure {
		w.size += int64(len(b))
		return
	}
	if w.out != nil {
		_, _ = w.out.Write(b) // its error stays until the end
		return
	}
	w.buf = append(w.buf, b...)
}

// blanks is as deep as lines are indented.
const blanks = "\n                                                                                                                                "

func (w *writer) newLine(depth int) {
	if depth <= maxIndent {
		w.raw(blanks[:depth+1])
	}
}

func (w *writer) value(v any, depth int) {
	switch v := v.(type) {
	case nil:
		w.raw("null")
	case bool:
		w.raw(strconv.FormatBool(v))
	case string:
		w.string(v)
	case int:
		w.raw(strconv.Itoa(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.fail(fmt.Errorf("%v is not a JSON number", v))
			return
		}
		w.raw(wholeOrFloat(v))
	case json.Number:
		if !isNumber(string(v)) {
			w.fail(fmt.Errorf("%q is not a JSON number", v))
			return
		}
		w.bytes(appendNumber(nil, []byte(v)))
	case []string:
		w.sequence('[', ']', len(v), depth, func(i int) { w.string(v[i]) })
	case []any:
		w.sequence('[', ']', len(v), depth, func(i int) { w.value(v[i], depth+1) })
	case map[string]any:
		w.fields(depth, v)
	case lines:
		w.lines(string(v), depth)
	case JSON:
		w.json(v, depth)
	case Tree:
		w.value(v.Tree(), depth)
	case bundle:
		w.bundle(v.text, depth)
	case cellList:
		w.sequence('[', ']', len(v.cells), depth, func(i int) { w.cell(v.cells[i], v.ids[i], depth+1) })
	case outputList:
		w.sequence('[', ']', len(v), depth, func(i int) { w.output(&v[i], depth+1) })
	default: // a type of the caller's: what encoding/json makes of it
		data, err := json.Marshal(v)
		if err != nil {
			w.fail(err)
			return
		}
		j, err := canonical(data, span{0, len(data)}, canonizer{limit: math.MaxInt32, deep: true})
		w.fail(err)
		w.json(j, depth)
	}
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) sequence(opening, closing byte, n, depth int, item func(int)) {
	w.bytes([]byte{opening})
	for i := range n {
		if i > 0 {
			w.raw(",")
		}
		w.newLine(depth + 1)
		item(i)
	}
	if n > 0 {
		w.newLine(depth)
	}
	w.bytes([]byte{closing})
}

// fields writes an object of the known fields, which are in order, and what is in
// rest beside them.
func (w *writer) fields(depth int, rest map[string]any, known ...field) {
	all := known
	if len(rest) > 0 {
		for _, key := range slices.Sorted(maps.Keys(rest)) {
			if !slices.ContainsFunc(known, func(f field) bool { return f.key == key }) {
				all = append(all, field{key, rest[key]})
			}
		}
		if len(known) > 0 {
			slices.SortFunc(all, func(a, b field) int { return cmp.Compare(a.key, b.key) })
		}
	}
	w.sequence('{', '}', len(all), depth, func(i int) {
		w.string(all[i].key)
		w.raw(": ")
		w.value(all[i].value, depth+1)
	})
}

// string writes s; invalid UTF-8 becomes U+FFFD.
func (w *writer) string(s string) {
	w.raw(`"`)
	w.escaped(validUTF8(s))
	w.raw(`"`)
}

func (w *writer) escaped(s string) {
	from := 0
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		w.raw(s[from:i])
		w.escape(s[i])
		from = i + 1
	}
	w.raw(s[from:])
}

func (w *writer) escape(c byte) {
	var room [6]byte
	w.bytes(appendEscaped(room[:0], rune(c)))
}

func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// lines writes a text as a list of its lines, split where Python's
// str.splitlines(keepends=True) does, which knows more line ends than a newline.
func (w *writer) lines(s string, depth int) {
	s = validUTF8(s)
	w.beginLines(len(s), depth)
	from := 0
	for i := 0; i < len(s); {
		c, n := s[i], 1
		switch {
		case c >= ' ' && c != '"' && c != '\\' && c != 0xc2 && c != 0xe2:
			i++
			continue
		case c < utf8.RuneSelf:
			w.raw(s[from:i])
			w.escape(c)
			if c == '\r' && i+1 < len(s) && s[i+1] == '\n' {
				w.escape('\n')
				n = 2
			}
			from = i + n
		default:
			if n = wideLineEnd(s[i:]); n == 0 {
				i++
				continue
			}
		}
		i += n
		if i < len(s) && (endsLine(rune(c)) || c >= utf8.RuneSelf) {
			w.raw(s[from:i])
			from = i
			w.nextLine(depth)
		}
	}
	w.raw(s[from:])
	w.endLines(len(s), depth)
}

func (w *writer) beginLines(size, depth int) {
	w.raw("[")
	if size > 0 {
		w.newLine(depth + 1)
		w.raw(`"`)
	}
}

func (w *writer) nextLine(depth int) {
	w.raw(`",`)
	w.newLine(depth + 1)
	w.raw(`"`)
}

func (w *writer) endLines(size, depth int) {
	if size > 0 {
		w.raw(`"`)
		w.newLine(depth)
	}
	w.raw("]")
}

func endsLine(c rune) bool {
	return c >= '\n' && c <= '\r' || c >= 0x1c && c <= 0x1e
}

// wideLineEnd returns the size of the line end beyond ASCII that s begins with.
func wideLineEnd(s string) int {
	switch {
	case strings.HasPrefix(s, "\u0085"):
		return 2
	case strings.HasPrefix(s, "\u2028"), strings.HasPrefix(s, "\u2029"):
		return 3
	}
	return 0
}

// bundle writes a MIME bundle, its texts as lists of lines.
func (w *writer) bundle(text []byte, depth int) {
	first := true
	w.raw("{")
	_ = eachMember(text, span{0, len(text)}, func(key, value span) error {
		if !first {
			w.raw(",")
		}
		first = false
		w.newLine(depth + 1)
		mime := text[key.start:key.end]
		w.bytes(mime)
		w.raw(": ")
		if text[value.start] == '"' && isText(string(mime[1:len(mime)-1])) {
			w.jsonLines(text[value.start+1:value.end-1], depth+1)
		} else {
			w.json(JSON{text[value.start:value.end]}, depth+1)
		}
		return nil
	})
	if !first {
		w.newLine(depth)
	}
	w.raw("}")
}

// jsonLines is lines for what stands between the quotes of a canonical string.
func (w *writer) jsonLines(s []byte, depth int) {
	w.beginLines(len(s), depth)
	from := 0
	for i := 0; i < len(s); {
		c, n, ends := s[i], 1, false
		switch c {
		case '\\':
			var r rune
			if r, n = unescape(s[i:]); r == '\r' && bytes.HasPrefix(s[i+n:], []byte(`\n`)) {
				n += len(`\n`)
			}
			ends = endsLine(r)
		case 0xc2, 0xe2:
			if wide := wideLineEnd(string(s[i:min(i+3, len(s))])); wide > 0 {
				n, ends = wide, true
			}
		}
		i += n
		if ends && i < len(s) {
			w.bytes(s[from:i])
			from = i
			w.nextLine(depth)
		}
	}
	w.bytes(s[from:])
	w.endLines(len(s), depth)
}

func (w *writer) json(j JSON, depth int) {
	text := j.text
	if text == nil {
		w.raw("{}")
		return
	}
	from := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			i = stringEnd(text, i) - 1
		case '{', '[':
			if text[i+1] == c+2 { // the closing bracket, in ASCII
				i++
				continue
			}
			w.bytes(text[from : i+1])
			from = i + 1
			depth++
			w.newLine(depth)
		case '}', ']':
			w.bytes(text[from:i])
			from = i
			depth--
			w.newLine(depth)
		case ',':
			w.bytes(text[from : i+1])
			from = i + 1
			w.newLine(depth)
		case ':':
			w.bytes(text[from : i+1])
			from = i + 1
			w.raw(" ")
		}
	}
	w.bytes(text[from:])
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && s[len(s)-1] > ' ' && json.Valid([]byte(s))
}

// wholeOrFloat writes a whole number without a fraction, since a float64 in Go
// often was an integer in JSON.
func wholeOrFloat(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return pythonFloat(f)
}

// pythonFloat is Python's repr of a float.
func pythonFloat(f float64) string {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

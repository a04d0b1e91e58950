package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// JSON redacts the strings of a JSON text, keys too, and nothing else of it: it stays
// JSON. A list of strings is one text, as notebooks keep texts. A number that is a value
// becomes a string. It returns data itself where there is nothing to take out.
func (r *Redactor) JSON(data []byte) ([]byte, error) {
	if r == nil {
		return data, nil
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("redact: not JSON")
	}
	w := jsonWalk{r: r, data: data}
	for w.at < len(data) {
		switch c := data[w.at]; {
		case c == '"':
			w.texts([]span{w.string()})
		case c == '[':
			w.at++
			w.texts(w.list())
		case c == '-' || c >= '0' && c <= '9':
			w.number()
		default:
			w.at++
		}
	}
	if w.copied == 0 {
		return data, nil
	}
	return append(w.out, data[w.copied:]...), nil
}

// jsonWalk goes through a valid JSON text.
type jsonWalk struct {
	r      *Redactor
	data   []byte
	at     int
	out    []byte
	copied int // how much of data is in out
}

type span struct{ from, to int }

// string returns the place of the string that begins here, with its quotes.
func (w *jsonWalk) string() span {
	from := w.at
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
	return span{from, w.at}
}

// list returns the strings that the list begins with that was opened.
func (w *jsonWalk) list() []span {
	var list []span
	for w.at < len(w.data) {
		switch w.data[w.at] {
		case ' ', '\t', '\r', '\n', ',':
			w.at++
		case '"':
			list = append(list, w.string())
		default:
			return list
		}
	}
	return list
}

// texts redacts strings that are one text.
func (w *jsonWalk) texts(places []span) {
	if len(places) == 0 {
		return
	}
	texts := make([]string, len(places))
	for i, p := range places {
		raw := w.data[p.from:p.to]
		if texts[i] = string(raw[1 : len(raw)-1]); bytes.IndexByte(raw, '\\') >= 0 {
			_ = json.Unmarshal(raw, &texts[i]) // it is valid
		}
	}
	for i, redacted := range w.r.Pieces(texts) {
		if redacted != texts[i] {
			w.put(places[i], redacted)
		}
	}
}

func (w *jsonWalk) number() {
	from := w.at
	for w.at < len(w.data) && strings.IndexByte("+-.eE0123456789", w.data[w.at]) >= 0 {
		w.at++
	}
	number := string(w.data[from:w.at])
	if redacted := w.r.String(number); redacted != number {
		w.put(span{from, w.at}, redacted)
	}
}

// put writes a string in the place of a value.
func (w *jsonWalk) put(place span, text string) {
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // strings always encode
	w.out = append(append(w.out, w.data[w.copied:place.from]...), bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
	w.copied = place.to
}

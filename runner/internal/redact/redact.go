package redact

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Secret is a value that must not be seen, and the name that people know it by.
type Secret struct{ Name, Value string }

// Limits on values. A short one would be found everywhere; what an environment variable
// can hold ends at 128 KiB in Linux, and all of them together cost memory.
const (
	Shortest = 8
	Longest  = 64 << 10
)

// Redactor knows the secrets of one attempt. Nil knows none. It may be used by several
// goroutines at a time.
type Redactor struct {
	names []string
	index matcher
	views []view
}

// New returns who knows some secrets. The error says, without the value, which of them
// cannot be protected, and why.
func New(secrets ...Secret) (*Redactor, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	r := &Redactor{index: newMatcher()}
	var errs []error
	size := 0
	var marks strings.Builder
	marks.WriteString(shortMark)
	for _, s := range secrets {
		marks.WriteString(markOf(s.Name))
	}
	for i, s := range secrets {
		value := strings.TrimSpace(s.Value)
		size += len(value)
		switch {
		case len(value) < Shortest:
			errs = append(errs, fmt.Errorf("%s is too short to be kept out of outputs: it has %d bytes, and needs %d", s.Name, len(value), Shortest))
			continue
		case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			errs = append(errs, fmt.Errorf("%s is no text: an environment variable can hold UTF-8 without NUL bytes; encode it, for example by base64", s.Name))
			continue
		case size > Longest:
			errs = append(errs, fmt.Errorf("with %s the secrets have more than %d KiB", s.Name, Longest>>10))
			continue
		case strings.Contains(marks.String(), value):
			errs = append(errs, fmt.Errorf("%s stands in the names of secrets: it needs another value", s.Name))
			continue
		}
		r.names = append(r.names, s.Name)
		for _, form := range formsOf(value) {
			r.index.add(form, i)
		}
		r.views = append(r.views, viewsFor(value)...)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	r.views = joinViews(r.views, secrets)
	return r, nil
}

// markOf is what stands in the place of a value.
func markOf(name string) string { return "[secret " + name + "]" }

// shortMark stands in the place of values after the first fullMarks of a text. It is no
// longer than any value: a text that is full of them does not grow without bound.
const (
	shortMark = "[secret]"
	fullMarks = 1000
)

// mark returns what stands in the place of the nth value of a text.
func (r *Redactor) mark(n, secret int) string {
	if n >= fullMarks {
		return shortMark
	}
	return markOf(r.names[secret])
}

// String returns s with a mark in the place of each value: [secret NAME].
func (r *Redactor) String(s string) string {
	if r == nil {
		return s
	}
	if out, changed := r.replace([]byte(s)); changed {
		return string(out)
	}
	return s
}

// Bytes does for data what String does for a text. It returns data itself where there is
// nothing to take out.
func (r *Redactor) Bytes(data []byte) []byte {
	if r == nil {
		return data
	}
	out, _ := r.replace(data)
	return out
}

func (r *Redactor) replace(data []byte) (out []byte, changed bool) {
	hits := r.find(data)
	if len(hits) == 0 {
		return data, false
	}
	from := 0
	for n, h := range hits {
		out = append(append(out, data[from:h.from]...), r.mark(n, h.secret)...)
		from = h.to
	}
	return append(out, data[from:]...), true
}

// Pieces redacts texts that are one text when they are joined: a value may begin in one
// of them and end in another. The mark stands where it begins. How many pieces there are
// does not change.
func (r *Redactor) Pieces(pieces []string) []string {
	if r == nil {
		return pieces
	}
	whole := strings.Join(pieces, "")
	hits := r.find([]byte(whole))
	if len(hits) == 0 {
		return pieces
	}
	redacted := make([]string, len(pieces))
	start, marked := 0, 0
	for i, piece := range pieces {
		var b strings.Builder
		end, at := start+len(piece), start
		for len(hits) > 0 && hits[0].from < end {
			h := hits[0]
			if h.from >= start {
				b.WriteString(whole[at:h.from] + r.mark(marked, h.secret))
				marked++
			}
			at = min(h.to, end)
			if h.to > end {
				break // the rest of it is in the next piece
			}
			hits = hits[1:]
		}
		b.WriteString(whole[at:end])
		redacted[i], start = b.String(), end
	}
	return redacted
}

// Find returns the name of a secret whose value stands in what is read; "" for none. The
// error is the reader's.
func (r *Redactor) Find(from io.Reader) (name string, err error) {
	if r == nil {
		return "", nil
	}
	buffer := make([]byte, 0, block+lead)
	for {
		n, err := io.ReadFull(from, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		if hits := r.find(buffer); len(hits) > 0 {
			return r.names[hits[0].secret], nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		buffer = append(buffer[:0], buffer[len(buffer)-lead:]...)
	}
}

// In returns the name of a secret whose value stands in data; "" for none.
func (r *Redactor) In(data []byte) string {
	name, _ := r.Find(bytes.NewReader(data)) // which cannot fail
	return name
}

// hit is a place of a value in a text.
type hit struct{ from, to, secret int }

// block is how much of a text is looked at in one go, and lead what is looked at again
// with the next block: more than 64 bytes take in any view of two.
const (
	block = 256 << 10
	lead  = 8 << 10
)

// find returns the places of values in order. They do not overlap or touch.
func (r *Redactor) find(text []byte) []hit {
	if len(text) < Shortest {
		return nil
	}
	var hits, found []hit
	var rooms [viewsDeep][]byte
	for start := 0; start < len(text); start += block {
		from := max(0, start-lead)
		for from > 0 && from > start-2*lead && text[from-1] == '\\' { // what they escape goes by how many they are
			from--
		}
		part := text[from:min(len(text), start+block)]
		if !r.shows(part, r.views, &rooms, viewsDeep) {
			continue
		}
		found = found[:0]
		r.look(part, nil, r.views, viewsDeep, func(h hit) {
			found = append(found, hit{h.from + from, h.to + from, h.secret})
		})
		hits = append(hits, merge(found)...) // each view may find what the others do
	}
	return merge(hits)
}

// merge returns hits in order, without those that overlap or touch. It writes over hits.
func merge(hits []hit) []hit {
	slices.SortFunc(hits, func(a, b hit) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	merged := hits[:0]
	for _, h := range hits {
		if last := len(merged) - 1; last >= 0 && (h.from < merged[last].to || h.from == merged[last].to && h.secret == merged[last].secret) {
			merged[last].to = max(merged[last].to, h.to)
			continue
		}
		merged = append(merged, h)
	}
	return merged
}

// viewsDeep is how many views are looked through one upon the other.
const viewsDeep = 2

// shows reports whether look would find anything. It is what nearly all texts need alone, and
// costs little of the memory and the time. Rooms are for what views make of a text.
func (r *Redactor) shows(text []byte, views []view, rooms *[viewsDeep][]byte, depth int) bool {
	if r.index.any(text) {
		return true
	}
	if depth == 0 {
		return false
	}
	for _, v := range views {
		seen, changed := v.text(text, rooms[depth-1])
		if !changed {
			continue
		}
		rooms[depth-1] = seen
		if r.shows(seen, v.behind(views), rooms, depth-1) {
			return true
		}
	}
	return false
}

// look finds values in a text, and in what views make of it. At says where the bytes of
// text stand in the text that hits are of; nil: there.
func (r *Redactor) look(text []byte, at []place, views []view, depth int, found func(hit)) {
	r.index.scan(text, func(from, to, secret int) {
		if at != nil {
			from, to = int(at[from].from), int(at[to-1].to)
		}
		found(hit{from, to, secret})
	})
	if depth == 0 {
		return
	}
	for _, v := range views {
		seen, places := v.of(text)
		if seen == nil {
			continue
		}
		if at != nil {
			for i, p := range places {
				places[i] = place{at[p.from].from, at[p.to-1].to}
			}
		}
		r.look(seen, places, v.behind(views), depth-1, found)
	}
}

// Begun redacts the end of a text that was cut off there: eight bytes or more that a
// value, or the last part of a long one, begins with, and the parts before it.
func (r *Redactor) Begun(text string) string {
	if r == nil {
		return text
	}
	for from := max(0, len(text)-longest); from <= len(text)-Shortest; from++ {
		for _, p := range r.index.patterns[binary.LittleEndian.Uint64([]byte(text[from:]))] {
			if strings.HasPrefix(p.text, text[from:]) {
				return text[:r.beginning(text, from)] + markOf(r.names[p.secret])
			}
		}
	}
	return text
}

// beginning returns where the value begins of which a part begins at a place: parts
// overlap, and whoever takes out one that is not whole would leave half of the one before.
func (r *Redactor) beginning(text string, part int) int {
	start := max(0, len(text)-lead)
	for _, h := range r.find([]byte(text[start:])) {
		if start+h.to >= part {
			return min(part, start+h.from)
		}
	}
	return part
}

// Ended redacts the beginning of a text that was cut off there: eight bytes or more that
// a value, or a part of a long one, ends with, and the parts behind it.
func (r *Redactor) Ended(text []byte) []byte {
	if r == nil {
		return text
	}
	most, secret := 0, 0
	for _, patterns := range r.index.patterns {
		for _, p := range patterns {
			for n := min(len(text), len(p.text)); n >= Shortest && n > most; n-- {
				if string(text[:n]) == p.text[len(p.text)-n:] {
					most, secret = n, p.secret
				}
			}
		}
	}
	if most == 0 {
		return text
	}
	for _, h := range r.find(text[:min(len(text), lead)]) {
		if h.from <= most { // as with Begun
			most = max(most, h.to)
		}
	}
	return append([]byte(markOf(r.names[secret])), text[most:]...)
}

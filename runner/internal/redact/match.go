package redact

import "encoding/binary"

// matcher finds patterns of 8 to 64 bytes. The time it takes is linear in the text: where
// eight bytes are those that patterns begin with, 64 are compared with each of them.
type matcher struct {
	seen     []uint64 // a bit for each hash of eight bytes that patterns begin with
	patterns map[uint64][]pattern
}

type pattern struct {
	text   string
	secret int
}

// longest is how long a pattern is at most: a longer form is all of its parts.
const longest = 64

// hashBits is how many bits of a hash are looked at: 8 KiB of them stay in the
// processor's nearest memory.
const hashBits = 16

func newMatcher() matcher {
	return matcher{seen: make([]uint64, 1<<hashBits/64), patterns: map[uint64][]pattern{}}
}

// hash is multiplicative (Knuth, The Art of Computer Programming, 6.4).
func hash(first uint64) uint64 { return first * 0x9e3779b97f4a7c15 >> (64 - hashBits) }

// add makes a form of a secret known, in parts if it is long. One that is shorter than
// eight bytes is left out.
func (m *matcher) add(form string, secret int) {
	for len(form) > longest {
		m.insert(form[:longest], secret)
		form = form[min(longest, len(form)-longest):] // the last part overlaps the one before
	}
	if len(form) >= Shortest {
		m.insert(form, secret)
	}
}

func (m *matcher) insert(text string, secret int) {
	first := binary.LittleEndian.Uint64([]byte(text))
	for _, known := range m.patterns[first] {
		if known.text == text {
			return // two secrets of one value: the first names it
		}
	}
	h := hash(first)
	m.seen[h/64] |= 1 << (h % 64)
	m.patterns[first] = append(m.patterns[first], pattern{text, secret})
}

// any reports whether a pattern is in text.
func (m *matcher) any(text []byte) bool {
	for i := 0; i+8 <= len(text); i++ {
		first := binary.LittleEndian.Uint64(text[i:])
		h := hash(first)
		if m.seen[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, p := range m.patterns[first] {
			if end := i + len(p.text); end <= len(text) && string(text[i:end]) == p.text {
				return true
			}
		}
	}
	return false
}

// scan calls found for every pattern at every place of text.
func (m *matcher) scan(text []byte, found func(from, to, secret int)) {
	for i := 0; i+8 <= len(text); i++ {
		first := binary.LittleEndian.Uint64(text[i:])
		h := hash(first)
		if m.seen[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		for _, p := range m.patterns[first] {
			if end := i + len(p.text); end <= len(text) && string(text[i:end]) == p.text {
				found(i, end, p.secret)
			}
		}
	}
}

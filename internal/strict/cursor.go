package strict

import (
	"bytes"
	"unicode/utf8"
)

// cursor turns byte offsets into lines and columns. It only moves forward, so
// that a file is counted through once, however many positions are asked for.
type cursor struct {
	data   []byte
	offset int
	pos    Position
}

func newCursor(file string, data []byte) *cursor {
	return &cursor{data: data, pos: Position{file, 1, 1}}
}

// at returns the position of an offset that is not before the last one.
func (c *cursor) at(offset int) Position {
	offset = min(offset, len(c.data))
	if offset <= c.offset {
		return c.pos
	}
	between := c.data[c.offset:offset]
	if last := bytes.LastIndexByte(between, '\n'); last >= 0 {
		c.pos.Line += bytes.Count(between, []byte("\n"))
		c.pos.Column = 1
		between = between[last+1:]
	}
	c.pos.Column += utf8.RuneCount(between)
	c.offset = offset
	return c.pos
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

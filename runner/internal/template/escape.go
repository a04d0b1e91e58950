package template

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// unescape returns the value of a string literal, by the rules of Python's codec
// unicode_escape. It is not known where the literal names a character, \N{DEGREE SIGN},
// or what only Python takes for text.
func unescape(s string) (value string, known bool) {
	if !strings.Contains(s, `\`) {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		r, size, ok := escaped(s[i+1:])
		if !ok {
			return s, false
		}
		if i += 1 + size; r >= 0 {
			b.WriteRune(r)
		}
	}
	return b.String(), true
}

// escaped reads what follows a backslash: a character, or none (-1).
func escaped(s string) (r rune, size int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	switch c := s[0]; c {
	case '\n':
		return -1, 1, true // the line goes on
	case 'a', 'b', 'f', 'n', 'r', 't', 'v':
		return rune("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)]), 1, true
	case '\\', '\'', '"':
		return rune(c), 1, true
	case 'x':
		return hexadecimal(s, 2)
	case 'u':
		return hexadecimal(s, 4)
	case 'U':
		return hexadecimal(s, 8)
	case 'N':
		return 0, 0, false
	case '0', '1', '2', '3', '4', '5', '6', '7':
		for size < min(3, len(s)) && s[size] >= '0' && s[size] <= '7' {
			size++
		}
		n, err := strconv.ParseUint(s[:size], 8, 32)
		return rune(n), size, err == nil
	}
	return '\\', 0, true // an unknown escape stays as it is written
}

// hexadecimal reads x, u or U and so many digits.
func hexadecimal(s string, digits int) (r rune, size int, ok bool) {
	if len(s) < 1+digits {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(s[1:1+digits], 16, 32)
	return rune(n), 1 + digits, err == nil && utf8.ValidRune(rune(n))
}

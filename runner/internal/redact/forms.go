package redact

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode/utf16"
)

// shortestLine is how long a line of a value is that is a secret by itself. Shorter ones,
// the "}" of a key in JSON, would be found everywhere.
const shortestLine = 16

// formsOf returns the byte strings that show a value, beside those that a view turns into
// one of them.
func formsOf(value string) []string {
	forms := formsOfWhole(value)
	lines := strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 1 {
		return forms
	}
	for _, line := range lines {
		if line = strings.TrimSpace(line); len(line) >= shortestLine && !pemBoundary.MatchString(line) {
			forms = append(forms, formsOfWhole(line)...)
		}
	}
	return append(forms, strings.Join(strings.Fields(value), "")) // for the view without blanks
}

// pemBoundary matches the public lines of keys and certificates, RFC 7468.
var pemBoundary = regexp.MustCompile(`^-----(BEGIN|END) [A-Z0-9 ]+-----$`)

func formsOfWhole(value string) []string {
	forms := []string{
		value,
		hex.EncodeToString([]byte(value)),
		strings.ToUpper(hex.EncodeToString([]byte(value))),
		wide(value, binary.LittleEndian), wide(value, binary.BigEndian),
	}
	for offset := range 3 {
		inner := base64Inner(value, offset)
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	for _, quote := range []string{`"`, `'`} { // CSV, SQL
		forms = append(forms, strings.ReplaceAll(value, quote, quote+quote))
	}
	forms = append(forms, strings.ReplaceAll(value, `'`, `'"'"'`), strings.ReplaceAll(value, `'`, `'\''`)) // shells
	if squeezed := strings.Join(strings.Fields(value), ""); squeezed != value {
		forms = append(forms, squeezed)
	}
	return forms
}

// base64Inner returns the characters of base64 that do not depend on what stands before
// and behind a value that begins offset bytes after a multiple of three.
func base64Inner(value string, offset int) string {
	encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + value))
	first := (offset*8 + 5) / 6
	last := (offset + len(value)) * 8 / 6
	return encoded[first:last]
}

// wide is UTF-16.
func wide(value string, order binary.ByteOrder) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(value)) {
		var two [2]byte
		order.PutUint16(two[:], unit)
		b = append(b, two[:]...)
	}
	return string(b)
}

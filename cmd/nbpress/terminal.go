package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// plainText writes text for people. Notebooks, kernels and whoever else may write to
// the ledger do not command the terminal with it: control characters are dropped, but
// for the ends of lines and tabs.
type plainText struct{ out io.Writer }

// Write implements io.Writer. Each call takes whole characters.
func (w plainText) Write(p []byte) (int, error) {
	text := strings.Map(func(r rune) rune {
		if commands(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, string(p))
	if _, err := io.WriteString(w.out, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// commands reports whether a terminal obeys a character, or orders others by it, so that
// a line reads as something else than it is.
func commands(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// plain returns the streams for commands that print what is not nbpress's own.
func (s streams) plain() streams { return streams{s.in, plainText{s.out}, plainText{s.err}, s.seams} }

// lineLimit is how many characters of a foreign line stand among ours.
const lineLimit = 300

// oneLine makes the first line of a foreign text fit for a table, a terminal's line
// or a commit's message.
func oneLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	n := 0
	for i := range line {
		if n++; n > lineLimit {
			line = line[:i] + "…"
			break
		}
	}
	return withoutControls(line, ' ')
}

// withoutControls puts something in the place of what a terminal would obey.
func withoutControls(text string, instead rune) string {
	return strings.Map(func(r rune) rune {
		if commands(r) {
			return instead
		}
		return r
	}, text)
}

// writeJSON writes a value for programs: all of it, but in a form that does not
// command the terminal either.
func writeJSON(out io.Writer, value any) error {
	var whole bytes.Buffer
	enc := json.NewEncoder(&whole)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return err
	}
	var safe strings.Builder
	for _, r := range whole.String() {
		if commands(r) && r != '\n' { // in a string: the encoder leaves DEL and what follows it as it is
			fmt.Fprintf(&safe, `\u%04x`, r)
			continue
		}
		safe.WriteRune(r)
	}
	_, err := io.WriteString(out, safe.String())
	return err
}

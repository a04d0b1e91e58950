package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestPlainText_DropsWhatCommandsATerminal(t *testing.T) {
	var got bytes.Buffer
	in := "a\tb\n\x1b[31mred\x1b]0;title\x07\r\u009b2J\u0085\x7f\x9b ünï\u202egnp\u2066x\u200f"
	if n, err := (plainText{&got}).Write([]byte(in)); n != len(in) || err != nil {
		t.Errorf("Write() = %d, %v, want %d", n, err, len(in))
	}
	if want := "a\tb\n[31mred]0;title2J\uFFFD ünïgnpx"; got.String() != want {
		t.Errorf("written %q, want %q", got.String(), want)
	}
}

func TestOneLine_IsOneLineOfABoundedLength(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "ValueError: no", "ValueError: no"},
		{"lines", "one\ntwo", "one"},
		{"controls", "\x1b[31mred\tblue\r", " [31mred blue "},
		{"order", "fdp.\u202eexe", "fdp. exe"},
		{"as long as may be", strings.Repeat("é", 300), strings.Repeat("é", 300)},
		{"too long", strings.Repeat("é", 5<<20), strings.Repeat("é", 300) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := oneLine(c.in); got != c.want {
				t.Errorf("oneLine() = %.400q, want %.400q", got, c.want)
			}
		})
	}
}

func TestWriteJSON_LosesNothingAndCommandsNothing(t *testing.T) {
	want := "a\x1b[0m\u009b2J\u0085\x7f<ünï>\u202e\n"
	var out bytes.Buffer
	if err := writeJSON(&out, want); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(strings.TrimSpace(out.String()), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x202e }); i >= 0 {
		t.Errorf("control character at %d of %q", i, out.String())
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != want {
		t.Errorf("read again as %q, %v, want %q", got, err, want)
	}
}

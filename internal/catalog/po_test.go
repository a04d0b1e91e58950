package catalog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"

	"nbpress/internal/testenv"
)

const header = "msgid \"\"\nmsgstr \"\"\n\"Content-Type: text/plain; charset=UTF-8\\n\"\n\"Plural-Forms: nplurals=2; plural=(n != 1);\\n\"\n\n"

func mustPO(t testing.TB, text string) *Catalog {
	t.Helper()
	c, err := ParsePO([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}

func TestParsePO_KeepsAllThatAFileSays(t *testing.T) {
	want, err := os.ReadFile("testdata/everything.po")
	if err != nil {
		t.Fatal(err)
	}
	c := mustPO(t, string(want))
	if diff := cmp.Diff(string(want), string(c.PO())); diff != "" {
		t.Errorf("written again it differs (-want +got):\n%s", diff)
	}
	lines := strings.Split(string(want), "\n")
	for _, m := range c.Messages {
		if line := strings.TrimPrefix(lines[m.Line-1], "#~ "); !strings.HasPrefix(line, "msgid ") {
			t.Errorf("%q: line %d is %q", m.Text, m.Line, line)
		}
		if line := strings.TrimPrefix(lines[m.TranslationLine-1], "#~ "); !strings.HasPrefix(line, "msgstr") {
			t.Errorf("%q: line %d is %q", m.Text, m.TranslationLine, line)
		}
	}
}

// said is a message as Babel reports it.
type said struct {
	Context, Text, Plural           string
	Translations                    []string
	Fuzzy                           bool
	Comments, Extracted, References []string
}

func saidBy(m *Message) said {
	some := func(texts []string) []string { return append([]string{}, texts...) }
	return said{m.Context, m.Text, m.Plural, some(m.Translations), m.Fuzzy(), some(m.Comments), some(m.Extracted), some(m.References)}
}

func TestParsePO_ReadsWhatBabelReads(t *testing.T) {
	python := newOracle(t)
	files, err := filepath.Glob(filepath.Join(testenv.Root(t), "reports-example", "*", "languages", "*", "LC_MESSAGES", "*.po"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	texts := map[string]string{
		"no header":       "msgid \"a\"\nmsgstr \"b\"\n",
		"windows":         strings.ReplaceAll(header+"msgid \"a\"\nmsgstr \"\"\n\"b\"\n", "\n", "\r\n"),
		"escapes":         header + `msgid "a\tb\n\"c\" \\ \r"` + "\nmsgstr \"\"\n",
		"no end of line":  header + "msgid \"a\"\nmsgstr \"b\"",
		"close together":  header + "msgid \"a\"\nmsgstr \"b\"\nmsgid \"c\"\nmsgstr \"d\"\n# of the next\nmsgid \"e\"\nmsgstr \"\"\n",
		"empty":           "",
		"only a header":   header,
		"other alphabets": header + "msgid \"a\"\nmsgstr \"жук – 虫 – 🐞\"\n",
	}
	for _, file := range append(files, "testdata/everything.po") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(data)
	}
	for name, text := range texts {
		var want []said
		if raised := python.ask(t, "po", base64.StdEncoding.EncodeToString([]byte(text)), &want); raised != "" {
			t.Errorf("%s: Babel: %s", name, raised)
			continue
		}
		got := []said{}
		for _, m := range mustPO(t, text).Messages {
			s := saidBy(m)
			if m.Obsolete { // Babel keeps no more of them
				s.Comments, s.Extracted, s.References = []string{}, []string{}, []string{}
			}
			got = append(got, s)
		}
		for i := range want {
			if i >= len(got) || got[i].Comments == nil || len(got[i].Comments) == 0 {
				want[i].Comments = []string{}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Babel +ours):\n%s", name, diff)
		}
	}
}

func TestParsePO_SaysWhereAFileIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		text         string
		line, column int
		what         string
	}{
		"unknown word":      {"msgid \"a\"\nmsgstring \"b\"\n", 2, 1, `"msgstring" is no word of a catalog`},
		"no string":         {"msgid a\n", 1, 7, "a string is expected after msgid"},
		"open string":       {"msgid \"a\nmsgstr \"b\"\n", 1, 7, "a string that does not end"},
		"unknown escape":    {"msgid \"a\"\nmsgstr \"\\q\"\n", 2, 8, `the escape "\\q" is not known`},
		"NUL":               {"msgid \"a\\000b\"\nmsgstr \"\"\n", 1, 7, `the escape`},
		"no msgstr":         {"msgid \"a\"\n\nmsgid \"b\"\nmsgstr \"\"\n", 3, 1, "without msgstr"},
		"no msgid":          {"msgstr \"a\"\n", 1, 1, "msgstr without a msgid"},
		"lone string":       {"\"a\"\n", 1, 1, "a string that belongs to nothing"},
		"text behind":       {"msgid \"a\" b\n", 1, 11, `"b" after a string`},
		"twice":             {"msgid \"a\"\nmsgstr \"\"\n\nmsgid \"a\"\nmsgstr \"\"\n", 4, 1, `"a" stands there twice`},
		"msgstr twice":      {"msgid \"a\"\nmsgstr \"\"\nmsgstr \"\"\n", 3, 1, "msgstr stands there twice"},
		"form without":      {"msgid \"a\"\nmsgstr[0] \"\"\n", 2, 1, "msgstr[0] without a msgid_plural"},
		"plural without":    {"msgid \"a\"\nmsgid_plural \"b\"\nmsgstr \"\"\n", 3, 1, "msgstr after a msgid_plural"},
		"form missing":      {"msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[1] \"\"\n", 3, 1, "msgstr[1] where msgstr[0] is expected"},
		"form of millions":  {"msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[99999999] \"\"\n", 3, 1, "is no word of a catalog"},
		"forms and header":  {header + "msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[0] \"x\"\n", 8, 1, "translated in 1 forms, but the header's nplurals is 2"},
		"not UTF-8":         {"msgid \"a\"\nmsgstr \"\xe9\"\n", 2, 9, "byte 0xe9 is not UTF-8"},
		"not ASCII":         {"msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=us-ascii\\n\"\n\nmsgid \"é\"\nmsgstr \"\"\n", 4, 8, "is not us-ascii"},
		"unknown charset":   {"msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=klingon\\n\"\n", 1, 1, `the charset "klingon" is not known`},
		"second header":     {header + header, 6, 1, "a second header"},
		"domain":            {"domain \"x\"\n", 1, 1, "several domains"},
		"a template's page": {"<html>\n", 1, 1, `"<html>" is no word of a catalog`},
		"plural expression": {"msgid \"\"\nmsgstr \"Plural-Forms: nplurals=2; plural=m;\\n\"\n", 2, 1, `"m" is not expected`},
		"too large":         {strings.Repeat("#\n", MaxSize/2+1), 1, 1, "at most 4194304"},
	} {
		_, err := ParsePO([]byte(test.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if syntax.Line != test.line || syntax.Column != test.column || !strings.Contains(syntax.What, test.what) {
			t.Errorf("%s: got %d:%d: %s; want %d:%d: ... %s ...", name, syntax.Line, syntax.Column, syntax.What, test.line, test.column, test.what)
		}
	}
}

func TestParsePO_ReadsItsCharset(t *testing.T) {
	text := "msgid \"\"\nmsgstr \"Content-Type: text/plain; charset=%s\\n\"\n\nmsgid \"size\"\nmsgstr \"Größe\"\n"
	for charset, encode := range map[string]func(string) (string, error){
		"ISO-8859-1":   charmap.ISO8859_1.NewEncoder().String,
		"iso-8859-15":  charmap.ISO8859_15.NewEncoder().String,
		"windows-1252": charmap.Windows1252.NewEncoder().String,
		"utf-8":        func(s string) (string, error) { return s, nil },
	} {
		encoded, err := encode(fmt.Sprintf(text, charset))
		if err != nil {
			t.Fatal(err)
		}
		c := mustPO(t, encoded)
		if got := c.Messages[0].Translations[0]; got != "Größe" {
			t.Errorf("%s: got %q", charset, got)
		}
		if written := c.PO(); !bytes.Contains(written, []byte("charset=UTF-8")) || !bytes.Contains(written, []byte("Größe")) {
			t.Errorf("%s: written as\n%s", charset, written)
		}
	}
}

func TestPO_BreaksLinesAsGettextDoes(t *testing.T) {
	words := strings.TrimSpace(strings.Repeat("word ", 40))
	for text, want := range map[string]int{ // lines of msgid
		"short": 1, "one line\n": 1, "two\nlines": 3, words: 4, strings.Repeat("x", 200): 2, "": 1,
	} {
		c := &Catalog{Messages: []*Message{{Key: Key{Text: text}, Translations: []string{""}}}}
		written := string(c.PO())
		if got := strings.Count(written, "\n") - 1; got != want {
			t.Errorf("%q takes %d lines, want %d:\n%s", clip(text), got, want, written)
		}
		for line := range strings.SplitSeq(written, "\n") {
			if len(line) > pageWidth && strings.Contains(line, " \"") {
				t.Errorf("a line of %d characters:\n%s", len(line), line)
			}
		}
	}
}

func TestTranslated_WantsEveryFormAndNobodysDoubt(t *testing.T) {
	for want, messages := range map[bool][]Message{
		true:  {{Translations: []string{"a"}}, {Translations: []string{"a", "b"}}, {Translations: []string{"a"}, Flags: []string{"python-format"}}},
		false: {{}, {Translations: []string{""}}, {Translations: []string{"a", ""}}, {Translations: []string{"a"}, Flags: []string{"c-format", "fuzzy"}}},
	} {
		for _, m := range messages {
			if m.Translated() != want {
				t.Errorf("%+v: translated is %v", m, !want)
			}
		}
	}
}

func TestField_IsReadAndWrittenInItsPlace(t *testing.T) {
	c := mustPO(t, header)
	c.SetField("plural-forms", "nplurals=1; plural=0;")
	c.SetField("Language", "ca")
	if got := c.Header.Translations[0]; got != "Content-Type: text/plain; charset=UTF-8\nplural-forms: nplurals=1; plural=0;\nLanguage: ca\n" {
		t.Errorf("got %q", got)
	}
	if c.Field("LANGUAGE") != "ca" || c.Field("X") != "" || new(Catalog).Field("Language") != "" {
		t.Error("fields are not found by their names")
	}
}

func FuzzParsePO(f *testing.F) {
	for _, text := range []string{header, header + "#~ msgid \"a\"\n#~ msgstr \"b\"\n", "#, fuzzy\n#| msgid \"x\"\nmsgctxt \"c\"\nmsgid \"a\"\nmsgid_plural \"b\"\nmsgstr[0] \"\\t\"\nmsgstr[1] \"\"\n\"x\"\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParsePO(data)
		if err != nil {
			return
		}
		size := 0
		for _, m := range c.Messages {
			size += len(m.Context) + len(m.Text) + len(m.Plural) + len(strings.Join(m.Translations, ""))
		}
		if size > 4*len(data) { // a charset's byte may be several of UTF-8
			t.Errorf("%d bytes became %d", len(data), size)
		}
		again, err := ParsePO(c.PO())
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, c.PO())
		}
		for i, m := range c.sorted() {
			m.Line, m.TranslationLine = again.Messages[i].Line, again.Messages[i].TranslationLine
			if diff := cmp.Diff(m, again.Messages[i]); diff != "" {
				t.Errorf("written and read again:\n%s", diff)
			}
		}
		if stale := c.Stale(mustMO(t, c.MO())); stale != "" {
			t.Errorf("compiled just now, and stale: %s", stale)
		}
	})
}

// sorted returns the messages as PO writes them.
func (c *Catalog) sorted() []*Message {
	return slices.SortedStableFunc(slices.Values(c.Messages), func(a, b *Message) int {
		switch {
		case a.Obsolete == b.Obsolete:
			return 0
		case a.Obsolete:
			return 1
		}
		return -1
	})
}

func TestParsePO_TakesLongLinesInStride(t *testing.T) {
	started := time.Now()
	mustPO(t, "msgid "+strings.Repeat(`"a" `, 150_000)+"\nmsgstr \"\"\n")
	if took := time.Since(started); took > time.Minute {
		t.Errorf("%v", took)
	}
}

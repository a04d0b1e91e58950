package catalog

import (
	"encoding/base64"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/internal/testenv"
)

func mustMO(t testing.TB, data []byte) *Catalog {
	t.Helper()
	c, err := ParseMO(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// entry is what Python's gettext finds in an MO file.
type entry struct {
	Key  string
	Form int
	Text string
}

func entries(c *Catalog) []entry {
	var all []entry
	for _, m := range c.Messages {
		key := m.Text
		if m.Context != "" {
			key = m.Context + contextEnd + key
		}
		if m.Plural == "" {
			all = append(all, entry{key, -1, m.Translations[0]})
			continue
		}
		for i, text := range m.Translations {
			all = append(all, entry{key, i, text})
		}
	}
	return all
}

func TestMO_IsWhatPythonReads(t *testing.T) {
	python := newOracle(t)
	data, err := os.ReadFile("testdata/everything.po")
	if err != nil {
		t.Fatal(err)
	}
	compiled := mustPO(t, string(data)).MO()
	var want []entry
	if raised := python.ask(t, "mo", base64.StdEncoding.EncodeToString(compiled), &want); raised != "" {
		t.Fatal(raised)
	}
	if diff := cmp.Diff(want, entries(mustMO(t, compiled))); diff != "" {
		t.Errorf("-Python +ours:\n%s", diff)
	}
	for _, e := range want {
		if strings.Contains(e.Text, "setmana") || e.Text == "" || strings.Contains(e.Key, "one") && !strings.Contains(e.Key, "long") {
			t.Errorf("%+v is fuzzy, obsolete or not translated", e)
		}
	}
	if len(want) != 6 {
		t.Errorf("got %d entries, want 6: %v", len(want), want)
	}
}

// Headers that we take, and that Python's gettext would not, are written anew.
func TestMO_HasAHeaderThatPythonTakes(t *testing.T) {
	python := newOracle(t)
	for _, header := range []string{
		"Plural-Forms: nplurals=INTEGER; plural=EXPRESSION;\\n",
		"Content-Type: text/plain; charset=UTF-8\\nPlural-Forms: nplurals = 2; plural = n != 1;\\n",
		"Plural-Forms: plural=n != 1; nplurals=2;\\n",
		"Plural-Forms: nplurals=2; plural=n != 1;\\nPlural-Forms: what?\\nContent-Type: text/plain; charset = CHARSET\\n",
	} {
		compiled := mustPO(t, "msgid \"\"\nmsgstr \""+header+"\"\n\nmsgid \"Day\"\nmsgstr \"Día\"\n").MO()
		var read []entry
		if raised := python.ask(t, "mo", base64.StdEncoding.EncodeToString(compiled), &read); raised != "" || len(read) != 1 || read[0].Text != "Día" {
			t.Errorf("%s: Python reads %v, %s", header, read, raised)
		}
	}
}

// The examples' files were compiled by msgfmt.
func TestParseMO_ReadsWhatMsgfmtWrote(t *testing.T) {
	python := newOracle(t)
	files, err := filepath.Glob(filepath.Join(testenv.Root(t), "reports-example", "*", "languages", "*", "LC_MESSAGES", "*.mo"))
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want []entry
		if raised := python.ask(t, "mo", base64.StdEncoding.EncodeToString(data), &want); raised != "" {
			t.Fatal(raised)
		}
		c := mustMO(t, data)
		if diff := cmp.Diff(want, entries(c)); diff != "" {
			t.Errorf("%s (-Python +ours):\n%s", file, diff)
		}
		source, err := os.ReadFile(strings.TrimSuffix(file, ".mo") + ".po")
		if err != nil {
			t.Fatal(err)
		}
		if stale := mustPO(t, string(source)).Stale(c); stale != "" {
			t.Errorf("%s is stale: %s", file, stale)
		}
	}
}

// hostileMO is 28 bytes of header, and what follows.
func hostileMO(order binary.AppendByteOrder, words []uint32, rest string) []byte {
	var b []byte
	for _, w := range words {
		b = order.AppendUint32(b, w)
	}
	return append(b, rest...)
}

func TestParseMO_TakesNoMemoryByTheFilesWord(t *testing.T) {
	little := binary.LittleEndian
	shared := hostileMO(little, []uint32{moMagic, 0, 40_000, 28, 28, 0, 28}, "")
	for range 40_000 { // each string is the same megabyte
		shared = little.AppendUint32(little.AppendUint32(shared, 1<<20), 28)
	}
	shared = append(shared, make([]byte, 1<<20)...)
	good := (&Catalog{Messages: []*Message{{Key: Key{Text: "a"}, Translations: []string{"b"}}}}).MO()
	plurals := "Plural-Forms: nplurals=2; plural=" + strings.Repeat("(", 100_000) + "\n"
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":                 {nil, "too short"},
		"text":                    {[]byte("msgid \"a\"\nmsgstr \"b\"\n"), "magic number"},
		"28 bytes of gigabytes":   {hostileMO(little, []uint32{moMagic, 0, 1 << 30, 28, 28, 0, 28}, ""), "at most 50000"},
		"and the other way":       {hostileMO(binary.BigEndian, []uint32{moMagic, 0, 1 << 31, 28, 28, 0, 28}, ""), "at most 50000"},
		"a count over its size":   {hostileMO(little, []uint32{moMagic, 0, 1000, 28, 28, 0, 28}, strings.Repeat("x", 100)), "more than fit"},
		"a table at its end":      {hostileMO(little, []uint32{moMagic, 0, 1, 28, 1<<32 - 1, 0, 28}, strings.Repeat("\x00", 100)), "more than fit"},
		"a string outside":        {hostileMO(little, []uint32{moMagic, 0, 1, 28, 28, 0, 28, 1<<32 - 1, 1<<32 - 1}, ""), "lies outside"},
		"strings that overlap":    {shared, "share their bytes"},
		"another version":         {hostileMO(little, []uint32{moMagic, 2 << 16, 0, 28, 28, 0, 28}, ""), "version 2"},
		"cut short":               {good[:len(good)-3], "lies outside"},
		"its tables are itself":   {hostileMO(little, []uint32{moMagic, 0, 3, 0, 0, 0, 0}, ""), "lies outside"},
		"not of its charset":      {hostileMO(little, []uint32{moMagic, 0, 1, 28, 36, 0, 0, 1, 44, 1, 45}, "a\xff"), "is not UTF-8"},
		"the same message twice":  {hostileMO(little, []uint32{moMagic, 0, 2, 28, 44, 0, 0, 1, 60, 1, 61, 1, 62, 1, 63}, "aabb"), "twice"},
		"a hundred plural forms":  {(&Catalog{Messages: []*Message{{Key: Key{Text: "a"}, Plural: "b", Translations: strings.Split(strings.Repeat("x ", 99)+"x", " ")}}}).MO(), "100 plural forms"},
		"five megabytes":          {append(hostileMO(little, []uint32{moMagic, 0, 0, 28, 28, 0, 28}, ""), make([]byte, 5<<20)...), "at most 4194304"},
		"an expression without n": {hostileMO(little, []uint32{moMagic, 0, 1, 28, 36, 0, 0, 0, 44, uint32(len(plurals)), 45}, "\x00"+plurals), "more than 1000"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := ParseMO(test.data)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
			t.Errorf("%s: %d bytes were allocated", name, grown)
		}
	}
}

// What costs the most for its size takes less than the 64 MB that are promised.
func TestParse_CostsLittleMoreThanTheFile(t *testing.T) {
	var po strings.Builder
	var messages []*Message
	for i := range MaxMessages - 1 { // an MO file always has a header
		m := &Message{Key: Key{Text: strings.Repeat("x", i%5) + string(rune('a'+i%26)) + strings.Repeat("y", i/130%3) + octal(rune(i%512)) + octal(rune(i/512))}, Translations: []string{"y"}}
		messages = append(messages, m)
		po.WriteString("#: a\n#, b\n#. c\nmsgid \"" + m.Text + "\"\nmsgstr \"y\"\n\n")
	}
	for name, parse := range map[string]func() (*Catalog, error){
		"po": func() (*Catalog, error) { return ParsePO([]byte(po.String())) },
		"mo": func() (*Catalog, error) { return ParseMO((&Catalog{Messages: messages}).MO()) },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, err := parse()
		runtime.ReadMemStats(&after)
		if err != nil || len(c.Messages) != MaxMessages-1 {
			t.Fatalf("%s: %v", name, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: %d bytes were allocated", name, grown)
		}
	}
}

func TestStale_TellsOfEachWayToBeOld(t *testing.T) {
	source := func(pairs ...string) *Catalog {
		c := &Catalog{}
		for i := 0; i < len(pairs); i += 2 {
			m := &Message{Key: Key{Text: pairs[i]}, Translations: []string{pairs[i+1]}}
			if strings.HasPrefix(pairs[i+1], "?") {
				m.Flags = []string{fuzzyFlag}
			}
			c.Messages = append(c.Messages, m)
		}
		return c
	}
	for name, test := range map[string]struct {
		po, mo *Catalog
		want   string
	}{
		"the same":              {source("a", "A", "b", ""), source("a", "A"), ""},
		"new translation":       {source("a", "A", "b", "B"), source("a", "A"), `it lacks "b"`},
		"changed":               {source("a", "A2"), source("a", "A"), `it translates "a" in another way`},
		"taken back":            {source("a", ""), source("a", "A"), `it translates "a" in another way`},
		"gone":                  {source(), source("a", "A"), `it still holds "a"`},
		"fuzzy and left out":    {source("a", "?A"), source(), ""},
		"fuzzy and compiled in": {source("a", "?A"), source("a", "?A"), ""},
	} {
		if got := test.po.Stale(mustMO(t, test.mo.MO())); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func FuzzParseMO(f *testing.F) {
	f.Add((&Catalog{Messages: []*Message{{Key: Key{Context: "c", Text: "a"}, Plural: "b", Translations: []string{"x", "y"}}}}).MO())
	f.Add(hostileMO(binary.BigEndian, []uint32{moMagic, 0, 2, 28, 44, 0, 0, 1, 60, 1, 61, 1, 62, 1, 63}, "abcd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseMO(data)
		if err != nil {
			return
		}
		size := 0
		for _, e := range entries(c) {
			size += len(e.Text)
		}
		if size > 4*len(data) {
			t.Errorf("%d bytes became %d", len(data), size)
		}
		for n := range 100 {
			if form := c.Form(n); form < 0 || form >= c.Forms() {
				t.Errorf("%d takes form %d of %d", n, form, c.Forms())
			}
		}
	})
}

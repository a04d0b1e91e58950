package catalog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	moMagic    = 0x950412de
	moHeader   = 28     // bytes before the tables of an MO file that has no hash table
	moEntry    = 8      // bytes of a table's entry: length, offset
	contextEnd = "\x04" // between context and text
	formEnd    = "\x00" // between plural forms
)

// ParseMO reads an MO file, of either byte order. It takes no memory by the file's word:
// tables and strings must lie within it, and strings may not share their bytes.
func ParseMO(data []byte) (*Catalog, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("it has %d bytes; at most %d are possible", len(data), MaxSize)
	}
	keys, values, err := moStrings(data)
	if err != nil {
		return nil, err
	}
	charset := "UTF-8"
	for i, key := range keys {
		if len(key) == 0 {
			charset = charsetOf(values[i])
		}
	}
	c := &Catalog{}
	seen := make(map[Key]bool, len(keys))
	for i := range keys {
		m, err := moMessage(keys[i], values[i], charset)
		switch {
		case err != nil:
			return nil, err
		case m.Key == Key{} && c.Header != nil, seen[m.Key]:
			return nil, fmt.Errorf("it holds %q twice", clip(m.Text))
		case m.Key == Key{}:
			c.Header = m
		default:
			seen[m.Key] = true
			c.Messages = append(c.Messages, m)
		}
	}
	if err := c.readPlural(); err != nil {
		return nil, err
	}
	return c, nil
}

// moStrings returns the file's two tables of strings, as parts of data.
func moStrings(data []byte) (keys, values [][]byte, err error) {
	if len(data) < moHeader-8 { // the words on the hash table may be missing
		return nil, nil, errors.New("it is too short")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(data) == moMagic {
		order = binary.BigEndian
	}
	word := func(at uint64) uint64 { return uint64(order.Uint32(data[at:])) }
	if word(0) != moMagic {
		return nil, nil, errors.New("it does not begin with the magic number of MO files")
	}
	if major := word(4) >> 16; major > 1 {
		return nil, nil, fmt.Errorf("its format has version %d", major)
	}
	count, size := word(8), uint64(len(data))
	if count > MaxMessages {
		return nil, nil, fmt.Errorf("it says that it holds %d messages; at most %d are possible", count, MaxMessages)
	}
	left := size // bytes that strings may still take
	for _, table := range []uint64{word(12), word(16)} {
		if table+count*moEntry > size {
			return nil, nil, fmt.Errorf("it says that it holds %d messages, more than fit into it", count)
		}
		texts := make([][]byte, count)
		for i := range count {
			length, offset := word(table+i*moEntry), word(table+i*moEntry+4)
			if offset+length > size {
				return nil, nil, fmt.Errorf("message %d lies outside of it", i+1)
			}
			if length > left {
				return nil, nil, errors.New("its messages share their bytes")
			}
			left -= length
			texts[i] = data[offset : offset+length]
		}
		keys, values = values, texts
	}
	return keys, values, nil
}

// moMessage makes a message of a key and its value: "context\4text\0plural" and
// "form 0\0form 1".
func moMessage(key, value []byte, charset string) (*Message, error) {
	id, err := toUTF8(key, charset)
	if err == nil {
		value, err = toUTF8(value, charset)
	}
	if err != nil {
		return nil, fmt.Errorf("the message %q: %w", clip(strings.ToValidUTF8(string(key), "\uFFFD")), err)
	}
	m := &Message{}
	m.Text = string(id)
	if context, text, ok := strings.Cut(m.Text, contextEnd); ok {
		m.Key = Key{Context: context, Text: text}
	}
	m.Text, m.Plural, _ = strings.Cut(m.Text, formEnd)
	m.Translations = []string{string(value)}
	if m.Plural != "" {
		m.Translations = strings.Split(string(value), formEnd)
	}
	if len(m.Translations) > maxForms {
		return nil, fmt.Errorf("the message %q has %d plural forms", clip(m.Text), len(m.Translations))
	}
	return m, nil
}

// compiledHeader returns the header as every reader takes it: with the charset that the
// file has, and the plural forms, if they are known, in gettext's own words.
func (c *Catalog) compiledHeader() string {
	own := map[string]string{"content-type": "Content-Type: text/plain; charset=UTF-8\n"}
	if c.plural != nil {
		own["plural-forms"] = fmt.Sprintf("Plural-Forms: nplurals=%d; plural=%s;\n", c.forms, c.rule)
	} else {
		own["plural-forms"] = ""
	}
	var b strings.Builder
	for line := range strings.Lines(c.utf8Header().Translations[0]) {
		name, _, _ := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if ours, ok := own[name]; ok {
			line = ours
			own[name] = "" // a second one is left out
		}
		b.WriteString(line)
	}
	return b.String()
}

// MO returns the catalog's translated messages as an MO file in UTF-8, as msgfmt
// compiles them: without fuzzy ones.
func (c *Catalog) MO() []byte {
	type entry struct{ key, value string }
	entries := []entry{{"", c.compiledHeader()}}
	for _, m := range c.Messages {
		if m.Obsolete || !m.Translated() {
			continue
		}
		key := m.Text
		if m.Context != "" {
			key = m.Context + contextEnd + key
		}
		if m.Plural != "" {
			key += formEnd + m.Plural
		}
		entries = append(entries, entry{key, strings.Join(m.Translations, formEnd)})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) }) // readers may search by halves
	count := uint32(len(entries))
	file := make([]byte, 0, moHeader+2*moEntry*len(entries))
	for _, word := range []uint32{moMagic, 0, count, moHeader, moHeader + moEntry*count, 0, moHeader + 2*moEntry*count} {
		file = binary.LittleEndian.AppendUint32(file, word)
	}
	at := moHeader + 2*moEntry*count
	var texts strings.Builder
	add := func(text string) {
		file = binary.LittleEndian.AppendUint32(file, uint32(len(text)))
		file = binary.LittleEndian.AppendUint32(file, at)
		at += uint32(len(text)) + 1
		texts.WriteString(text + "\x00")
	}
	for _, e := range entries {
		add(e.key)
	}
	for _, e := range entries {
		add(e.value)
	}
	return append(file, texts.String()...)
}

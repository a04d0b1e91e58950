package notebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// OutputFromMessage returns the output that a kernel's stream, display_data,
// update_display_data, execute_result or error message describes, and the
// display_id that it was sent under, "" for none. See
// https://jupyter-client.readthedocs.io/en/stable/messaging.html#messages-on-the-iopub-pub-sub-channel.
//
// Whatever the content holds, the output is one that nbformat's schema allows: of
// what is malformed the good part is kept, and a value that its MIME type does not
// allow becomes text. The error says what of the content is missing in out; it is
// ErrTooLarge, and out empty, where data or metadata has more bytes than limit.
func OutputFromMessage(kind string, content []byte, limit int) (out Output, displayID string, err error) {
	m := message{data: content}
	if err := m.read(); err != nil {
		return Output{}, "", err
	}
	switch kind {
	case "stream":
		name := m.string("name")
		if name != "stderr" {
			name = "stdout" // readers such as nbconvert show no others
		}
		return Output{Type: kind, Name: name, Text: m.string("text")}, "", nil
	case "error":
		return Output{
			Type: kind, EName: m.string("ename"), EValue: m.string("evalue"), Traceback: m.traceback(),
		}, "", nil
	}
	out.Type = "display_data"
	if kind == "execute_result" {
		out.Type, out.ExecutionCount = kind, m.count()
	}
	var dataErr, metadataErr error
	out.Data, dataErr = m.object("data", canonizer{limit: limit, bundle: true, repair: true})
	out.Metadata, metadataErr = m.object("metadata", canonizer{limit: limit})
	if err = errors.Join(dataErr, metadataErr); errors.Is(err, ErrTooLarge) {
		return Output{}, "", ErrTooLarge
	}
	return out, m.displayID(), err
}

// Plain returns the text/plain that the output displays, "" where there is none.
func (o *Output) Plain() string {
	var plain string
	text := o.Data.text
	_ = eachMember(text, span{0, len(text)}, func(key, value span) error {
		if string(text[key.start:key.end]) == `"text/plain"` {
			_ = json.Unmarshal(text[value.start:value.end], &plain)
		}
		return nil
	})
	return plain
}

// message reads a message's content. A member of another type than is asked for
// counts as not there.
type message struct {
	data   []byte
	fields map[string]span
}

func (m *message) read() error {
	if !json.Valid(m.data) {
		return errors.New("its message is not JSON")
	}
	v := spanAt(m.data, 0)
	if m.data[v.start] != '{' {
		return errors.New("its message is not a JSON object")
	}
	known := []string{
		"name", "text", "ename", "evalue", "traceback", "data", "metadata", "execution_count", "transient", "display_id",
	}
	m.fields = make(map[string]span, len(known))
	return eachMember(m.data, v, func(key, value span) error {
		if i := slices.Index(known, string(m.data[key.start+1:key.end-1])); i >= 0 {
			m.fields[known[i]] = value
		}
		return nil
	})
}

// field returns the member that begins with the given byte.
func (m *message) field(key string, first byte) (span, bool) {
	v, ok := m.fields[key]
	return v, ok && m.data[v.start] == first
}

func (m *message) string(key string) string {
	v, ok := m.field(key, '"')
	if !ok {
		return ""
	}
	return text(m.data, v)
}

func (m *message) object(key string, how canonizer) (JSON, error) {
	v, ok := m.field(key, '{')
	if !ok {
		return JSON{}, nil
	}
	return canonical(m.data, v, how)
}

func (m *message) displayID() string {
	v, ok := m.field("transient", '{')
	if !ok {
		return ""
	}
	transient := message{data: m.data[v.start:v.end]}
	_ = transient.read()
	return transient.string("display_id")
}

// count returns the execution count: nbformat knows none below zero.
func (m *message) count() *int {
	v, ok := m.fields["execution_count"]
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(string(m.data[v.start:v.end]))
	if err != nil || n < 0 {
		return nil
	}
	return &n
}

// tracebackBytes is how much of a traceback's beginning, and of its end, is read.
const tracebackBytes = 512 << 10

func (m *message) traceback() []string {
	list := []string{}
	v, ok := m.field("traceback", '[')
	if !ok {
		return list
	}
	left := 0
	_ = elements(m.data, v, func(line span) error {
		switch {
		case line.start > v.start+tracebackBytes && line.end < v.end-tracebackBytes:
			left++
			return nil
		case left > 0:
			list = append(list, fmt.Sprintf("[... %d lines cut ...]", left))
			left = 0
		}
		if m.data[line.start] == '"' {
			list = append(list, text(m.data, line))
		}
		return nil
	})
	return list
}

// overhead is what an output costs beside its texts: its place in a list that has
// room to grow, and what the allocator adds.
const overhead = 224

// outputDepth is how deep the file's lines of an output are indented.
const outputDepth = 4

// Size returns what the output counts for where outputs are limited: the memory it
// takes, or half of what it takes in the file, if that is more. Indentation and the
// ends of lines can make a value many times as long there.
func (o *Output) Size() int64 {
	memory := overhead + len(o.Text) + len(o.Data.text) + len(o.Metadata.text) + len(o.EName) + len(o.EValue)
	for _, line := range o.Traceback {
		memory += 16 + len(line)
	}
	w := writer{measure: true}
	w.output(o, outputDepth)
	return max(int64(memory), w.size/2)
}

// FitText returns the longest beginning of a stream's text that counts for no more
// than room, and what it adds to the Size of an output.
func FitText(text string, room int64) (kept string, size int64) {
	const line = int64(len("\n\"\",")) + outputDepth + 2
	var file int64
	for i := 0; i < len(text); {
		n := 1
		file++
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			var r rune
			r, n = utf8.DecodeRuneInString(text[i:])
			var escaped [6]byte
			file += int64(len(appendEscaped(escaped[:0], r))) - 1
			if endsLine(r) || wideLineEnd(text[i:]) > 0 {
				file += line
			}
		}
		next := max(int64(i+n), file/2)
		if next > room {
			return text[:i], size
		}
		i, size = i+n, next
	}
	return text, size
}

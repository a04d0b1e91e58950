package webhook

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
)

// refIn finds the ref of a push in the beginning of its payload, where all hosts write
// it, "" where it is not found. GitHub's default is a form with the JSON in its field
// "payload".
func refIn(contentType string, head []byte) string {
	if kind, _, err := mime.ParseMediaType(contentType); err == nil && kind == "application/x-www-form-urlencoded" {
		head = payloadField(head)
	}
	d := json.NewDecoder(bytes.NewReader(head))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return ""
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil { // also where the beginning ends
			return ""
		}
		if name == "ref" {
			var ref string
			_ = json.Unmarshal(value, &ref) // stays "" for anything else
			return ref
		}
	}
	return ""
}

// payloadField decodes the beginning of a form, whose only field is "payload".
func payloadField(form []byte) []byte {
	value, ok := bytes.CutPrefix(form, []byte("payload="))
	if !ok {
		return nil
	}
	value, _, _ = bytes.Cut(value, []byte("&"))
	if cut := bytes.LastIndexByte(value, '%'); cut >= 0 && cut > len(value)-3 { // half a character
		value = value[:cut]
	}
	text, err := url.QueryUnescape(string(value))
	if err != nil {
		return nil
	}
	return []byte(text)
}

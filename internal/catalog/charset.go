package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/ianaindex"
)

// charsetField finds the charset in the bytes of a header, which are ASCII in every
// charset that gettext takes.
var charsetField = regexp.MustCompile(`(?i)Content-Type:[^\n"\\]{0,200}?charset=([A-Za-z0-9_.:+-]{1,40})`)

// charsetOf returns the charset that a header names; UTF-8 where it names none, or the
// word that templates have in its place.
func charsetOf(header []byte) string {
	found := charsetField.FindSubmatch(header)
	if found == nil || string(found[1]) == "CHARSET" {
		return "UTF-8"
	}
	return string(found[1])
}

// toUTF8 returns text of a charset as UTF-8.
func toUTF8(data []byte, charset string) ([]byte, error) {
	switch strings.ToLower(charset) {
	case "utf-8", "utf8":
		return data, validUTF8(data, charset)
	case "ascii", "us-ascii":
		if i := bytes.IndexFunc(data, func(r rune) bool { return r >= utf8.RuneSelf }); i >= 0 {
			return nil, &notInCharset{charset: charset, at: i, found: data[i]}
		}
		return data, nil
	}
	encoding, err := ianaindex.IANA.Encoding(charset)
	if err != nil || encoding == nil {
		return nil, fmt.Errorf("the charset %q is not known", charset)
	}
	decoded, err := encoding.NewDecoder().Bytes(data)
	if err != nil {
		return nil, fmt.Errorf("it is not %s: %w", charset, err)
	}
	if bytes.ContainsRune(decoded, utf8.RuneError) {
		return nil, errors.New("it holds bytes that are not " + charset)
	}
	return decoded, nil
}

func validUTF8(data []byte, charset string) error {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return &notInCharset{charset: charset, at: i, found: data[i]}
		}
		i += size
	}
	return nil
}

// notInCharset says where text is not what its header says it is.
type notInCharset struct {
	charset string
	at      int
	found   byte
}

func (e *notInCharset) Error() string {
	return fmt.Sprintf("byte 0x%02x is not %s", e.found, e.charset)
}

package runner

import (
	"encoding/json"

	"nbpress/runner/internal/notebook"
)

// languageLimit is how much a kernel may say of its language.
const languageLimit = 64 << 10

// languageInfo returns what of a kernel's language_info may stand in a notebook's
// metadata: nil where that is nothing. Jupyter opens no notebook in which a field of
// it is of another type than
// https://nbformat.readthedocs.io/en/latest/format_description.html#notebook-metadata.
func languageInfo(sent json.RawMessage) map[string]any {
	value, err := notebook.ParseJSON(sent, languageLimit)
	if err != nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(value.String()), &fields); err != nil {
		return nil
	}
	info := make(map[string]any, len(fields))
	for name, field := range fields {
		first := field[0]
		switch name {
		case "name", "file_extension", "mimetype", "pygments_lexer":
			if first != '"' {
				continue
			}
		case "codemirror_mode":
			if first != '"' && first != '{' {
				continue
			}
		}
		info[name] = field
	}
	if info["name"] == nil {
		return nil
	}
	return info
}

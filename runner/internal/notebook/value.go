package notebook

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// typed returns a value as a Python expression; false: it is a string.
func typed(v any) (string, bool) {
	v = plain(v)
	if _, ok := v.(string); ok {
		return "", false
	}
	return repr(v), true
}

// asText returns a value as text: a string itself, all else as Python prints it.
func asText(v any) string {
	v = plain(v)
	if s, ok := v.(string); ok {
		return s
	}
	return repr(v)
}

// plain returns v as one of the types that JSON has, numbers as json.Number.
func plain(v any) any {
	switch v := v.(type) {
	case nil, bool, string, []any, map[string]any:
		return v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Sprint(v) // JSON cannot say it
		}
		return json.Number(wholeOrFloat(v))
	case json.Number:
		if !isNumber(string(v)) { // it must never be pasted as code
			return string(v)
		}
		return v
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return decode(data, span{0, len(data)})
}

// repr returns Python's repr of v, numbers as they were written. Keys of
// objects are sorted.
func repr(v any) string {
	switch v := plain(v).(type) {
	case bool:
		if v {
			return "True"
		}
		return "False"
	case json.Number:
		return string(v)
	case string:
		quote := "'"
		if strings.Contains(v, "'") && !strings.Contains(v, `"`) {
			quote = `"`
		}
		return quote + literal{quote: quote}.escape(v, false) + quote
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = repr(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case map[string]any:
		items := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			items = append(items, repr(key)+": "+repr(v[key]))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return "None"
}

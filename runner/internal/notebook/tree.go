package notebook

import (
	"bytes"
	"errors"
	"iter"
)

// Tree is a value in metadata that is only taken apart when the notebook is written,
// so that all of them need not be in memory twice. What it returns is of the types
// that encoding/json decodes to, or JSON, or a Tree again.
type Tree interface{ Tree() any }

// Size returns how many bytes the value's text has.
func (j JSON) Size() int { return len(j.text) }

// Text returns the string that the value is, and whether it is one.
func (j JSON) Text() (string, bool) {
	if len(j.text) == 0 || j.text[0] != '"' {
		return "", false
	}
	return text(j.text, span{0, len(j.text)}), true
}

// Members yields the members of an object in the order of their keys; of another value
// nothing. They share no memory with it.
func (j JSON) Members() iter.Seq2[string, JSON] {
	return func(yield func(string, JSON) bool) {
		if len(j.text) == 0 || j.text[0] != '{' {
			return
		}
		_ = eachMember(j.text, span{0, len(j.text)}, func(key, value span) error {
			if !yield(text(j.text, key), j.part(value)) {
				return errStop
			}
			return nil
		})
	}
}

// Elements yields the elements of an array; of another value nothing. They share no
// memory with it.
func (j JSON) Elements() iter.Seq[JSON] {
	return func(yield func(JSON) bool) {
		if len(j.text) == 0 || j.text[0] != '[' {
			return
		}
		_ = elements(j.text, span{0, len(j.text)}, func(v span) error {
			if !yield(j.part(v)) {
				return errStop
			}
			return nil
		})
	}
}

// errStop ends an iteration.
var errStop = errors.New("no more")

func (j JSON) part(v span) JSON { return JSON{bytes.Clone(j.text[v.start:v.end])} }

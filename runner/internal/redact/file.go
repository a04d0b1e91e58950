package redact

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
)

// unpackLimit is how much of what a file unpacks to is searched, and mostMembers of how
// many members.
const (
	unpackLimit = 256 << 20
	mostMembers = 10000
)

// InFile returns the name of a secret whose value stands in a file: in its bytes, or in
// what they unpack to, if it is gzip or a zip archive as those of Excel and Word are;
// "" for none. Whole is false where not all of that was searched.
func (r *Redactor) InFile(data []byte) (name string, whole bool) {
	if r == nil {
		return "", true
	}
	if name := r.In(data); name != "" {
		return name, true
	}
	budget := int64(unpackLimit)
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		if unpacked, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			name, budget = r.findWithin(unpacked, budget)
		}
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		if bytes.Count(data, []byte("PK\x01\x02")) > mostMembers { // each of them takes memory below
			return "", false
		}
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			break // what nobody can unpack shows nothing
		}
		for _, member := range archive.File {
			if name = r.In([]byte(member.Name + "\n" + member.Comment)); name != "" {
				return name, true
			}
			unpacked, err := member.Open()
			if err != nil {
				continue // encrypted, or in a way that we do not know
			}
			name, budget = r.findWithin(unpacked, budget)
			_ = unpacked.Close() // its error would be that of the reading
			if name != "" || budget <= 0 {
				break
			}
		}
	}
	return name, budget > 0
}

// findWithin is Find for no more than budget bytes, and returns what is left of them. What
// cannot be read any further ends there.
func (r *Redactor) findWithin(from io.Reader, budget int64) (name string, left int64) {
	limited := &io.LimitedReader{R: from, N: budget}
	name, _ = r.Find(limited)
	return name, limited.N
}

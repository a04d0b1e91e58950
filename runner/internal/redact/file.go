package redact

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
)

// mostMembers is how many members an archive may have that is searched.
const mostMembers = 10000

// InFile returns the name of a secret whose value stands in a file: in its bytes, or in
// what they unpack to, if it is gzip or a zip archive as those of Excel and Word are;
// "" for none. It unpacks no more than limit bytes, and returns how many it did; whole is
// false where that was not all.
func (r *Redactor) InFile(data []byte, limit int64) (name string, unpacked int64, whole bool) {
	if r == nil {
		return "", 0, true
	}
	if name := r.In(data); name != "" {
		return name, 0, true
	}
	left := limit
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		if unpacked, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			name, left = r.findWithin(unpacked, left)
		}
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		if bytes.Count(data, []byte("PK\x01\x02")) > mostMembers { // each of them takes memory below
			return "", 0, false
		}
		archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			break // what nobody can unpack shows nothing
		}
		for _, member := range archive.File {
			if name = r.In([]byte(member.Name + "\n" + member.Comment)); name != "" {
				return name, limit - left, true
			}
			unpacked, err := member.Open()
			if err != nil {
				continue // encrypted, or in a way that we do not know
			}
			name, left = r.findWithin(unpacked, left)
			_ = unpacked.Close() // its error would be that of the reading
			if name != "" || left <= 0 {
				break
			}
		}
	default:
		return "", 0, true
	}
	return name, limit - left, left > 0
}

// findWithin is Find for no more than limit bytes, and returns what is left of them. What
// cannot be read any further ends there.
func (r *Redactor) findWithin(from io.Reader, limit int64) (name string, left int64) {
	limited := &io.LimitedReader{R: from, N: limit}
	name, _ = r.Find(limited)
	return name, limited.N
}

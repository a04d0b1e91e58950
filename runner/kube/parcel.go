package kube

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A parcel is a stream of bytes whose reader knows that all of it has come, and nothing
// else: chunks, each after its length in four bytes, then a length of zero and the SHA-256
// of what is in the chunks. Streams of commands in containers now and then end early, or
// lose something in the middle, without any error. desk.py is the other side.

const (
	chunkSize    = 64 << 10 // of what we write
	longestChunk = 1 << 20  // of what we read
)

// errCut is what reading a parcel ends with that did not come whole.
var errCut = errors.New("the stream was cut or changed on its way")

// writeParcel writes all that r has as one parcel.
func writeParcel(w io.Writer, r io.Reader) error {
	digest := sha256.New()
	buffer := make([]byte, 4+chunkSize)
	for {
		n, err := r.Read(buffer[4:])
		if n > 0 {
			digest.Write(buffer[4 : 4+n])
			binary.BigEndian.PutUint32(buffer, uint32(n))
			if _, err := w.Write(buffer[:4+n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	_, err := w.Write(append(make([]byte, 4), digest.Sum(nil)...))
	return err
}

// readParcel reads one parcel from r and hands its bytes to w as they come. They are all
// there, and right, only if it returns no error. It takes no more memory than a chunk.
func readParcel(r io.Reader, w io.Writer) error {
	digest := sha256.New()
	var chunk bytes.Buffer
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
		length := int64(binary.BigEndian.Uint32(head[:]))
		if length == 0 {
			break
		}
		if length > longestChunk {
			return fmt.Errorf("%w: it has a chunk of %d bytes", errCut, length)
		}
		chunk.Reset()
		if n, err := io.CopyN(&chunk, r, length); err != nil {
			return fmt.Errorf("%w: %d bytes of %d: %w", errCut, n, length, err)
		}
		digest.Write(chunk.Bytes())
		if _, err := w.Write(chunk.Bytes()); err != nil {
			return err
		}
	}
	var sum [sha256.Size]byte
	if _, err := io.ReadFull(r, sum[:]); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	if !bytes.Equal(sum[:], digest.Sum(nil)) {
		return fmt.Errorf("%w: its checksum differs", errCut)
	}
	return nil
}

// errFull is what a bounded buffer ends a stream with that is longer.
var errFull = errors.New("more came than was asked for")

// bounded is a buffer that takes no more than its limit.
type bounded struct {
	bytes.Buffer
	limit int64
}

func (b *bounded) Write(p []byte) (int, error) {
	if int64(b.Len()+len(p)) > b.limit {
		return 0, errFull
	}
	return b.Buffer.Write(p)
}

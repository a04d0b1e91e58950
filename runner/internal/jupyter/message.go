package jupyter

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Message is one message of the kernel, verified and taken apart as far as its
// headers. See
// https://jupyter-client.readthedocs.io/en/stable/messaging.html#general-message-format.
type Message struct {
	Type     string
	ID       string
	Session  string // the kernel process's session
	Date     string // as sent, ISO 8601; may be ""
	ParentID string // the request that this answers; "" for none
	Own      bool   // ParentID is the request under way

	Content  json.RawMessage // an object
	Metadata json.RawMessage
	Buffers  [][]byte

	// Dropped counts the bytes of content that were over a limit and are not here.
	// Such a message has no Content, and may stand for several of the same parent.
	Dropped int64
}

// Time returns when the kernel says it sent the message, zero where it does not.
func (m Message) Time() time.Time {
	t, err := time.Parse(time.RFC3339Nano, m.Date)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// header is the wire format of a message's header.
type header struct {
	MsgID    string `json:"msg_id"`
	MsgType  string `json:"msg_type"`
	Username string `json:"username"`
	Session  string `json:"session"`
	Date     string `json:"date"`
	Version  string `json:"version"`
}

// delimiter stands between routing frames and the message proper.
const delimiter = "<IDS|MSG>"

// The frames after the delimiter: signature, header, parent header, metadata, content.
const minFrames = 5

// encode returns the frames of a request, signed with key.
func encode(key []byte, h header, content any) ([][]byte, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode header of %s: %w", h.MsgType, err)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encode content of %s: %w", h.MsgType, err)
	}
	parts := [][]byte{head, []byte("{}"), []byte("{}"), body}
	frames := [][]byte{[]byte(delimiter), sign(key, parts)}
	return append(frames, parts...), nil
}

// sign returns the signature frame: lower-case hex, or empty where there is no key.
func sign(key []byte, parts [][]byte) []byte {
	if len(key) == 0 {
		return []byte{}
	}
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return hex.AppendEncode(nil, mac.Sum(nil))
}

// decode takes a message apart. The signature is verified over the received bytes
// before any of them is parsed. Fields it does not know are ignored.
func decode(key []byte, frames [][]byte) (Message, error) {
	parts, err := body(frames)
	if err != nil {
		return Message{}, err
	}
	if len(key) > 0 && !hmac.Equal(parts[0], sign(key, parts[1:minFrames])) {
		return Message{}, errors.New("bad signature: the sender does not hold the connection file's key")
	}
	m, err := parseHeaders(parts)
	if err != nil {
		return Message{}, err
	}
	m.Metadata, m.Content = parts[3], parts[4]
	if buffers := parts[minFrames:]; len(buffers) > 0 {
		m.Buffers = slices.Clone(buffers) // of its own, lest it hold the other frames
	}
	return m, nil
}

// decodeCut takes apart what the guard left of a message that was over a limit.
// Its signature cannot be verified any more, so nothing but its size, its parent and
// its number are believed: enough to say that output is missing, and that it is not
// the kernel who lost it.
func decodeCut(frames [][]byte, size int64) (Message, error) {
	parts, err := body(frames)
	if err != nil {
		return Message{}, err
	}
	m, err := parseHeaders(parts)
	if err != nil {
		return Message{}, err
	}
	return Message{Type: m.Type, ID: m.ID, ParentID: m.ParentID, Dropped: size}, nil
}

// body returns the frames after the delimiter: at least minFrames of them. The
// number of frames before it differs: none, a topic, an identity.
func body(frames [][]byte) ([][]byte, error) {
	for i, frame := range frames {
		if string(frame) != delimiter {
			continue
		}
		if rest := frames[i+1:]; len(rest) >= minFrames {
			return rest, nil
		}
		return nil, fmt.Errorf("message of %d frames after the delimiter, want at least %d", len(frames)-i-1, minFrames)
	}
	return nil, errors.New("message without the delimiter " + delimiter)
}

// signatureOf returns the signature of a message that was decoded; empty for none.
func signatureOf(frames [][]byte) []byte {
	parts, err := body(frames)
	if err != nil {
		return nil
	}
	return parts[0]
}

// headerLimit is far more bytes than any kernel's header has.
const headerLimit = 64 << 10

func parseHeaders(parts [][]byte) (Message, error) {
	if n := max(len(parts[1]), len(parts[2])); n > headerLimit {
		return Message{}, &LimitError{What: "bytes of a message header", Got: uint64(n), Limit: headerLimit}
	}
	var h, parent header
	if err := unmarshalObject(parts[1], &h); err != nil {
		return Message{}, fmt.Errorf("message header: %w", err)
	}
	if h.MsgType == "" {
		return Message{}, errors.New("message header without msg_type")
	}
	if err := unmarshalObject(parts[2], &parent); err != nil {
		return Message{}, fmt.Errorf("parent header of %s: %w", h.MsgType, err)
	}
	return Message{Type: h.MsgType, ID: h.MsgID, Session: h.Session, Date: h.Date, ParentID: parent.MsgID}, nil
}

// unmarshalObject reads a JSON object into v, tolerating fields of types that v
// does not expect. A null leaves v as it is, as does a field of the wrong type.
func unmarshalObject(data []byte, v any) error {
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] != '{' && string(trimmed) != "null" {
		return errors.New("not a JSON object")
	}
	err := json.Unmarshal(data, v)
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return nil
	}
	return err
}

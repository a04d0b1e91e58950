package jupyter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// signedFrames returns the frames of a message as a kernel sends it.
func signedFrames(key, prefix string, parts ...string) [][]byte {
	var body [][]byte
	for _, p := range parts {
		body = append(body, []byte(p))
	}
	signature := sign([]byte(key), body[:min(len(body), 4)])
	return append([][]byte{[]byte(prefix), []byte(delimiter), signature}, body...)
}

func TestSign_AgreesWithJupyterClient(t *testing.T) {
	// Session(key=b"a-key").sign([b'{"a": "\xc3\xa9"}', b"{}", b"{}", b'{ "b":1}'])
	parts := [][]byte{[]byte("{\"a\": \"\u00e9\"}"), []byte("{}"), []byte("{}"), []byte(`{ "b":1}`)}
	const want = "1d878ec75e26a2e957a32fdd659b0375dba418925edb82561ddcae682263bef1"
	if got := string(sign([]byte("a-key"), parts)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDecode_TakesMessagesApart(t *testing.T) {
	frames := signedFrames("k", "kernel.1.stream.stdout",
		`{ "msg_id" : "1","msg_type":"stream","session":"s","date":"2026-11-23T06:00:00.123456+01:00","username":7,"extra":{}}`,
		`{"msg_id":"r"}`, `{}`, `{"name":"stdout","text":"é"}`, "buffer")
	got, err := decode([]byte("k"), frames)
	if err != nil {
		t.Fatal(err)
	}
	want := Message{
		Type: "stream", ID: "1", Session: "s", Date: "2026-11-23T06:00:00.123456+01:00", ParentID: "r",
		Content: json.RawMessage(`{"name":"stdout","text":"é"}`), Metadata: json.RawMessage(`{}`),
		Buffers: [][]byte{[]byte("buffer")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := time.Date(2026, 11, 23, 5, 0, 0, 123456000, time.UTC); !got.Time().Equal(at) {
		t.Errorf("got time %v, want %v", got.Time(), at)
	}
}

func TestDecode_RefusesWhatNoKernelSends(t *testing.T) {
	header := `{"msg_id":"1","msg_type":"status"}`
	good := signedFrames("k", "id", header, "{}", "{}", "{}")
	tampered := signedFrames("k", "id", header, "{}", "{}", "{}")
	tampered[6] = []byte(`{"execution_state":"idle"}`)
	unsigned := signedFrames("", "id", header, "{}", "{}", "{}")
	tests := map[string]struct {
		frames [][]byte
		want   string
	}{
		"no frames":          {nil, "without the delimiter"},
		"no delimiter":       {good[2:], "without the delimiter"},
		"too few frames":     {good[:5], "3 frames after the delimiter"},
		"tampered content":   {tampered, "bad signature"},
		"no signature":       {unsigned, "bad signature"},
		"header is a list":   {signedFrames("k", "id", `[]`, "{}", "{}", "{}"), "not a JSON object"},
		"header is cut off":  {signedFrames("k", "id", `{"msg_id":`, "{}", "{}", "{}"), "unexpected end"},
		"header has no type": {signedFrames("k", "id", `{}`, "{}", "{}", "{}"), "without msg_type"},
		"parent is a number": {signedFrames("k", "id", header, "7", "{}", "{}"), "not a JSON object"},
		"10,001 deep":        {signedFrames("k", "id", `{"x":`+strings.Repeat("[", 10_001), "{}", "{}", "{}"), "max depth"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := decode([]byte("k"), test.frames)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := decode([]byte("k"), good); err != nil {
		t.Errorf("the message all are made of: %v", err)
	}
}

func TestParseConnection(t *testing.T) {
	good := Connection{
		Transport: "tcp", IP: "127.0.0.1", ShellPort: 1, IOPubPort: 2, StdinPort: 3, ControlPort: 4, HBPort: 65535,
		Key: "k", SignatureScheme: "hmac-sha256", KernelName: "python3",
	}
	if got, err := ParseConnection(good.File()); err != nil || !cmp.Equal(got, good) {
		t.Errorf("got %+v, %v", got, err)
	}
	with := func(old, replacement string) string {
		return strings.Replace(string(good.File()), old, replacement, 1)
	}
	tests := map[string]struct{ data, want string }{
		"no JSON":          {"key: value", "invalid character"},
		"null":             {"null", "shell_port is 0"},
		"no port":          {with("65535", "0"), "hb_port is 0, want 1 to 65535"},
		"port too big":     {with("65535", "65536"), "hb_port is 65536"},
		"port as text":     {with("65535", `"65535"`), "hb_port"},
		"no address":       {with("127.0.0.1", ""), `ip is ""`},
		"other transport":  {with("tcp", "udp"), `transport is "udp"`},
		"other signature":  {with("hmac-sha256", "hmac-md5"), `signature_scheme is "hmac-md5"`},
		"curve encryption": {with(`"key"`, `"curve_publickey": "abc", "key"`), "CurveZMQ"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConnection([]byte(test.data))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

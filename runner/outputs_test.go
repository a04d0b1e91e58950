package runner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nbpress/runner/internal/jupyter"
	"nbpress/runner/internal/notebook"
)

// own makes a message of the current cell.
func own(kind, content string) jupyter.Message {
	return jupyter.Message{Type: kind, ParentID: "now", Own: true, Content: json.RawMessage(content)}
}

// empty is what an output without content counts for.
var empty = (&notebook.Output{}).Size()

func TestOutputs_ApplyMessagesInOrder(t *testing.T) {
	tests := map[string]struct {
		limit    int64
		messages []jupyter.Message
		want     string
	}{
		"streams are merged while they follow each other": {
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"a"}`), own("stream", `{"name":"stdout","text":"b\r"}`),
				own("stream", `{"name":"stderr","text":"c"}`), own("stream", `{"name":"stdout","text":"d"}`),
			},
			want: "[ ] stdout ab\r | stderr c | stdout d",
		},
		"odd messages are tolerated": {
			messages: []jupyter.Message{
				own("stream", `[]`), own("stream", `{"name":3,"text":"a"}`), own("display_data", `{}`),
				own("display_data", `{"data":{"text/plain":"x"},"metadata":null,"transient":null}`),
				own("error", `{}`), own("comm_open", `{}`), own("who knows", ``), own("clear_output", `null`),
				own("display_data", `{"data":{"text/plain":"y"},"transient":7}`), own("update_display_data", `{}`),
			},
			want: "[ ] display_data y",
		},
		"clear with wait leaves what nothing follows": {
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"a"}`), own("clear_output", `{"wait":true}`),
				own("update_display_data", `{"data":{},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] stdout a",
		},
		"an update of what was cleared shows nothing": {
			messages: []jupyter.Message{
				own("display_data", `{"data":{"text/plain":"1"},"transient":{"display_id":"i"}}`), own("clear_output", `{}`),
				own("update_display_data", `{"data":{"text/plain":"2"},"transient":{"display_id":"i"}}`),
				own("display_data", `{"data":{"text/plain":"3"},"transient":{"display_id":"i"}}`),
				own("display_data", `{"data":{"text/plain":"4"},"transient":{"display_id":"i"}}`),
			},
			want: "[ ] display_data 4 | display_data 4",
		},
		"text is cut between characters": {
			limit:    empty + 4,
			messages: []jupyter.Message{own("stream", `{"name":"stdout","text":"aéé"}`), own("stream", `{"name":"stdout","text":"bc"}`)},
			want:     "[ ] stdout aé | stderr [nbpress: output cut: a notebook keeps 228 bytes]\n",
		},
		"an error is kept over the limit": {
			limit:    4,
			messages: []jupyter.Message{own("display_data", `{"data":{"text/plain":"long"}}`), own("error", `{"ename":"E"}`)},
			want:     "[ ] stderr [nbpress: output cut: a notebook keeps 4 bytes]\n | error E",
		},
		"what is cleared makes room": {
			limit: empty + 4,
			messages: []jupyter.Message{
				own("stream", `{"name":"stdout","text":"1234"}`), own("clear_output", `{}`), own("stream", `{"name":"stdout","text":"5678"}`),
			},
			want: "[ ] stdout 5678",
		},
		"messages that were dropped on the way": {
			messages: []jupyter.Message{{Type: "stream", ParentID: "now", Own: true, Dropped: 7}, own("stream", `{"name":"stdout","text":"on"}`)},
			want:     "[ ] stderr [nbpress: output cut: " + tooFast + "]\n",
		},
		"messages of nobody's": {
			messages: []jupyter.Message{{Type: "stream", ParentID: "probe", Content: json.RawMessage(`{"name":"stdout","text":"a"}`)}},
			want:     "[ ]",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.limit == 0 {
				test.limit = 1 << 20
			}
			o, cell := newOutputs(1<<20, test.limit), &notebook.Cell{Type: "code"}
			o.begin(0, cell)
			for _, m := range test.messages {
				o.message(m)
			}
			if diff := cmp.Diff(test.want, shown(cell)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if o.used < 0 || o.used > test.limit {
				t.Errorf("%d bytes are counted of at most %d", o.used, test.limit)
			}
		})
	}
}

// FuzzOutputs applies any sequence of messages: each input line is a type, a blank
// and a content.
func FuzzOutputs(f *testing.F) {
	f.Add("stream {\"name\":\"stdout\",\"text\":\"a\"}\nclear_output {\"wait\":true}\ndisplay_data {\"transient\":{\"display_id\":\"i\"}}")
	f.Add("display_data {\"data\":{\"a\":1},\"transient\":{\"display_id\":\"i\"}}\nclear_output {}\nupdate_display_data {\"transient\":{\"display_id\":\"i\"}}")
	f.Fuzz(func(t *testing.T, script string) {
		const limit = 2000
		o, cell := newOutputs(limit, limit), &notebook.Cell{Type: "code"}
		out := o.begin(0, cell)
		for line := range strings.SplitSeq(script, "\n") {
			kind, content, _ := strings.Cut(line, " ")
			o.message(own(kind, content))
		}
		out.finish(jupyter.Reply{})
		if o.used < 0 || o.used > limit || out.used != o.used {
			t.Fatalf("%d bytes counted, %d of the cell's", o.used, out.used)
		}
	})
}

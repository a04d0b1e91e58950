package local

import (
	"bytes"
	"strings"
	"testing"
)

func TestTail_KeepsTheEndWithinTheLimit(t *testing.T) {
	long := newTail(1000)
	for range 300 {
		long.Write(bytes.Repeat([]byte("0123456789"), 10))
	}
	long.Write([]byte("the end\n"))
	const mark = "[nbpress: only the end of 30008 bytes]\n"
	for _, test := range []struct {
		limit int64
		want  string
	}{
		{-1, ""},
		{0, ""},
		{4, "end\n"},
		{int64(len(mark)) + 8, mark + "the end\n"},
		{1 << 20, mark + strings.Repeat("0123456789", 100)[8:] + "the end\n"},
	} {
		got := string(long.last(test.limit))
		if got != test.want {
			t.Errorf("last(%d) = %q, want %q", test.limit, got, test.want)
		}
	}
	short := newTail(1000)
	short.Write([]byte("all"))
	if got := string(short.last(3)); got != "all" {
		t.Errorf("got %q, want all of it, unmarked", got)
	}
}

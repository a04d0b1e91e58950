package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNext_OnTheDaysWhenTheClockChanges(t *testing.T) {
	tests := []struct {
		name, text, zone string
		after            string // wall clock
		want             []string
	}{
		{"a skipped time fires after the gap", "30 2 * * *", "Europe/Madrid", "2026-03-28 12:00",
			[]string{"2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"}},
		{"several skipped times share an instant", "*/20 2,3 * * *", "Europe/Madrid", "2026-03-28 12:00",
			[]string{"2026-03-29T03:00+02:00", "2026-03-29T03:20+02:00", "2026-03-29T03:40+02:00", "2026-03-30T02:00+02:00"}},
		{"a repeated time fires the first time", "30 2 * * *", "Europe/Madrid", "2026-10-24 12:00",
			[]string{"2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"}},
		{"every hour skips what is not there", "0 * * * *", "Europe/Madrid", "2026-03-29 00:30",
			[]string{"2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00"}},
		{"every hour fires in both passes", "0 * * * *", "Europe/Madrid", "2026-10-25 01:30",
			[]string{"2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"}},
		{"steps of hours are named hours", "0 */2 * * *", "Europe/Madrid", "2026-10-25 01:30",
			[]string{"2026-10-25T02:00+02:00", "2026-10-25T04:00+01:00"}},
		{"midnight is skipped in Cairo", "@daily", "Africa/Cairo", "2026-04-23 12:00",
			[]string{"2026-04-24T01:00+03:00", "2026-04-25T00:00+03:00"}},
		{"midnight is skipped in Santiago", "0 0 * * *", "America/Santiago", "2026-09-05 12:00",
			[]string{"2026-09-06T01:00-03:00", "2026-09-07T00:00-03:00"}},
		{"half an hour is skipped on Lord Howe", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03 12:00",
			[]string{"2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"}},
		{"half an hour is repeated on Lord Howe", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00",
			[]string{"2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"}},
		{"every half hour on Lord Howe", "*/30 * * * *", "Australia/Lord_Howe", "2026-04-05 01:15",
			[]string{"2026-04-05T01:30+11:00", "2026-04-05T01:30+10:30", "2026-04-05T02:00+10:30"}},
		{"a whole day is skipped in Apia", "0 9 * * *", "Pacific/Apia", "2011-12-29 08:00",
			[]string{"2011-12-29T09:00-10:00", "2011-12-31T00:00+14:00", "2011-12-31T09:00+14:00"}},
		{"every hour over the skipped day", "0 * * * *", "Pacific/Apia", "2011-12-29 22:30",
			[]string{"2011-12-29T23:00-10:00", "2011-12-31T00:00+14:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.text, tt.zone)
			after, err := time.ParseInLocation("2006-01-02 15:04", tt.after, s.Location())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, instants(Upcoming(s, after, len(tt.want)))); diff != "" {
				t.Errorf("instants (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNext_GetsPastTheLastDayOfALeapYear is about zone files that end in a rule instead
// of a long table, as Go's own do: the time package then names wrong bounds for that day.
func TestNext_GetsPastTheLastDayOfALeapYear(t *testing.T) {
	zone, err := time.LoadLocationFromTZData("Europe/Rule", ruleZone("CET-1CEST,M3.5.0,M10.5.0/3"))
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, "0 * * * *", "")
	s.zone = zone
	after := time.Date(2028, 12, 30, 22, 30, 0, 0, time.UTC)
	for range 48 {
		next := make(chan time.Time, 1)
		go func() { next <- s.Next(after) }()
		select {
		case got := <-next:
			if want := after.Truncate(time.Hour).Add(time.Hour); !got.Equal(want) {
				t.Fatalf("after %v: got %v, want %v", after, got, want)
			}
			after = got
		case <-time.After(time.Minute):
			t.Fatalf("Next(%v) goes on for ever", after)
		}
	}
}

// ruleZone returns a zone file with one offset and a rule for ever after 1970.
func ruleZone(rule string) []byte {
	header := func(times, types, chars byte) string {
		return "TZif2" + strings.Repeat("\x00", 15+15) + string([]byte{times}) + "\x00\x00\x00" + string([]byte{types}) + "\x00\x00\x00" + string([]byte{chars})
	}
	const local = "\x00\x00\x0e\x10\x00\x00" + "CET\x00" // one hour, no daylight saving, its name
	return []byte(header(0, 1, 4) + local + header(1, 1, 4) + strings.Repeat("\x00", 8) + "\x00" + local + "\n" + rule + "\n")
}

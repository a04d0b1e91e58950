package schedule

import (
	"slices"
	"strconv"
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

// TestNext_AgreesWithAWatcherOfTheClock compares a year of every schedule in
// every zone with what somebody sees who looks at a wall clock each minute.
func TestNext_AgreesWithAWatcherOfTheClock(t *testing.T) {
	texts := []string{"30 2 * * *", "0 0 * * *", "*/20 1-3 * * 0", "59 23 * * *", "5 */6 1,15,29 * *", "0 12 31 * 1",
		"15 * * * *", "*/15 0-23 * 3,4,9-11 *", "* 0 * * 6,0"}
	zones := []string{"Europe/Madrid", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca",
		"America/St_Johns", "Antarctica/Troll", "Asia/Kolkata"}
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
			end := begin.AddDate(1, 0, 0)
			want := watch(texts, mustParse(t, "@daily", zone).Location(), begin, end)
			for i, text := range texts {
				s := mustParse(t, text, zone)
				var got []time.Time
				for at := s.Next(begin); at.Before(end); at = s.Next(at) {
					got = append(got, at)
				}
				if diff := cmp.Diff(instants(want[i]), instants(got)); diff != "" {
					t.Errorf("%s (-watched +got):\n%s", s, diff)
				}
			}
		})
	}
}

// watch returns when each schedule is due between two instants by looking at the
// wall clock once a minute. It shares nothing with the package: it reads the
// fields with a parser of its own that knows numbers only.
func watch(texts []string, zone *time.Location, begin, end time.Time) [][]time.Time {
	var watched []watchedFields
	for _, text := range texts {
		watched = append(watched, watchFields(text))
	}
	clock := func(at time.Time) time.Time { // what the wall clock shows
		_, offset := at.In(zone).Zone()
		return at.UTC().Add(time.Duration(offset) * time.Second)
	}
	list := make([][]time.Time, len(texts))
	latest := clock(begin) // the latest time that the clock has shown so far
	for at := begin.Add(time.Minute); at.Before(end); at = at.Add(time.Minute) {
		shown := clock(at)
		for i, fields := range watched {
			fires := (fields.allDay || shown.After(latest)) && fields.due(shown)
			for skipped := latest.Add(time.Minute); !fields.allDay && skipped.Before(shown); skipped = skipped.Add(time.Minute) {
				fires = fires || fields.due(skipped)
			}
			if fires {
				list[i] = append(list[i], at.In(zone))
			}
		}
		if shown.After(latest) {
			latest = shown
		}
	}
	return list
}

// watchedFields are the values of the five fields.
type watchedFields struct {
	minute, hour, dom, month, dow [60]bool
	either                        bool // the day of month or the day of week is enough
	allDay                        bool // every hour is named
}

// due reports whether the fields match what the clock shows.
func (f *watchedFields) due(shown time.Time) bool {
	if !f.minute[shown.Minute()] || !f.hour[shown.Hour()] || !f.month[shown.Month()] {
		return false
	}
	dom, dow := f.dom[shown.Day()], f.dow[shown.Weekday()]
	return dom && dow || f.either && (dom || dow)
}

// watchFields reads lists, ranges and steps of numbers.
func watchFields(text string) watchedFields {
	fields := strings.Fields(text)
	values := func(text string, high int) (set [60]bool) {
		for part := range strings.SplitSeq(text, ",") {
			body, step, _ := strings.Cut(part, "/")
			low, last := 0, high
			if body != "*" {
				first, until, isRange := strings.Cut(body, "-")
				low, _ = strconv.Atoi(first)
				if last = low; isRange {
					last, _ = strconv.Atoi(until)
				}
			}
			by, _ := strconv.Atoi(step)
			for v := low; v <= last; v += max(by, 1) {
				set[v] = true
			}
		}
		return set
	}
	f := watchedFields{minute: values(fields[0], 59), hour: values(fields[1], 23), dom: values(fields[2], 31),
		month: values(fields[3], 12), dow: values(fields[4], 6)}
	f.either = fields[2] != "*" && fields[4] != "*"
	f.allDay = !slices.Contains(f.hour[:24], false)
	return f
}

package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// mustParse parses what a test takes for granted.
func mustParse(tb testing.TB, text, zone string) Schedule {
	tb.Helper()
	s, err := Parse(text, zone)
	if err != nil {
		tb.Fatalf("Parse(%q, %q): %v", text, zone, err)
	}
	return s
}

// instants formats times for comparison, offset included.
func instants(times []time.Time) []string {
	var list []string
	for _, t := range times {
		list = append(list, t.Format("2006-01-02T15:04-07:00"))
	}
	return list
}

func TestUpcoming_FollowsTheFields(t *testing.T) {
	after := time.Date(2026, 11, 20, 12, 0, 0, 1, time.UTC) // a Friday
	tests := []struct {
		text string
		want string // the next three, UTC
	}{
		{"0 6 * * 1", "2026-11-23T06:00 2026-11-30T06:00 2026-12-07T06:00"},
		{"0 6 * * MON", "2026-11-23T06:00 2026-11-30T06:00 2026-12-07T06:00"},
		{" 0  6\t* * mon ", "2026-11-23T06:00 2026-11-30T06:00 2026-12-07T06:00"},
		{"0 6 * * 7", "2026-11-22T06:00 2026-11-29T06:00 2026-12-06T06:00"},
		{"0 6 * * 5-7", "2026-11-21T06:00 2026-11-22T06:00 2026-11-27T06:00"},
		{"0 6 * * FRI-MON", "2026-11-21T06:00 2026-11-22T06:00 2026-11-23T06:00"},
		{"0 6 * * FRI-MON/2", "2026-11-22T06:00 2026-11-27T06:00 2026-11-29T06:00"},
		{"0 6 * * MON-SUN", "2026-11-21T06:00 2026-11-22T06:00 2026-11-23T06:00"},
		{"0 6 * * 0-7", "2026-11-21T06:00 2026-11-22T06:00 2026-11-23T06:00"},
		{"0 6 1 NOV-FEB *", "2026-12-01T06:00 2027-01-01T06:00 2027-02-01T06:00"},
		{"0 6 ? * ?", "2026-11-21T06:00 2026-11-22T06:00 2026-11-23T06:00"},
		{"*/20 * * * *", "2026-11-20T12:20 2026-11-20T12:40 2026-11-20T13:00"},
		{"*/60 * * * *", "2026-11-20T13:00 2026-11-20T14:00 2026-11-20T15:00"},
		{"50/5 12 * * *", "2026-11-20T12:50 2026-11-20T12:55 2026-11-21T12:50"},
		{"10-30/10,59 12 * * *", "2026-11-20T12:10 2026-11-20T12:20 2026-11-20T12:30"},
		{"0 0 13 * 5", "2026-11-27T00:00 2026-12-04T00:00 2026-12-11T00:00"},
		{"0 0 */13 * 1", "2026-11-23T00:00 2026-11-27T00:00 2026-11-30T00:00"},
		{"0 0 29 2 *", "2028-02-29T00:00 2032-02-29T00:00 2036-02-29T00:00"},
		{"@daily", "2026-11-21T00:00 2026-11-22T00:00 2026-11-23T00:00"},
		{"@Midnight", "2026-11-21T00:00 2026-11-22T00:00 2026-11-23T00:00"},
		{"@hourly", "2026-11-20T13:00 2026-11-20T14:00 2026-11-20T15:00"},
		{"@weekly", "2026-11-22T00:00 2026-11-29T00:00 2026-12-06T00:00"},
		{"@monthly", "2026-12-01T00:00 2027-01-01T00:00 2027-02-01T00:00"},
		{"@yearly", "2027-01-01T00:00 2028-01-01T00:00 2029-01-01T00:00"},
		{"@every 90m", "2026-11-20T13:30 2026-11-20T15:00 2026-11-20T16:30"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			var want []string
			for _, at := range strings.Fields(tt.want) {
				want = append(want, at+"+00:00")
			}
			got := instants(Upcoming(mustParse(t, tt.text, ""), after, 3))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("next three (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNext_IsStrictlyAfter(t *testing.T) {
	at := time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC)
	for _, text := range []string{"0 6 * * *", "* * * * *", "@every 1m"} {
		s := mustParse(t, text, "")
		if got := s.Next(at); !got.After(at) {
			t.Errorf("%s: Next(%v) = %v", text, at, got)
		}
		if got := s.Next(at.Add(-time.Nanosecond)); !got.Equal(at) {
			t.Errorf("%s: a nanosecond before, Next = %v, want %v", text, got, at)
		}
	}
}

func TestNext_FindsTheLeapDayAcrossACenturyWithoutOne(t *testing.T) {
	got := mustParse(t, "0 0 29 2 *", "").Next(time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC))
	if want := time.Date(2104, 2, 29, 0, 0, 0, 0, time.UTC); !got.Equal(want) {
		t.Errorf("Next = %v, want %v", got, want)
	}
}

func TestNext_EveryDoesNotDependOnWhenItIsAsked(t *testing.T) {
	s := mustParse(t, "@every 7m", "Europe/Madrid")
	for _, after := range []int64{1, 419, 420, -1, -420, -421, 1_800_000_000} {
		got := s.Next(time.Unix(after, 0)).Unix()
		if got%420 != 0 || got <= after || got > after+420 {
			t.Errorf("Next(%d) = %d, want the next multiple of 420", after, got)
		}
	}
}

func TestParse_RefusesNonsenseAndSaysWhatToWrite(t *testing.T) {
	const five = `write five fields, such as "0 6 * * 1" for Mondays at 06:00`
	const count = " of the five fields minute, hour, day of month, month and day of week; " + five
	const descriptors = " is unknown; write @hourly, @daily, @weekly, @monthly, @yearly, or five fields"
	const every = `; write a duration such as "@every 90m", or five fields`
	tests := []struct{ text, want string }{
		{"", "the schedule is empty; " + five},
		{"  \t", "the schedule is empty; " + five},
		{"TZ=", `the cron text begins with a time zone; put the zone into "timezone": ""`},
		{"TZ=0", `the cron text begins with a time zone; put the zone into "timezone": "0"`},
		{"CRON_TZ=Europe/Madrid", `the cron text begins with a time zone; put the zone into "timezone": "Europe/Madrid"`},
		{"CRON_TZ=Europe/Madrid 0 6 * * *", `the cron text begins with a time zone; put the zone into "timezone": "Europe/Madrid"`},
		{"TZ=UTC\t0 6 * * *", `the cron text begins with a time zone; put the zone into "timezone": "UTC"`},
		{"0 6 * *", `"0 6 * *" has 4` + count},
		{"monday", `"monday" has 1` + count},
		{"0 0 6 * * 1 2026", `"0 0 6 * * 1 2026" has 7` + count},
		{"0 0 6 * * 1", `"0 0 6 * * 1" has six fields, and there is none for seconds or years here; write five fields, such as "0 6 * * 1"`},
		{", * * * *", `minute "," has an empty element; remove the stray comma`},
		{"1,,2 * * * *", `minute "1,,2" has an empty element; remove the stray comma`},
		{"0 6 * * 1,", `day of week "1," has an empty element; remove the stray comma`},
		{"*/61 * * * *", `minute "*/61" steps past the end, after its first of 60 values; write that value alone, or a smaller step`},
		{"*/999999999999999999999 * * * *", `minute "*/999999999999999999999" steps past the end, after its first of 60 values; write that value alone, or a smaller step`},
		{"0 10-12/5 * * *", `hour "10-12/5" steps past the end, after its first of 3 values; write that value alone, or a smaller step`},
		{"*/0 * * * *", `minute "*/0" has a step of 0; write a whole number from 1 on`},
		{"*/-5 * * * *", `minute "*/-5" has no step after the slash; write a whole number from 1 on`},
		{"*/ * * * *", `minute "*/" has no step after the slash; write a whole number from 1 on`},
		{"*/5/5 * * * *", `minute "*/5/5" has no step after the slash; write a whole number from 1 on`},
		{"*-5 * * * *", `minute "*-5" is not a range; write two values, such as 1-5`},
		{"0 0 ?-5 * *", `day of month "?-5" is not a range; write two values, such as 2-6`},
		{"-5 * * * *", `minute "-5" is not a range; write two values, such as 1-5`},
		{"1- * * * *", `minute "1-" is not a range; write two values, such as 1-5`},
		{"1-2-3 * * * *", `minute "2-3" is not a value; write a number from 0 to 59`},
		{"60 * * * *", `minute "60" is out of range; write a number from 0 to 59`},
		{"0 24 * * *", `hour "24" is out of range; write a number from 0 to 23`},
		{"0 0 0 * *", `day of month "0" is out of range; write a number from 1 to 31`},
		{"0 0 * 13 *", `month "13" is out of range; write a number from 1 to 12 or a name such as FEB`},
		{"0 0 * * 8", `day of week "8" is out of range; write a number from 0 to 7 or a name such as MON`},
		{"0 22-2 * * *", `hour "22-2" goes backward; write 22-23,0-2`},
		{"? * * * *", `minute "?" stands for a day only; write "*"`},
		{"H * * * *", `minute "H" is not a value; write a number from 0 to 59`},
		{"+5 * * * *", `minute "+5" is not a value; write a number from 0 to 59`},
		{"0x5 * * * *", `minute "0x5" is not a value; write a number from 0 to 59`},
		{"٣ * * * *", `minute "٣" is not a value; write a number from 0 to 59`},
		{"0 0 L * *", `day of month "L" is not a value; write a number from 1 to 31`},
		{"0 0 * * 1#2", `day of week "1#2" is not a value; write a number from 0 to 7 or a name such as MON`},
		{"0 0 * * monday", `day of week "monday" is not a value; write a number from 0 to 7 or a name such as MON`},
		{"0 0 30 2 *", `"0 0 30 2 *" never fires: none of its months has such a day; correct the day of month or the month`},
		{"0 0 31 2,4,6,9,11 *", `"0 0 31 2,4,6,9,11 *" never fires: none of its months has such a day; correct the day of month or the month`},
		{"@reboot", `"@reboot" is no time; ` + five},
		{"@fortnightly", `"@fortnightly"` + descriptors},
		{"@daily 6", `"@daily 6"` + descriptors},
		{"@", `"@"` + descriptors},
		{"@every", `"" is not a duration` + every},
		{"@every week", `"week" is not a duration` + every},
		{"@every -5m", `"@every -5m" is not between a minute and 366 days` + every},
		{"@every 59s", `"@every 59s" is not between a minute and 366 days` + every},
		{"@every 1ns", `"@every 1ns" is not between a minute and 366 days` + every},
		{"@every 9000h", `"@every 9000h" is not between a minute and 366 days` + every},
		{"@every 60.5s", `"@every 60.5s" is not a whole number of seconds` + every},
		{strings.Repeat("1,", 2000) + "1 * * * *", "the schedule has 4009 characters; " + five},
	}
	for _, tt := range tests {
		_, err := Parse(tt.text, "")
		if err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%.60q)\n got %v\nwant %v", tt.text, err, tt.want)
		}
		var wrong *SyntaxError
		if !errors.As(err, &wrong) || wrong.Key != "cron" {
			t.Errorf("Parse(%.60q) returned %#v, want a SyntaxError of the key cron", tt.text, err)
		}
	}
}

func TestParse_RefusesZonesThatAreNotOfTheDatabase(t *testing.T) {
	tests := []struct{ zone, suggested string }{
		{"europe/madrid", "Europe/Madrid"},
		{"America/New York", "America/New_York"},
		{"utc", "UTC"},
		{"cet", "CET"},
		{"Local", "Europe/Madrid"},
		{"localtime", "Europe/Madrid"},
		{"right/Europe/Madrid", "Europe/Madrid"},
		{"UTC+2", "Europe/Madrid"},
		{"+02:00", "Europe/Madrid"},
		{" ", "Europe/Madrid"},
		{"../../etc/passwd", "Europe/Madrid"},
		{"Europe/Madrid\x00", "Europe/Madrid"},
		{"Europe/Madrid/", "Europe/Madrid"},
		{strings.Repeat("A", 100_000), "Europe/Madrid"},
	}
	for _, tt := range tests {
		_, err := Parse("0 6 * * *", tt.zone)
		var wrong *SyntaxError
		if !errors.As(err, &wrong) {
			t.Errorf("Parse in %.40q: got %v, want a SyntaxError", tt.zone, err)
			continue
		}
		want := `write a name of the IANA database, such as "` + tt.suggested + `"`
		if wrong.Key != "timezone" || wrong.Do != want || len(wrong.What) > 200 {
			t.Errorf("Parse in %.40q: got key %q, %.120q, %q, want %q", tt.zone, wrong.Key, wrong.What, wrong.Do, want)
		}
	}
}

func TestParser_LoadsAZoneOnce(t *testing.T) {
	var p Parser
	first, err := p.Parse("0 6 * * 1", "Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Parse("0 7 * * 1", "Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	if first.Location() != second.Location() {
		t.Error("the second schedule has a copy of the zone")
	}
}

func TestSchedule_ZeroNeverFires(t *testing.T) {
	var s Schedule
	if got := s.Next(time.Now()); !got.IsZero() {
		t.Errorf("Next = %v", got)
	}
	if got := Upcoming(s, time.Now(), 5); got != nil {
		t.Errorf("Upcoming = %v", got)
	}
	if s.Location() != time.UTC || s.String() != "" || !s.Equal(Schedule{}) {
		t.Errorf("got %v in %v", s, s.Location())
	}
}

// FuzzParse looks for texts that panic, that take long, or whose instants do
// not go forward.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 6 * * 1", "*/5 1-5 ? JAN-MAR/2 FRI-MON", "@every 1h", "@daily", "0 0 29 2 *",
		"TZ=", ", * * * *", "*/0 * * * *", "0 0 30 2 *", "0-59/59 2,3 1,31 * 7", "* 0-22 * * *"} {
		f.Add(text, "Europe/Madrid", int64(1_774_746_000))
		f.Add(text, "Australia/Lord_Howe", int64(-1))
	}
	var p Parser
	f.Fuzz(func(t *testing.T, text, zone string, from int64) {
		s, err := p.Parse(text, zone)
		if err != nil {
			return
		}
		const far = 253_402_300_800 // the year 10000
		after := time.Unix(from%far, 0)
		for range 5 {
			next := s.Next(after)
			if took := quickest(func() { s.Next(after) }); took > 10*time.Millisecond {
				t.Fatalf("Next(%v) of %q takes %v", after, s, took)
			}
			if !next.After(after) || next.Sub(after) > 9*366*24*time.Hour {
				t.Fatalf("Next(%v) of %q = %v", after, s, next)
			}
			after = next
		}
	})
}

// quickest returns how long f takes at best of a few tries, so that a busy
// machine is not blamed on f.
func quickest(f func()) time.Duration {
	best := time.Hour
	for range 5 {
		began := time.Now()
		f()
		if best = min(best, time.Since(began)); best < time.Millisecond {
			break
		}
	}
	return best
}

package schedule

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWindow_CountsFromTheScheduledDay(t *testing.T) {
	madrid := mustParse(t, "0 6 * * 1", "Europe/Madrid").Location()
	tests := []struct {
		name, from, to string
		at             time.Time
		want           Days
	}{
		{name: "yesterday", at: time.Date(2026, 11, 23, 6, 0, 0, 0, madrid), want: Days{"2026-11-22", "2026-11-22"}},
		{name: "yesterday", at: time.Date(2027, 1, 1, 0, 0, 0, 0, madrid), want: Days{"2026-12-31", "2026-12-31"}},
		{name: "yesterday", at: time.Date(2026, 3, 30, 0, 30, 0, 0, madrid), want: Days{"2026-03-29", "2026-03-29"}},
		{name: "last_7_days", at: time.Date(2026, 11, 25, 6, 0, 0, 0, madrid), want: Days{"2026-11-18", "2026-11-24"}},
		{name: "last_week", at: time.Date(2026, 11, 23, 6, 0, 0, 0, madrid), want: Days{"2026-11-16", "2026-11-22"}},
		{name: "last_week", at: time.Date(2026, 11, 29, 23, 0, 0, 0, madrid), want: Days{"2026-11-16", "2026-11-22"}},
		{name: "last_month", at: time.Date(2024, 3, 31, 6, 0, 0, 0, madrid), want: Days{"2024-02-01", "2024-02-29"}},
		{name: "last_month", at: time.Date(2027, 1, 1, 6, 0, 0, 0, madrid), want: Days{"2026-12-01", "2026-12-31"}},
		{name: "last_quarter", at: time.Date(2026, 11, 23, 6, 0, 0, 0, madrid), want: Days{"2026-07-01", "2026-09-30"}},
		{name: "last_quarter", at: time.Date(2026, 1, 2, 6, 0, 0, 0, madrid), want: Days{"2025-10-01", "2025-12-31"}},
		{name: "last_quarter", at: time.Date(2026, 6, 30, 6, 0, 0, 0, madrid), want: Days{"2026-01-01", "2026-03-31"}},
		{name: "month_to_date", at: time.Date(2026, 11, 23, 6, 0, 0, 0, madrid), want: Days{"2026-11-01", "2026-11-22"}},
		{name: "month_to_date", at: time.Date(2026, 11, 1, 6, 0, 0, 0, madrid), want: Days{"2026-10-01", "2026-10-31"}},
		{name: "month_to_date", at: time.Date(2026, 3, 2, 6, 0, 0, 0, madrid), want: Days{"2026-03-01", "2026-03-01"}},
		{from: "-7d", to: "-1d", at: time.Date(2026, 11, 25, 6, 0, 0, 0, madrid), want: Days{"2026-11-18", "2026-11-24"}},
		{from: "-1d", to: "0d", at: time.Date(2028, 3, 1, 6, 0, 0, 0, madrid), want: Days{"2028-02-29", "2028-03-01"}},
	}
	for _, tt := range tests {
		w, err := ParseWindow(tt.name, tt.from, tt.to)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(w.String()+" "+tt.at.Format(time.DateTime), func(t *testing.T) {
			if diff := cmp.Diff(tt.want, w.Days(tt.at)); diff != "" {
				t.Errorf("days (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWindow_UsesTheLocalDay(t *testing.T) {
	w, err := ParseWindow("yesterday", "", "")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 23, 30, 0, 0, time.UTC)
	kiritimati := mustParse(t, "@daily", "Pacific/Kiritimati").Location()
	if got, want := w.Days(at.In(kiritimati)), (Days{"2026-11-23", "2026-11-23"}); got != want {
		t.Errorf("at UTC+14 got %v, want %v", got, want)
	}
	if got, want := w.Days(at), (Days{"2026-11-22", "2026-11-22"}); got != want {
		t.Errorf("at UTC got %v, want %v", got, want)
	}
}

// TestWindow_HoldsItsPropertiesOnAnyDay walks through days of sixty years.
func TestWindow_HoldsItsPropertiesOnAnyDay(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	zones := []string{"Europe/Madrid", "America/Santiago", "Africa/Cairo", "Pacific/Kiritimati", "America/St_Johns", "UTC"}
	day := func(s string) time.Time {
		parsed, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for range 3000 {
		zone := mustParse(t, "@daily", zones[random.IntN(len(zones))]).Location()
		at := time.Unix(random.Int64N(60*366*24*3600), 0).In(zone)
		today := day(at.Format(time.DateOnly))
		back := 1 + random.IntN(400)
		far := back + random.IntN(400)
		for _, name := range append(windowNames(), "") {
			from, to := "", ""
			if name == "" {
				from, to = fmt.Sprintf("-%dd", far), fmt.Sprintf("-%dd", back)
			}
			w, err := ParseWindow(name, from, to)
			if err != nil {
				t.Fatal(err)
			}
			days := w.Days(at)
			first, last := day(days.From), day(days.To)
			length := int(last.Sub(first)/(24*time.Hour)) + 1
			afterLast := last.AddDate(0, 0, 1)
			ok := !first.After(last) && last.Before(today)
			switch name {
			case "yesterday":
				ok = ok && length == 1 && afterLast.Equal(today)
			case "last_7_days":
				ok = ok && length == 7 && afterLast.Equal(today)
			case "last_week":
				ok = ok && length == 7 && first.Weekday() == time.Monday && today.Sub(last) <= 7*24*time.Hour
			case "last_month":
				ok = ok && first.Day() == 1 && afterLast.Day() == 1 && length <= 31 && today.Sub(last) <= 31*24*time.Hour
			case "last_quarter":
				ok = ok && first.Day() == 1 && first.Month()%3 == 1 && afterLast.Equal(first.AddDate(0, 3, 0)) && !today.Before(afterLast) && today.Before(first.AddDate(0, 6, 0))
			case "month_to_date":
				ok = ok && first.Day() == 1 && afterLast.Equal(today) && length <= 31
			case "":
				ok = ok && length == far-back+1 && today.Sub(last) == time.Duration(back)*24*time.Hour
			}
			if !ok {
				t.Errorf("%s at %v: %v", name, at, days)
			}
		}
	}
}

func TestParseWindow_RefusesAndSaysWhatToWrite(t *testing.T) {
	const names = "yesterday, last_7_days, last_week, last_month, last_quarter, month_to_date"
	const back = `; write days back from the scheduled day, such as "-7d"`
	tests := []struct{ name, from, to, key, want string }{
		{"", "", "", "window", "the window is empty; write one of " + names},
		{"last_year", "", "", "window", `the window "last_year" is unknown; write one of ` + names + `, or {"from": "-7d", "to": "-1d"}`},
		{"Yesterday", "", "", "window", `the window "Yesterday" is unknown; write one of ` + names + `, or {"from": "-7d", "to": "-1d"}`},
		{"yesterday", "-1d", "-1d", "window", `the window has both a name and days; keep one of them: the name, or "from" and "to"`},
		{"", "-1d", "-7d", "from", "the window ends (-7d) before it begins (-1d); exchange the two"},
		{"", "-7d", "", "to", `"" is no number of days` + back},
		{"", "", "-1d", "from", `"" is no number of days` + back},
		{"", "7d", "-1d", "from", `"7d" lies after the scheduled day` + back + `, or "0d" for that day itself`},
		{"", "-7d", "+1d", "to", `"+1d" lies after the scheduled day` + back + `, or "0d" for that day itself`},
		{"", "-7", "-1d", "from", `"-7" is no number of days` + back},
		{"", "-1w", "-1d", "from", `"-1w" is no number of days` + back},
		{"", "-07d", "-1d", "from", `"-07d" is no number of days` + back},
		{"", "-99999999999999999999d", "-1d", "from", `"-99999999999999999999d" is no number of days` + back},
		{"", "-3661d", "-1d", "from", `"-3661d" is more than ten years back` + back},
	}
	for _, tt := range tests {
		_, err := ParseWindow(tt.name, tt.from, tt.to)
		var wrong *SyntaxError
		if !errors.As(err, &wrong) || wrong.Key != tt.key || err.Error() != tt.want {
			t.Errorf("ParseWindow(%q, %q, %q)\n got %v\nwant %s: %s", tt.name, tt.from, tt.to, err, tt.key, tt.want)
		}
	}
}

// TestWindow_TilesTheCalendar follows schedules over twenty years, through leap years and
// every change of the clocks: the windows of consecutive slots leave no day out and
// none comes twice.
func TestWindow_TilesTheCalendar(t *testing.T) {
	pairs := []struct{ text, name, from, to string }{
		{"0 0 * * *", "yesterday", "", ""},
		{"30 2 * * *", "yesterday", "", ""},
		{"59 23 * * *", "", "0d", "0d"},
		{"@weekly", "last_7_days", "", ""},
		{"0 6 * * MON", "last_week", "", ""},
		{"30 2 * * SUN", "last_week", "", ""},
		{"0 3 * * WED", "", "-7d", "-1d"},
		{"0 0 1 * *", "last_month", "", ""},
		{"30 2 28 * *", "last_month", "", ""},
		{"0 0 1 * *", "month_to_date", "", ""},
		{"0 0 1 */3 *", "last_quarter", "", ""},
	}
	begin := time.Date(2012, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, zone := range []string{"Europe/Madrid", "Africa/Cairo", "America/Santiago", "Australia/Lord_Howe", "Pacific/Kiritimati", "America/St_Johns"} {
		for _, p := range pairs {
			w, err := ParseWindow(p.name, p.from, p.to)
			if err != nil {
				t.Fatal(err)
			}
			s := mustParse(t, p.text, zone)
			next, covered := "", 0
			for at := s.Next(begin); at.Before(begin.AddDate(20, 0, 0)); at = s.Next(at) {
				days := w.Days(at)
				if next != "" && days.From != next {
					t.Fatalf("%s, %s: at %v the window is %v, and the one before ended on the day before %s", s, w, at, days, next)
				}
				to, err := time.Parse(time.DateOnly, days.To)
				if err != nil {
					t.Fatal(err)
				}
				next = to.AddDate(0, 0, 1).Format(time.DateOnly)
				covered++
			}
			if covered < 79 { // twenty years of quarters
				t.Errorf("%s, %s: only %d slots", s, w, covered)
			}
		}
	}
}

// TestWindow_MonthToDateGrowsByADay wants the window of a daily report to begin on the
// first and to gain each day, until on the first the whole month is told once more.
func TestWindow_MonthToDateGrowsByADay(t *testing.T) {
	w, err := ParseWindow("month_to_date", "", "")
	if err != nil {
		t.Fatal(err)
	}
	lengths := map[int]int{} // whole months, by their days
	s := mustParse(t, "30 2 * * *", "Europe/Madrid")
	begin := time.Date(2012, 1, 1, 12, 0, 0, 0, time.UTC)
	for at := s.Next(begin); at.Before(begin.AddDate(20, 0, 0)); at = s.Next(at) {
		yesterday := at.AddDate(0, 0, -1)
		want := Days{From: yesterday.Format("2006-01") + "-01", To: yesterday.Format(time.DateOnly)}
		if got := w.Days(at); got != want {
			t.Fatalf("at %v: %v, want %v", at, got, want)
		}
		if at.Day() == 1 {
			lengths[yesterday.Day()]++
		}
	}
	if want := (map[int]int{28: 15, 29: 5, 30: 80, 31: 140}); fmt.Sprint(lengths) != fmt.Sprint(want) {
		t.Errorf("months of so many days: %v, want %v", lengths, want)
	}
}

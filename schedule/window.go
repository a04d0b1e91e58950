package schedule

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Window says which days a report covers, seen from the day it is scheduled for.
// A Window comes from [ParseWindow]; it may be compared and copied.
type Window struct {
	name     string // "" where from and to count
	from, to int    // days from the scheduled day, at most 0
}

// Days are the days that a run covers, both included, written like 2026-11-23.
type Days struct {
	From string
	To   string
}

const (
	dayLayout  = "2006-01-02"
	maxDayBack = 3660 // ten years
)

// windowNames lists the named windows.
func windowNames() []string {
	return []string{"yesterday", "last_7_days", "last_week", "last_month", "last_quarter", "month_to_date"}
}

// ParseWindow returns a named window, or, where name is empty, the one of two
// offsets in days from the scheduled day: "-7d" to "-1d". "0d" is the scheduled
// day itself, which is not over then; later days are refused. Its errors are of
// type *[SyntaxError].
func ParseWindow(name, from, to string) (Window, error) {
	names := strings.Join(windowNames(), ", ")
	switch {
	case name != "" && (from != "" || to != ""):
		return Window{}, &SyntaxError{"window", "the window has both a name and days", `keep one of them: the name, or "from" and "to"`}
	case name == "" && from == "" && to == "":
		return Window{}, &SyntaxError{"window", "the window is empty", "write one of " + names}
	case name == "":
		return parseDays(from, to)
	}
	for _, known := range windowNames() {
		if name == known {
			return Window{name: name}, nil
		}
	}
	return Window{}, &SyntaxError{"window", fmt.Sprintf("the window %q is unknown", clip(name)),
		"write one of " + names + `, or {"from": "-7d", "to": "-1d"}`}
}

// parseDays returns the window between two offsets.
func parseDays(from, to string) (Window, error) {
	first, err := parseOffset("from", from)
	if err != nil {
		return Window{}, err
	}
	last, err := parseOffset("to", to)
	if err != nil {
		return Window{}, err
	}
	if first > last {
		return Window{}, &SyntaxError{"from", fmt.Sprintf("the window ends (%s) before it begins (%s)", to, from), "exchange the two"}
	}
	return Window{from: first, to: last}, nil
}

// parseOffset reads "-7d" or "0d".
func parseOffset(key, text string) (int, error) {
	do := `write days back from the scheduled day, such as "-7d"`
	form := regexp.MustCompile(`^(0|-[1-9][0-9]{0,5}|\+?[1-9][0-9]{0,5})d$`)
	match := form.FindStringSubmatch(text)
	if match == nil {
		return 0, &SyntaxError{key, fmt.Sprintf("%q is no number of days", clip(text)), do}
	}
	days, err := strconv.Atoi(match[1])
	switch {
	case err != nil || days < -maxDayBack:
		return 0, &SyntaxError{key, fmt.Sprintf("%q is more than ten years back", text), do}
	case days > 0:
		return 0, &SyntaxError{key, fmt.Sprintf("%q lies after the scheduled day", text), do + `, or "0d" for that day itself`}
	}
	return days, nil
}

// String returns the window's name, or its days as "-7d..-1d".
func (w Window) String() string {
	if w.name != "" {
		return w.name
	}
	return fmt.Sprintf("%dd..%dd", w.from, w.to)
}

// Days returns the days that the window covers for a slot. They are counted from
// the calendar day of at in its own location, which must be the report's zone.
// The zero Window covers that day alone.
func (w Window) Days(at time.Time) Days {
	year, month, day := at.Date()
	// In UTC every day has 24 hours, and days are all that counts from here on.
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	var first, last time.Time
	switch w.name {
	case "yesterday":
		first, last = date(year, month, day-1), date(year, month, day-1)
	case "last_7_days":
		first, last = date(year, month, day-7), date(year, month, day-1)
	case "last_week":
		sinceMonday := (int(at.Weekday()) + 6) % 7
		first, last = date(year, month, day-sinceMonday-7), date(year, month, day-sinceMonday-1)
	case "last_month":
		first, last = date(year, month-1, 1), date(year, month, 0)
	case "last_quarter":
		quarter := month - (month-1)%3 // its first month
		first, last = date(year, quarter-3, 1), date(year, quarter, 0)
	case "month_to_date":
		last = date(year, month, day-1)
		first = date(last.Year(), last.Month(), 1)
	default:
		first, last = date(year, month, day+w.from), date(year, month, day+w.to)
	}
	return Days{From: first.Format(dayLayout), To: last.Format(dayLayout)}
}

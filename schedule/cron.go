package schedule

import (
	"cmp"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says at which instants a report is due: a cron text in a time zone.
// The zero Schedule never fires. A Schedule is immutable and may be copied.
type Schedule struct {
	text     string
	zone     *time.Location
	calendar *cron.SpecSchedule // over wall clock times; nil where every is set
	every    time.Duration
	allHours bool // fires at every real instant, see the package's comment
}

// SyntaxError is a cron text, a zone or a window that cannot be used.
type SyntaxError struct {
	Key  string // which value is wrong: "cron", "timezone", "window", "from" or "to"
	What string // what is wrong with it
	Do   string // what to write instead
}

// Error returns what is wrong and what to do about it.
func (e *SyntaxError) Error() string { return e.What + "; " + e.Do }

// Parse is [Parser.Parse] for a single schedule. Whoever parses many keeps a
// Parser, which loads each zone once.
func Parse(text, timezone string) (Schedule, error) {
	return new(Parser).Parse(text, timezone)
}

// Parse returns the schedule of a cron text, as the package's comment describes
// it, in a zone of the IANA database; an empty timezone means UTC. Its errors are
// of type *[SyntaxError].
func (p *Parser) Parse(text, timezone string) (Schedule, error) {
	s, err := parseCron(text)
	if err != nil {
		return Schedule{}, err
	}
	if s.zone, err = p.zone(timezone); err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// String returns the cron text and the zone: "0 6 * * 1 Europe/Madrid".
func (s Schedule) String() string {
	if s.zone == nil {
		return ""
	}
	return s.text + " " + s.zone.String()
}

// Equal reports whether both schedules have the same text and zone.
func (s Schedule) Equal(other Schedule) bool {
	return s.text == other.text && s.Location().String() == other.Location().String()
}

// Location returns the schedule's zone, UTC for the zero Schedule.
func (s Schedule) Location() *time.Location { return cmp.Or(s.zone, time.UTC) }

// EitherDay reports whether the text gives both a day of month and a day of week, so
// that either of them is enough, which not everybody expects.
func (s Schedule) EitherDay() bool {
	const star = 1 << 63 // what the cron package marks a field with that is "*"
	return s.calendar != nil && (s.calendar.Dom|s.calendar.Dow)&star == 0
}

// Next returns the first instant after the given one at which the schedule
// fires, in the schedule's zone. It is the zero time for the zero Schedule alone.
func (s Schedule) Next(after time.Time) time.Time {
	switch {
	case s.every > 0:
		return s.nextEvery(after)
	case s.calendar == nil:
		return time.Time{}
	case s.allHours:
		return s.nextReal(after)
	default:
		return s.nextNamed(after)
	}
}

// Upcoming returns the next n instants after the given one at which s fires.
func Upcoming(s Schedule, after time.Time, n int) []time.Time {
	var list []time.Time
	for range n {
		after = s.Next(after)
		if after.IsZero() {
			break
		}
		list = append(list, after)
	}
	return list
}

// nextEvery counts periods from the Unix epoch.
func (s Schedule) nextEvery(after time.Time) time.Time {
	period := int64(s.every / time.Second)
	count := after.Unix() / period
	if after.Unix()%period < 0 {
		count-- // division rounds toward zero, time does not
	}
	return time.Unix((count+1)*period, 0).In(s.zone)
}

// nextReal returns the first instant whose wall clock matches. It goes through
// the stretches of constant offset, so that a clock that jumps needs no rules.
func (s Schedule) nextReal(after time.Time) time.Time {
	local := after.In(s.zone)
	from := wall(local)
	for {
		next := s.nextWall(from)
		if next.IsZero() {
			return time.Time{}
		}
		_, offset := local.Zone()
		at := next.Add(-time.Duration(offset) * time.Second)
		end := offsetEnd(local)
		if end.IsZero() || at.Before(end) {
			return at.In(s.zone)
		}
		local = end.In(s.zone)
		from = wall(local).Add(-time.Nanosecond)
	}
}

// nextNamed returns the first instant that belongs to a wall clock time of the
// calendar. Several times may share an instant (those of a gap), and in the second
// pass of a repeated hour the times found first lie in the past.
func (s Schedule) nextNamed(after time.Time) time.Time {
	from := wall(after.In(s.zone))
	for {
		from = s.nextWall(from)
		if from.IsZero() {
			return time.Time{}
		}
		if at := instant(from, s.zone); at.After(after) {
			return at
		}
	}
}

// nextWall returns the calendar's next wall clock time, written as UTC. The
// calendar gives up at the end of the fifth year from now, and 29 February may be
// eight years away.
func (s Schedule) nextWall(after time.Time) time.Time {
	if next := s.calendar.Next(after); !next.IsZero() {
		return next
	}
	return s.calendar.Next(time.Date(after.Year()+5, time.December, 31, 23, 59, 59, 0, time.UTC))
}

// offsetEnd returns an instant up to which the zone keeps the offset of a local time,
// zero where it does so for ever. On the last day of a leap year the time package names
// one that has passed, since in years after the zone's table it counts 365 days.
func offsetEnd(local time.Time) time.Time {
	_, end := local.ZoneBounds()
	if end.IsZero() || end.After(local) {
		return end
	}
	return time.Date(local.UTC().Year()+1, time.January, 1, 0, 0, 0, 0, time.UTC)
}

// wall returns what the wall clock shows at a local time, written as UTC.
func wall(local time.Time) time.Time {
	_, offset := local.Zone()
	return local.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns when the wall clock of zone shows a time: the first instant
// where it does so twice, the first one after the gap where it never does.
func instant(shown time.Time, zone *time.Location) time.Time {
	at := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch got := wall(at); {
	case got.After(shown): // in a gap, read with the offset from before it
		return start
	case got.Before(shown): // in a gap, read with the offset from after it
		return end
	case start.IsZero():
		return at
	}
	_, offset := start.Add(-time.Second).Zone()
	if first := shown.Add(-time.Duration(offset) * time.Second); first.Before(start) {
		return first.In(zone)
	}
	return at
}

// parseCron returns a schedule without a zone.
func parseCron(text string) (Schedule, error) {
	written := strings.Join(strings.Fields(text), " ")
	if err := refuse(written); err != nil {
		return Schedule{}, err
	}
	expanded := written
	if strings.HasPrefix(written, "@") {
		if period, ok := strings.CutPrefix(strings.ToLower(written), "@every"); ok {
			every, err := parseEvery(strings.TrimSpace(period))
			return Schedule{text: written, every: every}, err
		}
		var err error
		if expanded, err = descriptor(written); err != nil {
			return Schedule{}, err
		}
	}
	plain, err := plainFields(expanded)
	if err != nil {
		return Schedule{}, err
	}
	calendar, err := parsePlain(plain)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{text: written, calendar: calendar, allHours: bits.OnesCount64(calendar.Hour<<1) == 24}
	if s.nextWall(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, &SyntaxError{"cron", fmt.Sprintf("%q never fires: none of its months has such a day", written),
			"correct the day of month or the month"}
	}
	return s, nil
}

// parsePlain hands five fields of plain numbers to the cron package, whose
// parser panics for some texts. None of these is known to reach it.
func parsePlain(fields string) (calendar *cron.SpecSchedule, err error) {
	wrong := &SyntaxError{"cron", fmt.Sprintf("%q is not a cron text", fields), exampleDo}
	defer func() {
		if recover() != nil {
			calendar, err = nil, wrong
		}
	}()
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(fields)
	if err != nil {
		return nil, wrong
	}
	calendar, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, wrong
	}
	calendar.Location = time.UTC
	return calendar, nil
}

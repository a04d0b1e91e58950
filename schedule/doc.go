// Package schedule says when a report is due and which days it covers: cron
// texts in a time zone, windows of days, and a planner that hands out what is
// due. It knows nothing of Git, of sandboxes or of the runner.
//
// A [Parser] turns a cron text and a zone into a [Schedule], and [ParseWindow]
// the name of a window, or two offsets, into a [Window]; both are plain values
// that cannot be wrong afterwards. A [Planner] lives as long as the agent: it is
// given the reports' entries by Update, as often as they change, and its Run
// calls back with one [Slot] after the other until its context ends.
//
// # Cron
//
// A text has five fields, minute, hour, day of month, month and day of week,
// with names, lists, ranges and steps; the days of the week go from 0 to 7, both
// Sunday, and ranges of days and months may pass the end, as FRI-MON does.
// "@daily" and its kin are accepted, and "@every" of a minute or more, which
// counts from the start of 1970 in UTC, so that a restart does not move it.
// Where day of month and day of week are both given, either of them is enough;
// a step is a list here ("*/13" means 1,14,27) and so counts as given.
//
// # Daylight saving
//
// A schedule that names hours fires once for each time of day it names: a time
// that the clock skips fires at the first instant after the gap, together with
// the others of that gap, and a time that comes twice fires the first time. A
// schedule whose hour field covers the whole day fires at every real instant
// whose wall clock matches: nothing for the skipped hour, and twice in the one
// that is repeated. What counts is the hours named, not the spelling: "*/6" and
// "0,6,12,18" are the same.
//
// # Guarantees
//
// Nothing that is parsed panics, and a schedule that was accepted fires within
// eight years of any instant. A planner hands out a slot successfully at most
// once in its life, the slots of a report in order, and none whose time lies at or
// before the entry's Since. Every slot after that is handed out or, where the entry's
// policy passes it over, told as missed. A callback that fails delays its own report only.
package schedule

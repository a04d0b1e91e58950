package schedule

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	exampleDo = `write five fields, such as "0 6 * * 1" for Mondays at 06:00`
	maxText   = 1000 // bytes of a cron text; every value of every field written out is shorter
	minEvery  = time.Minute
	maxEvery  = 366 * 24 * time.Hour
)

// field is one of the five fields of a cron text.
type field struct {
	name     string
	min, max int
	names    []string // the values' names, from min on; such a field's ranges may pass the end
	days     bool     // takes "?" for "*"
}

// fields returns the five fields in their order.
func fields() []field {
	return []field{
		{name: "minute", min: 0, max: 59},
		{name: "hour", min: 0, max: 23},
		{name: "day of month", min: 1, max: 31, days: true},
		{name: "month", min: 1, max: 12, names: strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")},
		{name: "day of week", min: 0, max: 6, names: strings.Fields("sun mon tue wed thu fri sat"), days: true},
	}
}

// refuse names the common texts that are meant for other programs.
func refuse(text string) error {
	count := strings.Count(text, " ") + 1
	switch {
	case text == "":
		return &SyntaxError{"cron", "the schedule is empty", exampleDo}
	case len(text) > maxText:
		return &SyntaxError{"cron", fmt.Sprintf("the schedule has %d characters", len(text)), exampleDo}
	case strings.HasPrefix(text, "TZ=") || strings.HasPrefix(text, "CRON_TZ="):
		zone, _, _ := strings.Cut(text[strings.Index(text, "=")+1:], " ")
		return &SyntaxError{"cron", "the cron text begins with a time zone", fmt.Sprintf(`put the zone into "timezone": %q`, clip(zone))}
	case strings.HasPrefix(text, "@"):
		return nil
	case count == 6:
		_, rest, _ := strings.Cut(text, " ")
		return &SyntaxError{"cron", fmt.Sprintf("%q has six fields, and there is none for seconds or years here", clip(text)),
			fmt.Sprintf("write five fields, such as %q", clip(rest))}
	case count != 5:
		return &SyntaxError{"cron", fmt.Sprintf("%q has %d of the five fields minute, hour, day of month, month and day of week", clip(text), count), exampleDo}
	}
	return nil
}

// descriptor returns the five fields that "@daily" or one of its kin stands for.
func descriptor(text string) (string, error) {
	switch strings.ToLower(text) {
	case "@yearly", "@annually":
		return "0 0 1 1 *", nil
	case "@monthly":
		return "0 0 1 * *", nil
	case "@weekly":
		return "0 0 * * 0", nil
	case "@daily", "@midnight":
		return "0 0 * * *", nil
	case "@hourly":
		return "0 * * * *", nil
	case "@reboot":
		return "", &SyntaxError{"cron", `"@reboot" is no time`, exampleDo}
	}
	return "", &SyntaxError{"cron", fmt.Sprintf("%q is unknown", clip(text)),
		"write @hourly, @daily, @weekly, @monthly, @yearly, or five fields"}
}

// parseEvery reads what follows "@every".
func parseEvery(text string) (time.Duration, error) {
	const do = `write a duration such as "@every 90m", or five fields`
	every, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, &SyntaxError{"cron", fmt.Sprintf("%q is not a duration", clip(text)), do}
	case every < minEvery || every > maxEvery:
		return 0, &SyntaxError{"cron", fmt.Sprintf(`"@every %s" is not between a minute and 366 days`, text), do}
	case every%time.Second != 0:
		return 0, &SyntaxError{"cron", fmt.Sprintf(`"@every %s" is not a whole number of seconds`, text), do}
	}
	return every, nil
}

// plainFields writes five fields in the little that every cron parser agrees
// on: "*" or a list of numbers.
func plainFields(text string) (string, error) {
	var plain []string
	cronFields := fields()
	for i, written := range strings.Fields(text) {
		f := cronFields[i]
		set, star, err := f.parse(written)
		if err != nil {
			return "", err
		}
		if star {
			plain = append(plain, "*")
			continue
		}
		var values []string
		for v := f.min; v <= f.max; v++ {
			if set&(1<<v) != 0 {
				values = append(values, strconv.Itoa(v))
			}
		}
		plain = append(plain, strings.Join(values, ","))
	}
	return strings.Join(plain, " "), nil
}

// parse returns the set of the field's values, one bit each, and whether it
// holds an element "*" without a step.
func (f field) parse(text string) (set uint64, star bool, err error) {
	for element := range strings.SplitSeq(text, ",") {
		if element == "" {
			return 0, false, f.wrong(text, "has an empty element", "remove the stray comma")
		}
		values, all, err := f.element(element)
		if err != nil {
			return 0, false, err
		}
		set |= values
		star = star || all
	}
	return set, star, nil
}

// element reads a value, a range or "*", with or without a step.
func (f field) element(text string) (set uint64, star bool, err error) {
	body, stepText, stepped := strings.Cut(text, "/")
	low, high, err := f.bounds(body)
	if err != nil {
		return 0, false, err
	}
	star = body == "*" || body == "?"
	step := 1
	if stepped {
		if !star && !strings.Contains(body, "-") {
			high = f.max // "5/15" means from 5 on
		}
		if step, err = f.step(text, stepText, high-low+1); err != nil {
			return 0, false, err
		}
	}
	for v := low; v <= high; v += step {
		set |= 1 << (f.min + (v-f.min)%(f.max-f.min+1))
	}
	return set, star && step == 1, nil
}

// bounds returns the first and the last value of a range; the last one is past
// the field's end where the range wraps.
func (f field) bounds(text string) (low, high int, err error) {
	if text == "*" || text == "?" && f.days {
		return f.min, f.max, nil
	}
	first, last, isRange := strings.Cut(text, "-")
	if isRange && (first == "" || last == "" || first == "*" || first == "?") {
		return 0, 0, f.wrong(text, "is not a range", fmt.Sprintf("write two values, such as %d-%d", f.min+1, f.min+5))
	}
	if low, err = f.value(first); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return low, low, nil
	}
	if high, err = f.value(last); err != nil {
		return 0, 0, err
	}
	if low > high {
		if f.names == nil {
			return 0, 0, f.wrong(text, "goes backward", fmt.Sprintf("write %d-%d,%d-%d", low, f.max, f.min, high))
		}
		high += f.max - f.min + 1
	}
	return low, high, nil
}

// value reads a number or a name.
func (f field) value(text string) (int, error) {
	if i := slices.Index(f.names, strings.ToLower(text)); i >= 0 {
		return f.min + i, nil
	}
	largest := f.max
	if f.name == "day of week" {
		largest = 7
	}
	allowed := fmt.Sprintf("write a number from %d to %d", f.min, largest)
	if f.names != nil {
		allowed += fmt.Sprintf(" or a name such as %s", strings.ToUpper(f.names[1]))
	}
	v, ok := number(text)
	switch {
	case text == "?":
		return 0, f.wrong(text, "stands for a day only", `write "*"`)
	case !ok:
		return 0, f.wrong(text, "is not a value", allowed)
	case v < f.min || v > largest:
		return 0, f.wrong(text, "is out of range", allowed)
	}
	return v, nil
}

// step reads the step of an element that has size values.
func (f field) step(element, text string, size int) (int, error) {
	step, ok := number(text)
	switch {
	case !ok:
		return 0, f.wrong(element, "has no step after the slash", "write a whole number from 1 on")
	case step == 0:
		return 0, f.wrong(element, "has a step of 0", "write a whole number from 1 on")
	case step > size:
		return 0, f.wrong(element, fmt.Sprintf("steps past the end, after its first of %d values", size), "write that value alone, or a smaller step")
	}
	return step, nil
}

// wrong returns the error of a part of this field.
func (f field) wrong(text, what, do string) error {
	return &SyntaxError{"cron", fmt.Sprintf("%s %q %s", f.name, clip(text), what), do}
}

// number reads digits and nothing else; what is too large for a field stays so.
func number(text string) (int, bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return math.MaxInt, true
	}
	return n, true
}

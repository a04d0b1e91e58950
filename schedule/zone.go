package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	_ "time/tzdata" // the agent's image need not hold the zone files
)

// Parser parses schedules and remembers the zones that it loaded: the rules of
// a zone take some 3 kB, and thousands of reports share a few of them. The zero
// Parser is ready for use, by several goroutines at once.
type Parser struct {
	mu    sync.Mutex // guards zones
	zones map[string]*time.Location
}

// zone returns the location of an IANA name.
func (p *Parser) zone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if zone, ok := p.zones[name]; ok {
		return zone, nil
	}
	zone, ok := loadZone(name)
	if !ok {
		return nil, &SyntaxError{"timezone", fmt.Sprintf("no time zone is called %q", clip(name)),
			fmt.Sprintf("write a name of the IANA database, such as %q", nearestZone(name))}
	}
	if p.zones == nil {
		p.zones = make(map[string]*time.Location)
	}
	p.zones[name] = zone
	return zone, nil
}

// loadZone loads a zone by its name. Names that mean something else on another
// machine, or count leap seconds, are refused.
func loadZone(name string) (*time.Location, bool) {
	form := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$`)
	if len(name) > 64 || !form.MatchString(name) {
		return nil, false
	}
	switch name {
	case "Local", "localtime", "posixrules", "Factory":
		return nil, false
	}
	if strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}

// nearestZone returns the zone that was meant where only the case is wrong or
// a blank stands for an underscore, else an example.
func nearestZone(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == ' ' })
	titled := []byte(strings.Join(words, "_"))
	for i := range titled {
		if i == 0 || titled[i-1] == '/' || titled[i-1] == '_' {
			titled[i] = strings.ToUpper(string(titled[i]))[0]
		}
	}
	for _, guess := range []string{string(titled), strings.ToUpper(name)} {
		if _, ok := loadZone(guess); ok {
			return guess
		}
	}
	return "Europe/Madrid"
}

// clip shortens what a message quotes.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

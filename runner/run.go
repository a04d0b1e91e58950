package runner

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

// RunID names one slot for one asset, whatever happens to the agent meanwhile.
type RunID string

// Valid reports whether it looks like the id of a run.
func (id RunID) Valid() bool {
	alien := func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '2' && r <= '7') }
	return len(id) == 20 && !strings.ContainsFunc(string(id), alien)
}

// NewRunID derives a run's id. The commit and the language have no part in it, so
// the same slot is the same run after a crash, a merge or a change of languages.
func NewRunID(report, asset string, scheduledAt time.Time) RunID {
	return RunID(digest(report, scheduledAt.UTC().Format(time.RFC3339), asset)[:20])
}

// NewOnDemandID derives the id of a run that the schedule does not know: the request
// takes the place of the instant.
func NewOnDemandID(report, asset, request string) RunID {
	return RunID(digest(report, "request "+request, asset)[:20])
}

// RequestID is the short name of a request, from its file's path on the branch of
// requests.
func RequestID(path string) string { return digest("request", path)[:8] }

// runID returns the id of a slot's run.
func (s SlotRecord) runID(asset string) RunID {
	if s.OnDemand != "" {
		return NewOnDemandID(s.Report, asset, s.OnDemand)
	}
	return NewRunID(s.Report, asset, s.ScheduledAt)
}

// generation returns which generation of its run a slot wants for an asset.
func (s SlotRecord) generation(asset string) int { return max(1, s.Generations[asset]) }

// digest makes one word of letters and digits of several texts.
func digest(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))
}

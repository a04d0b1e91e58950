package runner

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

// RunID names one slot for one asset, whatever happens to the agent meanwhile.
type RunID string

// NewRunID derives a run's id. The commit and the language have no part in it, so
// the same slot is the same run after a crash, a merge or a change of languages.
func NewRunID(report, asset string, scheduledAt time.Time) RunID {
	sum := sha256.Sum256([]byte(report + "\x00" + scheduledAt.UTC().Format(time.RFC3339) + "\x00" + asset))
	return RunID(strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:20])
}

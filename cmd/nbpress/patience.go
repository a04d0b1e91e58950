package main

import (
	"errors"
	"log/slog"
	"time"

	"nbpress/gitsync"
)

// When the ledger is tried again.
const (
	retryAway    = 5 * time.Second  // a remote that is away costs one connection to ask
	retryRefused = 10 * time.Minute // a rule of the remote holds until a person changes it,
	leastRefused = time.Minute      // also where something new comes meanwhile
)

// patience decides when a ledger that took nothing is tried again, and tells the log of
// each trouble once, and of its end. The zero value is a ledger without trouble.
type patience struct {
	away    string // what is, until something lands: the ledger, or the store that it comes from
	refused string // why, until something lands
}

// after says how long to wait after a try that ended so: at least the one time, and at
// most the other where nothing new comes; 0 is for ever. The log hears what follows from
// it, "manifests wait in the outbox".
func (p *patience) after(err error, log *slog.Logger, follows string) (least, most time.Duration) {
	refused := refusal(err)
	switch {
	case err == nil:
		if p.away != "" || p.refused != "" {
			log.Info("ledger takes commits again")
		}
		*p = patience{}
		return 0, 0
	case refused != "":
		if p.refused != refused {
			log.Error("ledger refuses commits until a person allows them; "+follows, "error", err, "retry", retryRefused)
		}
		p.away, p.refused = "", refused
		return leastRefused, retryRefused
	default:
		away := "ledger"
		if errors.As(err, new(storeError)) {
			away = "store"
		}
		if p.away != away {
			log.Warn(away+" not reached; "+follows, "error", err, "retry", retryAway)
		}
		p.away = away
		return retryAway, retryAway
	}
}

// refusal returns a remote's reason against a commit that trying again does not change,
// "" where there is none. It leaves out what a hook wrote, which may differ each time.
func refusal(err error) string {
	var declined *gitsync.DeclinedError
	switch {
	case errors.As(err, &declined):
		return declined.Branch + ": " + declined.Reason
	case errors.Is(err, gitsync.ErrDenied):
		return gitsync.ErrDenied.Error()
	}
	return ""
}

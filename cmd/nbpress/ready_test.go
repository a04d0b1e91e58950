package main

import (
	"errors"
	"strings"
	"testing"
)

// An agent that lost its seat while the ledger was away does not ask it any more.
func TestReadiness_TakesNoOldWordForWhoStandsBy(t *testing.T) {
	ledger := &dependency{name: "ledger"}
	ledger.note(t.Context(), errors.New("no route to host"))
	if text, well := (readiness{ledger}).answer(t.Context(), true); well || !strings.Contains(text, "ledger: down: no route to host") {
		t.Errorf("while it works: %v, %s", well, text)
	}
	ledger.forget()
	if text, well := (readiness{ledger}).answer(t.Context(), false); !well || !strings.Contains(text, "ledger: ok") {
		t.Errorf("while it stands by: %v, %s", well, text)
	}
}

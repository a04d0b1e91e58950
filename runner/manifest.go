package runner

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// APIVersion opens every document that nbpress writes for people and programs.
const APIVersion = "nbpress/v1"

// The kinds of documents.
const (
	KindRun    = "Run"    // one run, finished
	KindSlot   = "Slot"   // one slot, as it fired
	KindReport = "Report" // a report that cannot run
	KindAnswer = "Answer" // what became of a request
	KindMissed = "Missed" // slots of a report that passed without firing
)

// Status is how a run ended.
type Status string

// The two ways a run ends by itself, how a person ends one, and what becomes of slots
// without runs.
const (
	StatusCompleted Status = "completed"
	StatusError     Status = "error"
	StatusCanceled  Status = "canceled"
	StatusSkipped   Status = "skipped" // the slot before was still under way
	StatusMissed    Status = "missed"  // the agent was away, or the store
)

// Trigger is why a slot fired.
type Trigger string

// The triggers.
const (
	TriggerSchedule Trigger = "schedule"
	TriggerCatchUp  Trigger = "catch_up"
	TriggerRequest  Trigger = "request"
)

// Asked says which request something comes of. It is empty for what the schedule does.
type Asked struct {
	Request     string `yaml:"request,omitempty" json:"request,omitempty"` // the file's path on the branch of requests
	RequestedBy string `yaml:"requested_by,omitempty" json:"requested_by,omitempty"`
	Reason      string `yaml:"reason,omitempty" json:"reason,omitempty"`
}

// Window is the days that a report covers, both included.
type Window struct {
	FromDay Day `yaml:"from_day" json:"from_day"`
	ToDay   Day `yaml:"to_day" json:"to_day"`
}

// Day is a date like 2026-11-23.
type Day string

// MarshalYAML writes a day as YAML's own date, without the quotes of a string.
func (d Day) MarshalYAML() (any, error) {
	if _, err := time.Parse(time.DateOnly, string(d)); err != nil {
		return string(d), nil // of somebody else's hand: it must read back as it was
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: string(d)}, nil
}

// Manifest records a finished run. Its original is in the store, created once per
// generation and never changed; the ledger holds the same bytes.
type Manifest struct {
	APIVersion   string    `yaml:"apiVersion" json:"apiVersion"`
	Kind         string    `yaml:"kind" json:"kind"`
	ID           RunID     `yaml:"id" json:"id"`
	Generation   int       `yaml:"generation" json:"generation"`
	Report       string    `yaml:"report" json:"report"`
	Asset        string    `yaml:"asset" json:"asset"`
	Window       Window    `yaml:"window,flow" json:"window"`
	Languages    []string  `yaml:"languages,flow" json:"languages"`
	ScheduledAt  time.Time `yaml:"scheduled_at" json:"scheduled_at"`
	OnDemand     string    `yaml:"on_demand,omitempty" json:"on_demand,omitempty"` // as the slot record's
	Trigger      Trigger   `yaml:"trigger" json:"trigger"`
	Asked        `yaml:",inline"`
	BundleCommit string         `yaml:"bundle_commit" json:"bundle_commit"`
	Parameters   map[string]any `yaml:"parameters,omitempty,flow" json:"parameters,omitempty"`
	Status       Status         `yaml:"status" json:"status"`
	Attempts     []Attempt      `yaml:"attempts,omitempty" json:"attempts,omitempty"`
	Artifacts    []Artifact     `yaml:"artifacts,omitempty" json:"artifacts,omitempty"`
	Warnings     []string       `yaml:"warnings,omitempty" json:"warnings,omitempty"`
	CanceledBy   *Asked         `yaml:"canceled_by,omitempty" json:"canceled_by,omitempty"`
	Error        *RunError      `yaml:"error,omitempty" json:"error,omitempty"`
}

// Attempt is one try at a generation.
type Attempt struct {
	StartedAt  time.Time          `yaml:"started_at" json:"started_at"`
	FinishedAt time.Time          `yaml:"finished_at,omitempty" json:"finished_at,omitzero"`
	Ended      string             `yaml:"ended" json:"ended"` // completed, an error's code, released or abandoned
	Message    string             `yaml:"message,omitempty" json:"message,omitempty"`
	Sandbox    string             `yaml:"sandbox,omitempty" json:"sandbox,omitempty"`
	Seconds    map[string]float64 `yaml:"seconds,omitempty,flow" json:"seconds,omitempty"` // per stage, and of parts of one, as start.running
}

// Artifact is one object that a run left in the store.
type Artifact struct {
	Language string `yaml:"language,omitempty" json:"language,omitempty"`
	Name     string `yaml:"name" json:"name"`
	Key      string `yaml:"key" json:"key"`
	URL      string `yaml:"url,omitempty" json:"url,omitempty"` // where people see it, if that is known
	SHA256   string `yaml:"sha256" json:"sha256"`
	Bytes    int    `yaml:"bytes" json:"bytes"`
}

// RunError is what a reader of Git history needs to know of a failure.
type RunError struct {
	Code      Code     `yaml:"code" json:"code"`
	Fault     Fault    `yaml:"fault" json:"fault"`
	Message   string   `yaml:"message" json:"message"`
	Advice    string   `yaml:"advice" json:"advice"`
	Cell      *CellRef `yaml:"cell,omitempty,flow" json:"cell,omitempty"`
	Traceback string   `yaml:"traceback,omitempty" json:"traceback,omitempty"`
	Problems  []string `yaml:"problems,omitempty" json:"problems,omitempty"` // invalid_report: one line each
}

// SlotRecord records that a slot fired, or that runs of it were asked for: which are
// due, and with which commit.
type SlotRecord struct {
	APIVersion  string    `yaml:"apiVersion" json:"apiVersion"`
	Kind        string    `yaml:"kind" json:"kind"`
	Report      string    `yaml:"report" json:"report"`
	ScheduledAt time.Time `yaml:"scheduled_at" json:"scheduled_at"`
	// Timezone is the report's, for the slot's name; "" keeps ScheduledAt's own offset.
	Timezone string `yaml:"timezone,omitempty" json:"timezone,omitempty"`
	// Part tells apart what one request wants of one slot with several commits or languages.
	Part int `yaml:"part,omitempty" json:"part,omitempty"`
	// OnDemand is the id of the request that made this slot; "": the schedule did.
	OnDemand     string  `yaml:"on_demand,omitempty" json:"on_demand,omitempty"`
	Window       Window  `yaml:"window,flow" json:"window"`
	Trigger      Trigger `yaml:"trigger" json:"trigger"`
	Asked        `yaml:",inline"`
	BundleCommit string         `yaml:"bundle_commit" json:"bundle_commit"`
	Assets       []string       `yaml:"assets,flow" json:"assets"`
	Generations  map[string]int `yaml:"generations,omitempty,flow" json:"generations,omitempty"` // by asset, of those that are not 1
	Languages    []string       `yaml:"languages,omitempty,flow" json:"languages,omitempty"`     // of every run; empty: the report's
	Status       Status         `yaml:"status,omitempty" json:"status,omitempty"`                // "" or skipped
}

// MissedRecord records an outage of one report: slots in a row that passed and do not
// run. One that is told again, since its end was not known, takes the other's place.
type MissedRecord struct {
	APIVersion string    `yaml:"apiVersion" json:"apiVersion"`
	Kind       string    `yaml:"kind" json:"kind"`
	Report     string    `yaml:"report" json:"report"`
	Timezone   string    `yaml:"timezone" json:"timezone"`
	First      time.Time `yaml:"first" json:"first"`
	Last       time.Time `yaml:"last" json:"last"`
	Count      int       `yaml:"count" json:"count"`
	Why        string    `yaml:"why" json:"why"` // the policy that passed them over
	Status     Status    `yaml:"status" json:"status"`
}

// Slot is the slot's name in paths.
func (s SlotRecord) Slot() string { return slotName(s.ScheduledAt, s.OnDemand) }

// Slot is the name in paths of the slot that the run is of.
func (m Manifest) Slot() string { return slotName(m.ScheduledAt, m.OnDemand) }

// Answer records what became of a request. Once it is accepted that is for good.
type Answer struct {
	APIVersion string `yaml:"apiVersion" json:"apiVersion"`
	Kind       string `yaml:"kind" json:"kind"`
	Report     string `yaml:"report,omitempty" json:"report,omitempty"` // "" where the request names none
	Asked      `yaml:",inline"`
	AnsweredAt time.Time     `yaml:"answered_at" json:"answered_at"`
	Status     AnswerStatus  `yaml:"status" json:"status"`
	Runs       []AnsweredRun `yaml:"runs,omitempty" json:"runs,omitempty"`         // that will happen
	Canceled   []AnsweredRun `yaml:"canceled,omitempty" json:"canceled,omitempty"` // that will be, unless they end before
	LeftOut    []AnsweredRun `yaml:"left_out,omitempty" json:"left_out,omitempty"` // with why
	Error      *RunError     `yaml:"error,omitempty" json:"error,omitempty"`
}

// AnswerStatus is accepted or refused.
type AnswerStatus string

// The two answers.
const (
	AnswerAccepted AnswerStatus = "accepted"
	AnswerRefused  AnswerStatus = "refused"
)

// AnsweredRun is a run as an answer names it.
type AnsweredRun struct {
	ID          RunID     `yaml:"id" json:"id"`
	Generation  int       `yaml:"generation,omitempty" json:"generation,omitempty"`
	Asset       string    `yaml:"asset,omitempty" json:"asset,omitempty"`
	ScheduledAt time.Time `yaml:"scheduled_at,omitempty" json:"scheduled_at,omitzero"`
	Why         string    `yaml:"why,omitempty" json:"why,omitempty"`
}

// ReportRecord records that a report cannot run: its bundle is broken.
type ReportRecord struct {
	APIVersion   string    `yaml:"apiVersion" json:"apiVersion"`
	Kind         string    `yaml:"kind" json:"kind"`
	Report       string    `yaml:"report" json:"report"`
	SeenAt       time.Time `yaml:"seen_at" json:"seen_at"`
	BundleCommit string    `yaml:"bundle_commit" json:"bundle_commit"`
	Status       Status    `yaml:"status" json:"status"`
	Error        *RunError `yaml:"error" json:"error"`
}

// Encode writes a document as YAML, so that a traceback reads as lines in a diff.
func Encode(document any) ([]byte, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(document); err != nil {
		return nil, fmt.Errorf("encode %T: %w", document, err)
	}
	return buf.Bytes(), nil
}

// MarshalYAML implements yaml.Marshaler.
func (m Manifest) MarshalYAML() (any, error) {
	type document Manifest // without this method
	m.Warnings = readableAll(m.Warnings)
	return document(m), nil
}

// MarshalYAML implements yaml.Marshaler.
func (a Attempt) MarshalYAML() (any, error) {
	type document Attempt
	a.Message = readable(a.Message)
	return document(a), nil
}

// MarshalYAML implements yaml.Marshaler.
func (e RunError) MarshalYAML() (any, error) {
	type document RunError
	e.Message, e.Traceback, e.Problems = readable(e.Message), readable(e.Traceback), readableAll(e.Problems)
	return document(e), nil
}

// readable returns what a notebook said without blanks in front. Where such a text
// has several lines, yaml.v3 writes what it cannot read again (a tab) or reads as
// something else (a line's end).
func readable(text string) string { return strings.TrimLeftFunc(text, unicode.IsSpace) }

func readableAll(texts []string) []string {
	texts = slices.Clone(texts)
	for i := range texts {
		texts[i] = readable(texts[i])
	}
	return texts
}

// Decode reads a document that Encode wrote and checks that it is of the kind
// wanted. Unknown keys are tolerated: a newer agent may have written it.
func Decode[T any](data []byte, kind string) (T, error) {
	var document T
	if got, err := KindOf(data); err != nil {
		return document, err
	} else if got != kind {
		return document, fmt.Errorf("kind is %q, not %q", got, kind)
	}
	if err := yaml.Unmarshal(data, &document); err != nil {
		return document, fmt.Errorf("decode a %s: %w", kind, err)
	}
	return document, nil
}

// KindOf returns the kind of a document that Encode wrote.
func KindOf(data []byte) (string, error) {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
	}
	if err := yaml.Unmarshal(data, &head); err != nil {
		return "", fmt.Errorf("decode a document: %w", err)
	}
	if head.APIVersion != APIVersion {
		return "", fmt.Errorf("apiVersion is %q, not %q", head.APIVersion, APIVersion)
	}
	return head.Kind, nil
}

// Package request reads and writes requests: what a person asks for outside the
// schedule, a YAML file on the branch runs/requests.
//
// [Parse] finds every mistake of a file that can be seen without the report, with line and
// column. What is asked for then is one of four things, told apart by [Request.Want]; whether
// the report has such assets, languages and runs, its reader has to see.
package request

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v3"

	"nbpress/internal/strict"
)

// Kind opens every request.
const Kind = "Request"

// MaxSize is how many bytes a request has at most: ten thousand ids and a reason.
const MaxSize = 512 << 10

// Request is a person's wish. The order of the fields is the one of a written file.
type Request struct {
	Kind        string   `yaml:"kind" json:"kind"`
	Report      string   `yaml:"report,omitempty" json:"report"` // a cancel needs none
	Window      *Window  `yaml:"window,omitempty,flow" json:"window"`
	Slots       *Slots   `yaml:"slots,omitempty,flow" json:"slots"`
	Runs        *Runs    `yaml:"runs,omitempty" json:"runs"`
	Cancel      []string `yaml:"cancel,omitempty" json:"cancel"`
	Assets      []string `yaml:"assets,omitempty,flow" json:"assets"`       // none: all
	Languages   []string `yaml:"languages,omitempty,flow" json:"languages"` // none: each asset's
	Force       bool     `yaml:"force,omitempty" json:"force"`
	Commit      string   `yaml:"commit,omitempty" json:"commit"` // CommitNewest, which is the default, or CommitSame
	Reason      string   `yaml:"reason" json:"reason"`
	RequestedBy string   `yaml:"requested_by,omitempty" json:"requested_by"`

	doc *strict.Document // where it stands; nil for one that was not parsed
}

// Problem is a mistake that only who knows the report can see, at a value of the request.
func (r *Request) Problem(pointer, what, do string) strict.Problem {
	return r.doc.At(pointer).Problem(what, do)
}

// Which commit a rerun takes its report from.
const (
	CommitNewest = "newest"
	CommitSame   = "same"
)

// Window is the days that an on-demand run covers, both included.
type Window struct {
	FromDay Day `yaml:"from_day" json:"from_day"`
	ToDay   Day `yaml:"to_day" json:"to_day"`
}

// Slots are the slots of the schedule on some days, both included, in the report's zone.
type Slots struct {
	From Day `yaml:"from" json:"from"`
	To   Day `yaml:"to" json:"to"`
}

// Runs are runs that ended: those named, or those that a status and a day fit.
type Runs struct {
	IDs    []string `yaml:"ids,omitempty" json:"ids"`
	Status string   `yaml:"status,omitempty" json:"status"`
	Since  Day      `yaml:"since,omitempty" json:"since"` // the slot's day
}

// Day is a date like 2026-11-01.
type Day string

// MarshalYAML writes a day as YAML's own date, without quotes.
func (d Day) MarshalYAML() (any, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: string(d)}, nil
}

// In returns the first instant of the day in a zone.
func (d Day) In(zone *time.Location) (time.Time, error) {
	return time.ParseInLocation(time.DateOnly, string(d), zone)
}

// Want is what kind of runs a request asks for.
type Want string

// The four wants, by the keys that say them.
const (
	OnDemand Want = "window"
	Backfill Want = "slots"
	Rerun    Want = "runs"
	Cancel   Want = "cancel"
)

// Want returns what the request asks for. It is meaningful for a request that Parse
// found nothing wrong with.
func (r *Request) Want() Want {
	switch {
	case r.Window != nil:
		return OnDemand
	case r.Slots != nil:
		return Backfill
	case r.Runs != nil:
		return Rerun
	}
	return Cancel
}

//go:embed request.schema.json
var schemaText []byte

// Schema returns the JSON Schema (draft 2020-12) of a request, for editors.
func Schema() []byte { return slices.Clone(schemaText) }

var schema = sync.OnceValue(func() *strict.Schema {
	s, err := strict.Compile(schemaText)
	if err != nil {
		panic("request: the embedded schema is wrong: " + err.Error())
	}
	return s
})

// Parse reads a request. Where problems are returned it is not to be carried out; what
// could be read of it is returned all the same: an answer can name it.
func Parse(file string, data []byte) (*Request, []strict.Problem) {
	r := &Request{}
	doc, problems := strict.ParseYAML(file, data)
	if len(problems) > 0 {
		return r, problems
	}
	problems = doc.Into(schema(), r)
	r.doc = doc
	if len(problems) > 0 { // what is missing may be what is misspelt
		return r, problems
	}
	return r, strict.Sort(r.contradictions(doc))
}

// contradictions are the mistakes that a schema cannot see, or not say well.
func (r *Request) contradictions(doc *strict.Document) []strict.Problem {
	var problems []strict.Problem
	wrong := func(key, what, do string) {
		problems = append(problems, doc.AtKey("/"+key).Problem(what, do))
	}
	var wants []string
	for _, want := range []Want{OnDemand, Backfill, Rerun, Cancel} {
		if !doc.Lacks("/" + string(want)) {
			wants = append(wants, string(want))
		}
	}
	switch len(wants) {
	case 0:
		problems = append(problems, doc.At("").Problem("the request does not say what it wants",
			"add one of window (on demand), slots (backfill), runs (rerun) and cancel"))
	case 1:
	default:
		wrong(wants[1], fmt.Sprintf("the request wants %s at once", strings.Join(wants, " and ")), "make a request of each")
	}
	if strings.TrimSpace(r.Reason) == "" && doc.Has("/reason") {
		wrong("reason", "the reason is blank", "say why, in a sentence")
	}
	if w := r.Window; w != nil && w.FromDay > w.ToDay {
		wrong("window", fmt.Sprintf("the window ends (%s) before it begins (%s)", w.ToDay, w.FromDay), "exchange the two days")
	}
	if s := r.Slots; s != nil && s.From > s.To {
		wrong("slots", fmt.Sprintf("the days end (%s) before they begin (%s)", s.To, s.From), "exchange the two days")
	}
	if len(wants) == 1 && r.Want() != Cancel && doc.Lacks("/report") {
		problems = append(problems, doc.At("").Problem(`missing key "report"`, "add the report's name"))
	}
	if len(wants) == 1 {
		for _, key := range r.needless() {
			if !doc.Lacks("/" + key) {
				wrong(key, fmt.Sprintf("%q has no meaning beside %q", key, wants[0]), "leave it out")
			}
		}
	}
	if r.Runs != nil && len(r.Runs.IDs) == 0 && doc.Has("/runs") && r.Runs.Since == "" {
		wrong("runs", "it does not say since when", `add "since", a day; or name the runs with "ids"`)
	}
	if r.Runs != nil && len(r.Runs.IDs) > 0 && len(r.Assets) > 0 {
		wrong("assets", `"assets" has no meaning beside "ids"`, "leave it out: an id is of one asset")
	}
	if r.Runs != nil && len(r.Runs.IDs) > 0 && (r.Runs.Status != "" || r.Runs.Since != "") {
		wrong("runs", `"ids" beside "status" or "since"`, "name the runs, or say which ones")
	}
	return problems
}

// needless lists the keys that mean nothing for what is wanted.
func (r *Request) needless() []string {
	switch r.Want() {
	case OnDemand:
		return []string{"force", "commit"}
	case Backfill:
		return []string{"commit"}
	case Cancel:
		return []string{"assets", "languages", "force", "commit"}
	}
	return nil
}

// Encode writes a request as a person would.
func (r *Request) Encode() ([]byte, error) {
	r.Kind = Kind
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return buf.Bytes(), nil
}

// Package report loads a bundle, the folder that a report is made of, and checks
// it before anything runs: config.json, assets.csv, the notebook, the template,
// the catalogs, and the repository's nbpress.json.
//
// Life cycle: Find lists the reports of a repository's tree, LoadDefaults reads
// what they share, Load reads one report. All three take an fs.FS, so that a
// commit's objects and a folder on a laptop are read by the same code.
//
// Guarantees: what Load returns without problems keeps every rule of
// docs/authors.md and needs no second check. Otherwise all problems are returned at
// once, in the order of a reader, each with its place and with what to do. Hostile
// trees cost bounded time and memory: the limits are constants of this package.
// Nothing is executed. Of templates the tags are checked, not the expressions.
package report

import (
	"time"

	"nbpress/runner/internal/notebook"
	"nbpress/runner/internal/template"
)

// The files of a bundle that have a meaning of their own.
const (
	ConfigFile   = "config.json"
	NotebookFile = "report.ipynb"
	TemplateFile = "template.html"
	DefaultsFile = "nbpress.json" // at the repository's root
)

// Options is what Load needs of others. The zero value checks neither schedules
// nor windows nor images, and knows no caps and no defaults.
type Options struct {
	// CheckSchedule refuses a cron expression or a time zone; zone "" is UTC.
	CheckSchedule func(cron, timezone string) error
	// CheckWindow refuses a window.
	CheckWindow func(w Window) error
	// CheckImage refuses an image that a report names.
	CheckImage func(image string) error
	// Caps bound what a report gets; 0 does not. One that asks for more gets that, with a
	// warning: the operator's word holds, and a lower cap ends no report.
	Caps Resources
	// Defaults is what LoadDefaults returned for the same tree; nil for none.
	Defaults *Defaults
	// Translations asks Load to look also at what is not translated, and at what is
	// translated badly. Pages are made all the same: a message without a translation is
	// shown as it is.
	Translations bool
}

// Bundle is a report that was loaded and is valid.
type Bundle struct {
	Name     string // the folder's path in the repository
	Config   Config
	Notebook *notebook.Notebook
	Template string // the template's path in Files

	// Files is the work folder: the bundle's files by their slash-separated paths,
	// and the include folders' files under their folders' paths; where both have
	// the same path, the bundle's.
	Files map[string][]byte

	// Includes are the include folders: a template of theirs is found by its name alone,
	// too, where the bundle has none of that name.
	Includes []string

	// Templates are the files that pages are made of: Template and what it includes, imports
	// or extends, sorted.
	Templates []string

	// ExecutePerLanguage says that the notebook runs once for every language, and
	// ExecuteReason why, in one line for people.
	ExecutePerLanguage bool
	ExecuteReason      string

	// Warnings are for people: what was mended in passing.
	Warnings []string
}

// Config is config.json after the repository's defaults and nbpress's own.
type Config struct {
	Title       string // "" means the report's name
	Description string
	Owners      []string // mail addresses, or names of people and teams
	Schedule    Schedule
	Window      Window
	Assets      []Asset        // at least one, also the disabled ones
	Languages   []string       // at least one, without repetitions
	Parameters  map[string]any // string, bool, json.Number, nil, []any or map[string]any
	Timeout     Timeout
	Resources   Resources
	Retries     int
	Image       string // "" means the executor's default
	Env         map[string]string
	Secrets     []string // names of environment variables that the operator may grant
	Token       string   // TokenStatic, TokenJWT or TokenHTTP; "" asks for none
	TokenEnv    string   // the environment variable that gets the token; "" for none
	Engine      string   // EngineJinja2 or EnginePongo2
	Strict      bool     // an undefined template variable is an error
	Execute     string   // "", "once" or "per_language"
	Publish     []string // patterns of path.Match, relative to the work folder
	Enabled     bool

	ContentSecurity ContentSecurity
}

// ContentSecurity is what published pages may do beyond inline styles and data: images.
type ContentSecurity struct {
	InlineScripts bool
	Connect       []string // origins that scripts may talk to
	Images        []string // origins of images; "self" stands for published files
}

// The engines that render templates.
const (
	EngineJinja2 = string(template.Jinja2)
	EnginePongo2 = string(template.Pongo2)
)

// The kinds of temporary tokens that a run may get.
const (
	TokenStatic = "static" // the same for all runs
	TokenJWT    = "jwt"    // signed by the agent
	TokenHTTP   = "http"   // from an endpoint of the operator
)

// Schedule is when a report falls due.
type Schedule struct {
	Cron        string        // five fields, or a name such as @daily
	Timezone    string        // IANA name; "UTC" when none was given
	CatchUp     string        // "last", "none" or "all"
	Overlap     string        // "skip" or "queue"
	MaxLateness time.Duration // a slot older than this is not caught up
	Jitter      time.Duration // a slot starts up to so much later
}

// Window says which days a slot covers: a name, or From and To relative to the
// day of the slot.
type Window struct {
	Name     string // "last_week"; "" when From and To are set
	From, To string // "-7d"
}

// Asset is what a report is about.
type Asset struct {
	ID         string
	Name       string         // "" means the id
	Languages  []string       // nil means the report's
	Parameters map[string]any // beside and over the report's
	Enabled    bool
}

// Timeout is how long things may take.
type Timeout struct {
	Cell time.Duration // one cell; at most Run
	Run  time.Duration // one attempt, all cells and languages
}

// Resources is what a sandbox gets; 0 means the executor's default.
type Resources struct {
	MilliCPU int64
	Memory   int64 // bytes
}

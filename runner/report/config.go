package report

import (
	"encoding/json"
	"time"

	"nbpress/internal/strict"
)

// What holds where neither config.json nor nbpress.json says otherwise.
const (
	defaultCell        = 2 * time.Minute
	defaultRun         = 15 * time.Minute
	defaultRetries     = 2
	defaultMaxLateness = 24 * time.Hour
)

// configFile is config.json as it is written.
type configFile struct {
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Owners      []string `json:"owners"`
	Schedule    struct {
		Cron        string          `json:"cron"`
		Timezone    string          `json:"timezone"`
		CatchUp     string          `json:"catch_up"`
		MaxLateness strict.Duration `json:"max_lateness"`
		Overlap     string          `json:"overlap"`
		Jitter      strict.Duration `json:"jitter"`
	} `json:"schedule"`
	Window     windowFile     `json:"window"`
	Assets     assetsFile     `json:"assets"`
	Languages  []string       `json:"languages"`
	Parameters map[string]any `json:"parameters"`
	Timeout    struct {
		Cell strict.Duration `json:"cell"`
		Run  strict.Duration `json:"run"`
	} `json:"timeout"`
	Resources struct {
		CPU    strict.MilliCPU `json:"cpu"`
		Memory strict.Bytes    `json:"memory"`
	} `json:"resources"`
	Retries  *int              `json:"retries"`
	Image    string            `json:"image"`
	Env      map[string]string `json:"env"`
	Secrets  []string          `json:"secrets"`
	Token    string            `json:"token"`
	TokenEnv string            `json:"token_env"`
	Engine   string            `json:"engine"`
	Content  struct {
		Scripts string   `json:"scripts"`
		Connect []string `json:"connect"`
		Images  []string `json:"images"`
	} `json:"content_security"`
	Strict  bool     `json:"strict"`
	Execute string   `json:"execute"`
	Publish []string `json:"publish"`
	Enabled *bool    `json:"enabled"`
}

// windowFile is a name or an object.
type windowFile Window

func (w *windowFile) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &w.Name)
	}
	var days struct{ From, To string }
	err := json.Unmarshal(data, &days)
	*w = windowFile{From: days.From, To: days.To}
	return err
}

// assetsFile is a list, or the name of a CSV file.
type assetsFile struct {
	csv  string
	list []assetFile
}

func (a *assetsFile) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &a.csv)
	}
	return unmarshalNumbers(data, &a.list)
}

// assetFile is an id or an object.
type assetFile struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Languages  []string       `json:"languages"`
	Parameters map[string]any `json:"parameters"`
	Enabled    *bool          `json:"enabled"`
}

func (a *assetFile) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &a.ID)
	}
	type object assetFile
	return unmarshalNumbers(data, (*object)(a))
}

// config is what the file says with nbpress's own defaults; assets and languages
// take more than the file.
func (c *configFile) config() Config {
	return Config{
		Title: c.Title, Description: c.Description, Owners: c.Owners,
		Schedule: Schedule{
			Cron:        c.Schedule.Cron,
			Timezone:    or(c.Schedule.Timezone, "UTC"),
			CatchUp:     or(c.Schedule.CatchUp, "last"),
			Overlap:     or(c.Schedule.Overlap, "skip"),
			MaxLateness: or(time.Duration(c.Schedule.MaxLateness), defaultMaxLateness),
			Jitter:      time.Duration(c.Schedule.Jitter),
		},
		Window:     Window(c.Window),
		Languages:  c.Languages,
		Parameters: c.Parameters,
		Timeout:    c.timeout(),
		Resources:  Resources{int64(c.Resources.CPU), int64(c.Resources.Memory)},
		Retries:    orElse(c.Retries, defaultRetries),
		Image:      c.Image, Env: c.Env, Secrets: c.Secrets,
		Token: c.token(), TokenEnv: c.TokenEnv,
		ContentSecurity: ContentSecurity{
			InlineScripts: c.Content.Scripts == "inline", Connect: c.Content.Connect, Images: c.Content.Images,
		},
		Engine: or(c.Engine, EngineJinja2), Strict: c.Strict, Execute: c.Execute,
		Publish: c.Publish, Enabled: orElse(c.Enabled, true),
	}
}

// token is "" where none is asked for: "none" is for a report that wants none although
// nbpress.json says otherwise.
func (c *configFile) token() string {
	if c.Token == "none" {
		return ""
	}
	return c.Token
}

// timeout fills in what is missing so that a cell never has longer than the run.
func (c *configFile) timeout() Timeout {
	cell, run := time.Duration(c.Timeout.Cell), time.Duration(c.Timeout.Run)
	switch {
	case run == 0:
		return Timeout{Cell: or(cell, defaultCell), Run: max(cell, defaultRun)}
	case cell == 0:
		return Timeout{Cell: min(run, defaultCell), Run: run}
	}
	return Timeout{Cell: cell, Run: run}
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

func orElse[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

package preview

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Report makes the pages. Its methods may be called at the same time.
type Report interface {
	// Choices says what there is to choose from.
	Choices() Choices
	// Page returns what is to be seen of an asset in a language.
	Page(ctx context.Context, asset, language string) Page
	// Again has the asset's notebook run once more.
	Again(asset, language string)
}

// Choices are what the toolbar offers.
type Choices struct {
	Title  string  `json:"title"`
	Assets []Asset `json:"assets"`
}

// Asset is one of a report's.
type Asset struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Languages []string `json:"languages"` // of its pages
}

// offers reports whether there is a page of an asset in a language to choose.
func (c Choices) offers(asset, language string) bool {
	return slices.ContainsFunc(c.Assets, func(a Asset) bool { return a.ID == asset && slices.Contains(a.Languages, language) })
}

// Page is what is to be seen: the first that is set of Trouble, Running and HTML.
type Page struct {
	Trouble  *Trouble
	Running  string            // what is being done; the page comes later
	HTML     []byte            // as it is published
	Files    map[string][]byte // that are published beside it
	Warnings []string
}

// Trouble is what keeps a page from being made.
type Trouble struct {
	What   string // one line
	Where  string // the lines around it, numbered; "" for none
	Detail string // a trace; "" for none
	Do     string // what to do
}

// Server serves one report. It is safe for concurrent use.
type Server struct {
	report Report

	mu      sync.Mutex // guards what follows
	state   state
	changed chan struct{}      // closed when the state changes
	shown   map[[2]string]Page // what stands beside the last page of an asset in a language, and about it
}

// state is what every open toolbar is told.
type state struct {
	Version int     `json:"version"` // of all pages
	Status  string  `json:"status"`
	Choices Choices `json:"choices"`
}

// New returns a server for a report.
func New(report Report) *Server {
	return &Server{
		report: report, state: state{Choices: report.Choices()}, changed: make(chan struct{}), shown: map[[2]string]Page{},
	}
}

// Changed has every open toolbar show its page anew.
func (s *Server) Changed() {
	choices := s.report.Choices()
	s.update(func(st *state) { st.Version, st.Choices = st.Version+1, choices })
}

// Status shows what is going on.
func (s *Server) Status(text string) { s.update(func(st *state) { st.Status = text }) }

func (s *Server) update(change func(*state)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Handler returns what answers on a listener of the loopback.
func (s *Server) Handler(at net.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.front)
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /page/{asset}/{language}/index.html", s.page)
	mux.HandleFunc("GET /page/{asset}/{language}/{file}", s.file)
	mux.HandleFunc("GET /about/{asset}/{language}", s.about)
	mux.HandleFunc("POST /again/{asset}/{language}", s.again)
	return onlyHere(at, notFromElsewhere(http.NewCrossOriginProtection().Handler(mux)))
}

// notFromElsewhere refuses what another site has the browser ask for, as browsers say in
// Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/): to ask for a page runs a notebook.
// The page in the frame is another site, too, and may ask for the files beside it alone.
func notFromElsewhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("Sec-Fetch-Site")
		beside := strings.HasPrefix(r.URL.Path, "/page/") && path.Base(r.URL.Path) != "index.html"
		if (from == "cross-site" || from == "same-site") && r.URL.Path != "/" && !beside {
			http.Error(w, "this is for the preview's own page", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyHere refuses requests that were made for another name: a site whose name was
// changed to mean this machine (DNS rebinding) comes with its own.
func onlyHere(at net.Addr, next http.Handler) http.Handler {
	_, port, _ := net.SplitHostPort(at.String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names := []string{"127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port}
		if port == "80" { // which browsers do not say
			names = []string{"127.0.0.1", "localhost", "[::1]"}
		}
		if !slices.Contains(names, r.Host) {
			http.Error(w, "this server answers to http://localhost:"+port+" alone", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

//go:embed front.html
var frontText string

//go:embed trouble.html
var troubleText string

var (
	frontTemplate   = sync.OnceValue(func() *template.Template { return template.Must(template.New("front").Parse(frontText)) })
	troubleTemplate = sync.OnceValue(func() *template.Template { return template.Must(template.New("trouble").Parse(troubleText)) })
)

// front serves the toolbar and the frame.
func (s *Server) front(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(
		"default-src 'none'; script-src 'nonce-%s'; style-src 'nonce-%s'; img-src data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", nonce, nonce))
	_ = frontTemplate().Execute(w, map[string]any{"Nonce": nonce, "Choices": s.report.Choices()}) // the browser is gone
}

// keepAlive is how often something is sent to a toolbar while nothing happens, so that a
// browser that is gone is noticed.
const keepAlive = 20 * time.Second

// events tells a toolbar of every change, as server-sent events. See
// https://html.spec.whatwg.org/multipage/server-sent-events.html.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	ticks := time.NewTicker(keepAlive)
	defer ticks.Stop()
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		data, err := json.Marshal(state)
		if err == nil {
			_, err = fmt.Fprintf(w, "data: %s\n\n", data)
		}
		if err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-ticks.C:
		case <-r.Context().Done():
			return
		}
	}
}

// ownOrigin gives what comes from a report an origin of its own, also where it is not
// opened in the frame.
func ownOrigin(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", "sandbox allow-scripts allow-popups allow-downloads; frame-ancestors 'self'")
}

// file serves a file beside a page.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	ownOrigin(w)
	s.mu.Lock()
	data, ok := s.shown[[2]string{r.PathValue("asset"), r.PathValue("language")}].Files[r.PathValue("file")]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(data))
}

// page serves what is to be seen in the frame.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	ownOrigin(w)
	key := [2]string{r.PathValue("asset"), r.PathValue("language")}
	page := s.report.Page(r.Context(), key[0], key[1])
	if r.Context().Err() != nil {
		return
	}
	s.remember(key, page)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if page.HTML != nil && page.Trouble == nil && page.Running == "" {
		_, _ = w.Write(page.HTML)
		return
	}
	_ = troubleTemplate().Execute(w, page)
}

// remember keeps what is asked for after a page. What is not offered any more goes.
func (s *Server) remember(key [2]string, page Page) {
	page.HTML = nil
	choices := s.report.Choices()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[key] = page
	maps.DeleteFunc(s.shown, func(key [2]string, _ Page) bool { return !choices.offers(key[0], key[1]) })
}

// about says what a toolbar tells of the page in its frame.
func (s *Server) about(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	page := s.shown[[2]string{r.PathValue("asset"), r.PathValue("language")}]
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"trouble": page.Trouble != nil, "running": page.Running, "warnings": append([]string{}, page.Warnings...),
	})
}

func (s *Server) again(w http.ResponseWriter, r *http.Request) {
	s.report.Again(r.PathValue("asset"), r.PathValue("language"))
	w.WriteHeader(http.StatusNoContent)
}

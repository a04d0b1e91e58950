package pongo2

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/flosch/pongo2/v6"

	"nbpress/runner/internal/render"
)

// stackLimit is far more bytes of stack than a template needs that does not call itself.
const stackLimit = 64 << 20

// Serve renders a request with pongo2. It sets limits for the whole process and may end
// it: call it in a process that does nothing else.
func Serve(in io.Reader, out io.Writer) error {
	debug.SetMaxStack(stackLimit)
	order := &keyOrder{}
	if err := pongo2.ReplaceTag("for", forTag(order)); err != nil {
		return err
	}
	return render.Serve(in, out, func(request render.Request) (render.Page, error) {
		go endOverLimit(request.Memory) // lives as long as the process
		return open(request, order)
	})
}

// endOverLimit ends the process when its heap is over the limit. No event tells of that:
// what the system would refuse to give, Go has asked for long before.
func endOverLimit(limit int64) {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for range time.Tick(5 * time.Millisecond) {
		if metrics.Read(heap); int64(heap[0].Value.Uint64()) > limit {
			fmt.Fprintln(os.Stderr, "out of memory")
			os.Exit(1)
		}
	}
}

// unescaped are the filters whose results autoescape takes for markup, data and all; so
// does the tag cycle print its values.
var unescaped = [...]string{"truncatechars_html", "truncatewords_html"}

// engine renders the pages of one request.
type engine struct {
	request  render.Request
	template *pongo2.Template
	names    []reference // that the templates expect of the data
	order    *keyOrder   // what loops go by
}

func open(request render.Request, order *keyOrder) (render.Page, error) {
	set := pongo2.NewSet("bundle", loader{request})
	err := errors.Join(set.BanTag("ssi"), set.BanTag("cycle"))
	for _, name := range unescaped {
		err = errors.Join(err, set.BanFilter(name))
	}
	if err != nil {
		return nil, err
	}
	template, err := set.FromFile(request.Template)
	if err != nil {
		return nil, refused(err, request.Template)
	}
	e := engine{request: request, template: template, names: references(request), order: order}
	return e.page, nil
}

// page renders one language.
func (e engine) page(execution render.Execution, language string, limit int64) (page []byte, warnings []render.Warning, err error) {
	data, order, err := readData(execution, language)
	if err != nil {
		return nil, nil, err
	}
	*e.order = order
	for _, name := range e.names {
		if what := name.missing(data); what != "" {
			warnings = append(warnings, render.Warning{Message: what, File: name.file, Line: name.line})
		}
	}
	if e.request.Strict && len(warnings) > 0 {
		w := warnings[0]
		return nil, nil, &render.Error{Code: "template_error", Message: "UndefinedError: " + w.Message, File: w.File, Line: w.Line}
	}
	context := pongo2.Context{}
	for name, value := range data {
		if identifier(name) { // no template can say the others
			context[name] = value
		}
	}
	context.Update(translations(e.request.Files, language))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case tooLarge:
			err = &render.Error{Code: "template_error", Message: fmt.Sprintf("the pages have more than %d MiB together", e.request.PageLimit>>20), File: e.request.Template}
		default:
			err = &render.Error{Code: "template_error", Message: fmt.Sprintf("pongo2: %v", r), File: e.request.Template}
		}
	}()
	w := &bounded{left: limit}
	if err := e.template.ExecuteWriterUnbuffered(context, w); err != nil {
		return nil, nil, refused(err, e.request.Template)
	}
	return []byte(w.text.String()), warnings, nil
}

// refused puts an error of pongo2's into the words of authors.
func refused(err error, template string) error {
	e := &render.Error{Code: "template_error", Message: err.Error(), File: template}
	var told *pongo2.Error
	if errors.As(err, &told) {
		e.Line = told.Line
		if told.OrigError != nil {
			e.Message = told.OrigError.Error()
		}
		if told.Filename != "" {
			e.File = told.Filename
		}
		if strings.Contains(e.Message, "unable to resolve template") {
			e.Message = fmt.Sprintf("%q is no file of the bundle", told.Filename)
			if e.File = template; told.Token != nil {
				e.File = told.Token.Filename
			}
		}
		var inner *render.Error
		if errors.As(told.OrigError, &inner) {
			return inner
		}
	}
	return e
}

// tooLarge is what a page's writer panics with: pongo2 goes on after an error of it.
type tooLarge struct{}

// bounded keeps a page.
type bounded struct {
	text strings.Builder
	left int64
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		panic(tooLarge{})
	}
	return b.text.Write(p)
}

// loader finds templates among the files of a request.
type loader struct{ request render.Request }

// Abs implements pongo2.TemplateLoader: names count from the bundle's folder, wherever
// they stand, and are found in the include folders, too.
func (l loader) Abs(_, name string) string {
	for _, folder := range append([]string{""}, l.request.Includes...) {
		if file := path.Join(folder, name); fs.ValidPath(name) && l.request.Files[file] != nil {
			return file
		}
	}
	return name
}

// Get implements pongo2.TemplateLoader.
func (l loader) Get(name string) (io.Reader, error) {
	data, ok := l.request.Files[name]
	if !ok {
		return nil, fmt.Errorf("%q is no file of the bundle", name)
	}
	return strings.NewReader(string(data)), nil
}

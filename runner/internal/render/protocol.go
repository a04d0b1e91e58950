package render

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// This file holds what an agent and a renderer say to each other. render.py is the other
// side of it, and so is Serve, for renderers in Go.

// head is the first line of a request. The bytes of each execution's data and of each
// file follow it.
type head struct {
	Template   string          `json:"template"`
	Executions []executionHead `json:"executions"`
	Files      [][2]any        `json:"files"` // path, length
	Includes   []string        `json:"includes"`
	Strict     bool            `json:"strict"`
	Memory     int64           `json:"memory"`     // bytes
	PageLimit  int64           `json:"page_limit"` // bytes
	Seconds    float64         `json:"seconds"`    // until the renderer is to give up; 0: never
}

type executionHead struct {
	Name      string   `json:"name"`
	Output    int      `json:"output"` // length
	Languages []string `json:"languages"`
}

// encode writes the request as render.py reads it.
func encode(request Request, limit time.Duration) (io.Reader, error) {
	h := head{
		Template: request.Template, Executions: []executionHead{}, Files: [][2]any{}, Includes: append([]string{}, request.Includes...),
		Strict: request.Strict, Memory: request.Memory, PageLimit: request.PageLimit, Seconds: limit.Seconds(),
	}
	bodies := []io.Reader{nil} // the line comes first
	for _, e := range request.Executions {
		h.Executions = append(h.Executions, executionHead{cmp.Or(e.Name, "output.json"), len(e.Output), e.Languages})
		bodies = append(bodies, bytes.NewReader(e.Output))
	}
	for _, path := range slices.Sorted(maps.Keys(request.Files)) {
		h.Files = append(h.Files, [2]any{path, len(request.Files[path])})
		bodies = append(bodies, bytes.NewReader(request.Files[path]))
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode a render request: %w", err)
	}
	bodies[0] = bytes.NewReader(append(line, '\n'))
	return io.MultiReader(bodies...), nil
}

// readRequest reads what encode wrote. It trusts the writer.
func readRequest(in io.Reader) (Request, error) {
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return Request{}, err
	}
	var h head
	if err := json.Unmarshal(line, &h); err != nil {
		return Request{}, err
	}
	body := func(length int) (data []byte) {
		data = make([]byte, length)
		if err == nil {
			_, err = io.ReadFull(r, data)
		}
		return data
	}
	request := Request{
		Template: h.Template, Files: map[string][]byte{}, Includes: h.Includes,
		Strict: h.Strict, Memory: h.Memory, PageLimit: h.PageLimit,
	}
	for _, e := range h.Executions {
		request.Executions = append(request.Executions, Execution{Name: e.Name, Output: body(e.Output), Languages: e.Languages})
	}
	for _, f := range h.Files {
		path, _ := f[0].(string)
		length, _ := f[1].(float64)
		request.Files[path] = body(int(length))
	}
	return request, err
}

// Warning is what an author should know of a page that was rendered all the same.
type Warning struct {
	Message string `json:"message"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

// Page renders one language of an execution, at most limit bytes. The error is an *Error
// where the report is to blame.
type Page func(e Execution, language string, limit int64) (page []byte, warnings []Warning, err error)

// mostWarnings is how many warnings of a request are told, as in render.py.
const mostWarnings = 100

// Serve reads a request, has every page rendered by what open returns for it, and answers
// as render.py does. An error is about the streams.
func Serve(in io.Reader, out io.Writer, open func(Request) (Page, error)) error {
	request, err := readRequest(in)
	if err != nil {
		return fmt.Errorf("read a render request: %w", err)
	}
	w := bufio.NewWriter(out)
	warnings, err := serve(w, request, open)
	last := answer{Done: true, Warnings: warnings}
	if err != nil {
		var refused *Error
		if !errors.As(err, &refused) {
			refused = &Error{Code: "template_error", Message: err.Error(), File: request.Template}
		}
		last = answer{Error: refused}
	}
	return errors.Join(json.NewEncoder(w).Encode(last), w.Flush())
}

func serve(w io.Writer, request Request, open func(Request) (Page, error)) ([]Warning, error) {
	render, err := open(request)
	if err != nil {
		return nil, err
	}
	all := []Warning{}
	left := request.PageLimit
	for _, execution := range request.Executions {
		for _, language := range execution.Languages {
			page, warnings, err := render(execution, language, left)
			if err != nil {
				return nil, err
			}
			left -= int64(len(page))
			for _, warning := range warnings {
				if !slices.Contains(all, warning) && len(all) <= mostWarnings {
					all = append(all, warning)
				}
			}
			if err := json.NewEncoder(w).Encode(answer{Language: language, Bytes: len(page)}); err != nil {
				return nil, err
			}
			if _, err := w.Write(page); err != nil {
				return nil, err
			}
		}
	}
	if len(all) > mostWarnings {
		all[mostWarnings] = Warning{Message: "more names are undefined than are listed here"}
	}
	return all, nil
}

// answer is any of the lines that render.py writes.
type answer struct {
	Language string    `json:"language,omitempty"`
	Bytes    int       `json:"bytes"`
	Done     bool      `json:"done,omitempty"`
	Warnings []Warning `json:"warnings,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}

// decode reads what render.py wrote: pages, then done or an error.
func decode(data []byte, languages []string) (Result, error) {
	result := Result{Pages: map[string][]byte{}}
	r := bufio.NewReader(bytes.NewReader(data))
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return Result{}, fmt.Errorf("the answer ends early: %w", io.ErrUnexpectedEOF)
		}
		var a answer
		if err := json.Unmarshal(line, &a); err != nil {
			return Result{}, fmt.Errorf("the answer is malformed: %w", err)
		}
		switch {
		case a.Error != nil:
			return Result{}, a.Error
		case a.Done:
			if len(result.Pages) != len(languages) {
				return Result{}, fmt.Errorf("got %d pages, want %d", len(result.Pages), len(languages))
			}
			for _, w := range a.Warnings {
				result.Warnings = append(result.Warnings, place(w.File, w.Line)+w.Message)
			}
			return result, nil
		case !slices.Contains(languages, a.Language) || a.Bytes < 0 || a.Bytes > len(data):
			return Result{}, fmt.Errorf("the answer names a page of %d bytes in %q", a.Bytes, a.Language)
		}
		page := make([]byte, a.Bytes)
		if _, err := io.ReadFull(r, page); err != nil {
			return Result{}, fmt.Errorf("read the page in %s: %w", a.Language, err)
		}
		result.Pages[a.Language] = page
	}
}

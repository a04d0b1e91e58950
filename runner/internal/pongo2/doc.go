// Package pongo2 is the second renderer, for templates that were written for
// https://github.com/flosch/pongo2, a Go engine in the manner of Django. Serve is the
// whole of it: it reads a request as render.py does, and answers as it does.
//
// pongo2 is not Jinja2: docs/authors.md says what differs, and template.Parse finds it.
// What Serve adds to pongo2 are the translations, objects that keep the order of
// output.json, and warnings of names that are not defined.
//
// A template may take any time and any memory, and one that calls itself cannot be
// stopped from within: so Serve runs in a process of its own, which it ends when it is
// too large, and which its parent ends when it takes too long. Templates come from the
// request alone; the tag that reads files is banned.
package pongo2

// Package template reads templates without rendering them: which texts they ask to be
// translated, which other files they need, whether their tags are closed, and, for those
// that pongo2 renders, what of them only Jinja2 knows. See
// https://jinja.palletsprojects.com/en/stable/templates/.
//
// Parse does all of it in one pass over the tokens. Expressions are not parsed: what
// Jinja2 says of a tag's inside, only Jinja2 says. Where a name of a message or a file is
// not a literal, the template is said to be dynamic there.
//
// Guarantees: Parse takes time and memory in proportion to the source, and never panics.
package template

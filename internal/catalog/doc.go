// Package catalog reads, checks, merges and writes gettext's message catalogs: PO
// files, which people edit, and MO files, which programs read. See
// https://www.gnu.org/software/gettext/manual/html_node/PO-Files.html and
// https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html.
//
// A catalog is parsed (ParsePO, ParseMO), asked (Find, Stale, Placeholders), merged
// with the messages that templates hold today (Merge), and written (PO, MO). Text is
// UTF-8 from the moment it was parsed, whatever the file's charset was, and is written
// as UTF-8.
//
// Guarantees: a file may be hostile. It costs memory in proportion to its own size,
// which is limited, never to what its tables claim; a plural expression is bounded
// before it is compiled. Every error names a place. Nothing that a PO file says is lost
// when it is written again but the way its lines were broken.
package catalog

// Package preview shows pages in a browser while their author works on them: a server on
// this machine's loopback, and a watch on the author's files.
//
// A Server is made for a Report, which makes the pages, and told when something changed
// (Changed) or goes on (Status). Its front page holds a toolbar and, in a frame, the page
// of the asset and language that were chosen there; it shows the page anew whenever
// something changed. Watch tells when files did.
//
// Guarantees: the server answers to names of the loopback alone, so that no site on the
// internet reaches it through the browser; a page has an origin of its own, so that its
// scripts reach neither the toolbar nor anything else of the server's; nothing is written.
package preview

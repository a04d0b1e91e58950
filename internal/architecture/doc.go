// Package architecture holds the rules that the whole tree keeps, as tests: who may
// import whom (imports_test.go), what Go code here looks like (shape_test.go), that
// ARCHITECTURE.md has a row for every package (packages_test.go) and docs/dependencies.md
// for every dependency (dependencies_test.go). It has no code of its own.
//
// The tests read source text and compile nothing, so they see the files of every
// system. Each rule says why it exists and what to do instead; testdata/broken.txtar
// breaks every one of them, to prove that it would be noticed. A rule that stands in
// the way of better code is changed here, in the same commit, with its reason.
package architecture

// Package runner executes runs, a bounded number at a time, and records how each
// ended.
//
// A slot is submitted with its bundle (Submit); it is safe once that returned. Run
// takes its runs in due order, fair between reports, and leads each through the
// stages: claim, sandbox, files in, kernel, cells, output, render, pages, manifest,
// latest. A notebook that raises is a result, recorded with its trace; infrastructure
// that fails is tried again under a new claim, as often as the report allows.
//
// The store says what happened: an attempt is claimed there by a conditional create
// before its sandbox starts, and the terminal manifest, created once per generation,
// is the commit point. Everything after it can be repeated, and is after a crash: a
// slot stays open in the store until all of its runs are finished, Open lists such
// slots, and submitting one again does what is left and no more. When Run's context
// ends, running attempts get a grace period and are then released: they run again,
// they are never canceled.
//
// The runner declares what it needs of others, Executor and Store, and runnertest
// holds the tests that every implementation passes.
package runner

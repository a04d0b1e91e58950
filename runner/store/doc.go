// Package store keeps what happened: pages, artifacts, claims and manifests, in a
// folder. A bucket comes beside it.
//
// Open one store for each place; it needs no closing. Objects appear whole or not
// at all, Create has one winner among all processes on the same folder, and what a
// call has written survives a power cut once it returned.
package store

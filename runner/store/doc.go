// Package store keeps what happened: pages, artifacts, claims and manifests, in a
// folder or in a bucket of S3 or of a server that speaks its protocol.
//
// Open one store for each place; it needs no closing. Objects appear whole or not
// at all, Create has one winner among all processes on the same place, and what a
// call has written survives a power cut once it returned.
//
// A bucket needs a server that refuses to write over an object where it is asked to
// (If-None-Match: *). S3 proves that before it writes anything, and writes nothing
// where the proof does not come out. All calls end: with their context, after a number
// of tries, or where the server stays silent.
package store

// Package redact finds the values of secrets in texts, and takes them out.
//
// A value is found as it is and in the forms in which programs show it: base64 (also
// URL-safe, without padding, and in the middle of something longer), hexadecimal, UTF-16,
// percent-encoded, escaped as in JSON, Python, C and shells, in HTML, quoted by doubling
// quotes, broken into lines, between colours of a terminal, and two of these upon each
// other. Of a value with several lines each line of 16 bytes or more is a secret too, but for
// the first and last ones of PEM. Of a long value every 64 bytes are.
//
// What is compressed, encrypted, reversed, spelled in another way or cut into parts by
// whoever holds the value is not found: this meets accidents, not malice.
//
// Each text is read a fixed number of times, whatever it and the secrets are, a block at a
// time. Nothing here waits or writes.
package redact

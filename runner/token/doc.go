// Package token mints the temporary tokens with which notebooks get at their data: one that
// is the same for all runs (Static), one that we sign (Signer), and one that an endpoint of
// the operator gives out (Endpoint). It implements runner.Minter.
//
// Life cycle: made once from the operator's configuration, used by many runs at once. A
// Signer publishes the keys that its tokens are checked with (JWKS). A token of an Endpoint
// is revoked through runner.Token; whoever has no time left for that leaves it to expire.
//
// Guarantees: nothing here is written or logged. Errors hold no token, no secret and nothing
// else that an endpoint chose to answer. Every wait ends, by its context at the latest.
package token

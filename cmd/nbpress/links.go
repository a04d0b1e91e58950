package main

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"nbpress/gitsync"
	"nbpress/runner/store"
)

// linkSlack is how much sooner than asked for links may end without a word.
const linkSlack = time.Minute

// pageAt is the address of a key of the store's folder pages/, which people see at url.
func pageAt(url, key string) string {
	return url + gitsync.EscapePath(strings.TrimPrefix(key, "pages"))
}

// link is an address at which somebody can read what a run left.
type link struct {
	Language  string     `json:"language,omitempty"`
	Name      string     `json:"name"`
	URL       string     `json:"url"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil: never
}

// checkLifetime refuses what no link can last.
func checkLifetime(lifetime time.Duration) error {
	if lifetime < time.Second || lifetime > store.MaxLink {
		return wrongUse(fmt.Errorf("--for is %v; a link can last from a second to %v", lifetime, store.MaxLink))
	}
	return nil
}

// links makes a link to each thing that a run left: the public one of a page where pages
// have a public address, else one that works for a time.
func (v *ledgerView) links(ctx context.Context, d document, lifetime time.Duration) ([]link, error) {
	linker, ok := v.store.(interface {
		Link(ctx context.Context, key string, lifetime time.Duration) (string, time.Time, error)
	})
	if !ok {
		return nil, errNoStore()
	}
	var links []link
	for _, a := range d.run.Artifacts {
		l := link{Language: a.Language, Name: a.Name}
		if v.pages != "" && strings.HasPrefix(a.Key, "pages/") {
			l.URL = pageAt(v.pages, a.Key)
			links = append(links, l)
			continue
		}
		url, until, err := linker.Link(ctx, a.Key, lifetime)
		if err != nil {
			return nil, fmt.Errorf("link to %s: %w", a.Key, err)
		}
		if l.URL = url; !until.IsZero() {
			until = until.UTC().Truncate(time.Second)
			l.ExpiresAt = &until
		}
		links = append(links, l)
	}
	return links, nil
}

// printLinks prints links, and says when they end.
func printLinks(ctx context.Context, std streams, v *ledgerView, d document, lifetime time.Duration, output string) error {
	links, err := v.links(ctx, d, lifetime)
	if err != nil {
		return err
	}
	warnOfLinks(std, links, lifetime)
	if s, ok := v.store.(interface{ LinksEndEarlier(context.Context) bool }); ok && s.LinksEndEarlier(ctx) {
		fmt.Fprintln(std.err, "warning: the credential is a session's (AWS_SESSION_TOKEN), and the links end with it, which may be before that; "+
			"sign them with one that lasts longer, such as an access key")
	}
	if output == "json" {
		return writeJSON(std.out, links)
	}
	if len(links) == 0 {
		fmt.Fprintln(std.err, "the run left nothing but its manifest")
	}
	for _, l := range links {
		fmt.Fprintf(std.plain().out, "%s  %s\n", path.Join(l.Language, l.Name), l.URL)
	}
	return nil
}

// warnOfLinks says when the first of the links ends, and what is the matter where that is
// sooner than was asked for.
func warnOfLinks(std streams, links []link, lifetime time.Duration) {
	var first *time.Time
	for _, l := range links {
		if l.ExpiresAt != nil && (first == nil || l.ExpiresAt.Before(*first)) {
			first = l.ExpiresAt
		}
	}
	switch {
	case first == nil:
	case time.Until(*first) < lifetime-linkSlack:
		fmt.Fprintf(std.err, "warning: the credential expires at %s, and the links with it, before the %v asked for; "+
			"sign them with one that lasts longer, such as an access key\n", first.Format(time.RFC3339), lifetime)
	default:
		fmt.Fprintf(std.err, "anybody who has a link can read what it leads to, until %s\n", first.Format(time.RFC3339))
	}
}

package main

import (
	"context"
	"path"
	"time"

	"nbpress/gitsync"
	"nbpress/runner"
	"nbpress/runner/report"
)

// How many links of a report a person still takes in.
const (
	failedShown = 5
	pagesShown  = 6
)

// slotLink leads to the manifests of a slot.
func (a *agent) slotLink(name string, slot time.Time) gitsync.Link {
	branch, folder := monthBranch(slot), slotPath(name, slot)
	return gitsync.Link{Text: branch + ":" + folder, URL: a.c.Ledger.Web.URL(branch, folder)}
}

// failedLinks leads to the manifests of a slot's runs that failed: to the first, and
// says how many more there are.
func (a *agent) failedLinks(name string, slot time.Time, due []string, ended map[string]result) (links []gitsync.Link, more int) {
	for _, asset := range due {
		switch r := ended[asset]; {
		case r.status != runner.StatusError:
		case len(links) == failedShown:
			more++
		default:
			file := runPath(runner.Manifest{Report: name, Asset: asset, ScheduledAt: slot, Generation: r.generation})
			links = append(links, gitsync.Link{Text: asset, URL: a.c.Ledger.Web.URL(monthBranch(slot), file)})
		}
	}
	return links, more
}

// pages leads to the newest pages of a report that are there, or says what their
// addresses look like where they are too many to list.
func (a *agent) pages(ctx context.Context, name string, bundle *report.Bundle) (links []gitsync.Link, pattern string, err error) {
	if a.c.Pages.URL == "" || bundle == nil {
		return nil, "", nil
	}
	var all []gitsync.Link
	for _, asset := range bundle.Config.Assets {
		if !asset.Enabled {
			continue
		}
		languages := bundle.AssetLanguages(asset)
		for _, language := range languages {
			text := asset.ID
			if len(languages) > 1 {
				text += " " + language
			}
			all = append(all, gitsync.Link{Text: text, URL: runner.LatestKey(name, asset.ID, language, "index.html")})
		}
	}
	if len(all) > pagesShown {
		return nil, a.pageURL(runner.LatestKey(name, "ASSET", "LANGUAGE", "index.html")), nil
	}
	for _, l := range all {
		there, err := a.published(ctx, l.URL)
		if err != nil {
			return nil, "", err
		}
		if there {
			links = append(links, gitsync.Link{Text: l.Text, URL: a.pageURL(l.URL)})
		}
	}
	return links, "", nil
}

// pageURL is the address of a key of the store's folder pages/.
func (a *agent) pageURL(key string) string { return pageAt(a.c.Pages.URL, key) }

// published reports whether the newest page of an asset is there. Once it is, it stays.
func (a *agent) published(ctx context.Context, key string) (bool, error) {
	if a.paged[key] {
		return true, nil
	}
	keys, err := a.store.List(ctx, path.Dir(key)+"/")
	if len(keys) > 0 {
		a.paged[key] = true
	}
	return len(keys) > 0, err
}

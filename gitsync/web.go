package gitsync

import (
	"fmt"
	"net/url"
	"strings"
)

// Web is where people see a file or folder of a branch in a browser: an address with
// {branch} and {path} in it. "" says that it is not known.
type Web string

// The hosts that people know by their name, and what they show a folder or a file at.
// A host of one's own counts if its name begins with that of the software, as in
// gitlab.example.com.
//
//   - https://docs.github.com/en/repositories/working-with-files/using-files/getting-permanent-links-to-files
//   - https://docs.gitlab.com/user/project/repository/files/: "/-/" is before what is no project's name
//   - https://docs.gitea.com, of which Forgejo and Codeberg keep the addresses
//
// Each shows a file where a folder was asked for, and finds out which slashes are the
// branch's.
func flavourOf(host string) string {
	switch first, _, _ := strings.Cut(host, "."); {
	case host == "github.com", first == "github":
		return "/tree/{branch}/{path}"
	case host == "gitlab.com", first == "gitlab":
		return "/-/tree/{branch}/{path}"
	case host == "codeberg.org", first == "gitea", first == "forgejo":
		return "/src/branch/{branch}/{path}"
	}
	return ""
}

// WebOf makes out, of a repository's address, where its host shows files; "" for a
// folder and for a host that is not known.
func WebOf(remote string) Web {
	scheme, host, path := "https", "", ""
	if u, err := url.Parse(remote); err == nil && u.Host != "" {
		switch host, path = u.Hostname(), u.Path; u.Scheme {
		case "http", "https":
			scheme = u.Scheme
			if port := u.Port(); port != "" {
				host += ":" + port
			}
		case "ssh", "git+ssh": // the port is ssh's own
		default:
			return ""
		}
	} else if at, rest, ok := strings.Cut(remote, ":"); ok && !strings.Contains(at, "/") { // user@host:path
		host, path = at[strings.LastIndexByte(at, '@')+1:], rest
	}
	flavour := flavourOf(strings.ToLower(host))
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if flavour == "" || path == "" {
		return ""
	}
	return Web(scheme + "://" + strings.ToLower(host) + "/" + EscapePath(path) + flavour)
}

// URL returns the address of a folder or file of a branch, "" where it is not known.
func (w Web) URL(branch, path string) string {
	return strings.NewReplacer("{branch}", EscapePath(branch), "{path}", EscapePath(path)).Replace(string(w))
}

// EscapePath makes a path fit for every address: what is not a letter, digit or one of
// "-._~" is escaped, but for slashes. Some servers take "+" for a blank, and Markdown
// ends a link at ")".
func EscapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

package gitsync

import "testing"

func TestWebOf_KnowsTheHosts(t *testing.T) {
	const branch, path = "runs/2026-11", "weekly-energy/2026-11-23T0600+0100"
	for _, tc := range []struct{ remote, want string }{
		{"https://github.com/team/reports.git", "https://github.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://github.com/team/reports", "https://github.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"git@github.com:team/reports.git", "https://github.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"github.com:team/reports.git", "https://github.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"ssh://git@github.com/team/reports.git", "https://github.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://gitlab.com/group/sub/reports.git/", "https://gitlab.com/group/sub/reports/-/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"ssh://git@gitlab.example.com:2222/group/reports.git", "https://gitlab.example.com/group/reports/-/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"http://Gitea.example.com:3000/team/reports.git", "http://gitea.example.com:3000/team/reports/src/branch/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://codeberg.org/team/reports", "https://codeberg.org/team/reports/src/branch/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://bot:token@forgejo.example.com/team/reports", "https://forgejo.example.com/team/reports/src/branch/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://github.com/team/a)[x](b.git", "https://github.com/team/a%29%5Bx%5D%28b/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"https://github.com/", ""},
		{"https://git.example.com/team/reports.git", ""},
		{"https://notgithub.com/team/reports.git", ""},
		{"https://github.example.com/team/reports.git", "https://github.example.com/team/reports/tree/runs/2026-11/weekly-energy/2026-11-23T0600%2B0100"},
		{"file:///srv/github.com/reports.git", ""},
		{"git://github.com/team/reports.git", ""},
		{"/srv/git/reports.git", ""},
		{"./github.com:reports", ""},
		{"", ""},
	} {
		if got := WebOf(tc.remote).URL(branch, path); got != tc.want {
			t.Errorf("WebOf(%q).URL() = %q, want %q", tc.remote, got, tc.want)
		}
	}
}

func TestWeb_EscapesWhatItIsGiven(t *testing.T) {
	const web = Web("https://git.example.com/browse/{path}?at={branch}")
	got := web.URL("runs/2026-11", `a b/{branch}/"><script>|)]&é`)
	want := "https://git.example.com/browse/a%20b/%7Bbranch%7D/%22%3E%3Cscript%3E%7C%29%5D%26%C3%A9?at=runs/2026-11"
	if got != want {
		t.Errorf("URL() = %s, want %s", got, want)
	}
	if got := Web("").URL("runs/2026-11", "a"); got != "" {
		t.Errorf("URL() of an unknown host = %s", got)
	}
}

package report_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"nbpress/internal/catalog"
	"nbpress/internal/strict"
	"nbpress/internal/testenv"
	"nbpress/runner/report"
)

var update = flag.Bool("update", false, "write what the cases of testdata/broken give into them")

// options checks schedules and windows as the agent does, in a few lines.
func options() report.Options {
	return report.Options{
		CheckSchedule: func(cron, timezone string) error {
			if n := len(strings.Fields(cron)); n != 5 {
				return fmt.Errorf("cron %q has %d fields, not 5", cron, n)
			}
			if _, err := time.LoadLocation(timezone); err != nil || timezone == "Local" {
				return fmt.Errorf("unknown time zone %q", timezone)
			}
			return nil
		},
		CheckWindow: func(w report.Window) error {
			day := regexp.MustCompile(`^-[0-9]+d$`)
			if w.Name == "" && (!day.MatchString(w.From) || !day.MatchString(w.To)) {
				return errors.New("a window's days look like -7d")
			}
			return nil
		},
	}
}

// repository makes a file system of an archive over the files of testdata/good. A
// file that is just "(none)" is taken away; "(link)" makes it a symbolic link.
func repository(t testing.TB, archive *txtar.Archive) fstest.MapFS {
	t.Helper()
	fsys := fstest.MapFS{}
	good, err := txtar.ParseFile(filepath.Join("testdata", "good", "weekly.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	compiled := map[string]bool{}
	for _, file := range append(good.Files, archive.Files...) {
		delete(compiled, file.Name)
		switch strings.TrimSpace(string(file.Data)) {
		case "(none)":
			delete(fsys, file.Name)
		case "(MO)": // what messages.po is compiled to
			compiled[file.Name] = true
		case "(old MO)": // one without messages
			fsys[file.Name] = &fstest.MapFile{Data: new(catalog.Catalog).MO()}
		case "(link)":
			fsys[file.Name] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink}
		default:
			data := strings.NewReplacer("(BOM)", "\ufeff", "(0xFF)", "\xff").Replace(string(file.Data))
			fsys[file.Name] = &fstest.MapFile{Data: []byte(data)}
		}
	}
	for name := range compiled {
		source := &catalog.Catalog{}
		if po := fsys[strings.TrimSuffix(name, ".mo")+".po"]; po != nil {
			if source, err = catalog.ParsePO(po.Data); err != nil {
				t.Fatal(err)
			}
		}
		fsys[name] = &fstest.MapFile{Data: source.MO()}
	}
	return fsys
}

// load does what cmd does for one report.
func load(fsys fs.FS, name string) (*report.Bundle, []strict.Problem) {
	o := options()
	o.Translations = true
	defaults, problems := report.LoadDefaults(fsys)
	if len(problems) > 0 {
		return nil, problems
	}
	o.Defaults = defaults
	return report.Load(fsys, name, o)
}

func TestLoad_NamesEveryMistake(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "broken", "*.txtar"))
	if err != nil || len(cases) < 25 {
		t.Fatalf("found %d cases (%v)", len(cases), err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := len(archive.Files) - 1
			if last < 0 || archive.Files[last].Name != "problems" {
				t.Fatal("the last file of a case is called problems")
			}
			want := string(archive.Files[last].Data)
			fsys := repository(t, &txtar.Archive{Files: archive.Files[:last]})

			bundle, problems := load(fsys, "weekly")

			if bundle != nil {
				t.Error("a bundle came with its problems")
			}
			var got strings.Builder
			for _, p := range problems {
				fmt.Fprintln(&got, p)
			}
			if *update {
				archive.Files[last].Data = []byte(got.String())
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_TakesAGoodBundle(t *testing.T) {
	fsys := repository(t, &txtar.Archive{})
	fsys["weekly/.git/config"] = &fstest.MapFile{}
	fsys["weekly/__pycache__/x.pyc"] = &fstest.MapFile{}
	fsys["weekly/nbpress-out/weekly/a/en/index.html"] = &fstest.MapFile{}
	fsys["weekly/output.json"] = &fstest.MapFile{}
	fsys["weekly/inner/config.json"] = &fstest.MapFile{Data: []byte("{}")}
	fsys["weekly/common/base.html"] = &fstest.MapFile{Data: []byte("own")}
	fsys["common/base.html"] = &fstest.MapFile{Data: []byte("shared")}

	bundle, problems := load(fsys, "weekly")
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}

	files := map[string]bool{}
	for name := range bundle.Files {
		files[name] = true
	}
	wantFiles := map[string]bool{
		"config.json": true, "report.ipynb": true, "template.html": true, "assets.csv": true, "helper.py": true,
		"languages/ca/LC_MESSAGES/messages.mo": true, "languages/ca/LC_MESSAGES/messages.po": true, "common/base.html": true, "common/mail.html": true,
	}
	if diff := cmp.Diff(wantFiles, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if got := string(bundle.Files["common/base.html"]); got != "own" {
		t.Errorf("common/base.html is %q: the bundle's own file wins", got)
	}
	want := report.Config{
		Title:  "Weekly report",
		Owners: []string{"energy@example.com"},
		Schedule: report.Schedule{
			Cron: "0 6 * * 1", Timezone: "Europe/Madrid", CatchUp: "last", Overlap: "skip", MaxLateness: 7 * 24 * time.Hour, Jitter: 10 * time.Minute,
		},
		Window: report.Window{Name: "last_week"},
		Assets: []report.Asset{
			{ID: "plant-1", Name: "Plant One", Enabled: true},
			{ID: "plant-2", Languages: []string{"ca"}, Parameters: map[string]any{"threshold": number("0.9")}},
		},
		Languages:  []string{"en", "ca"},
		Parameters: map[string]any{"threshold": number("0.8"), "currency": "EUR"},
		Timeout:    report.Timeout{Cell: time.Minute, Run: 15 * time.Minute},
		Resources:  report.Resources{MilliCPU: 500, Memory: 1 << 30},
		Retries:    2,
		Env:        map[string]string{"TZ": "Europe/Madrid", "STAGE": "live"},
		Engine:     "jinja2",
		Publish:    []string{"*.xlsx"},
		Enabled:    true,
	}
	if diff := cmp.Diff(want, bundle.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	merged := bundle.AssetParameters(bundle.Config.Assets[1])
	if diff := cmp.Diff(map[string]any{"threshold": number("0.9"), "currency": "EUR"}, merged); diff != "" {
		t.Errorf("asset's parameters (-want +got):\n%s", diff)
	}
	if !bundle.ExecutePerLanguage || !strings.Contains(bundle.ExecuteReason, "$LANGUAGE") {
		t.Errorf("per language: %v, %q", bundle.ExecutePerLanguage, bundle.ExecuteReason)
	}
}

func TestLoad_TakesLanguagesFromFolders(t *testing.T) {
	config := `{"schedule": "0 6 * * 1", "window": "yesterday", "assets": ["a"], "parameters": {"threshold": 1}}`
	tests := []struct {
		name   string
		remove bool
		want   []string
	}{
		{"folders", false, []string{"ca"}},
		{"no folders", true, []string{"en"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := repository(t, &txtar.Archive{})
			fsys["weekly/config.json"] = &fstest.MapFile{Data: []byte(config)}
			if test.remove {
				maps.DeleteFunc(fsys, func(name string, _ *fstest.MapFile) bool { return strings.Contains(name, "languages") })
			}
			bundle, problems := load(fsys, "weekly")
			if len(problems) > 0 {
				t.Fatalf("problems: %v", problems)
			}
			if diff := cmp.Diff(test.want, bundle.Config.Languages); diff != "" {
				t.Errorf("languages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoad_WarnsOfTemplatesThatJinja2DoesNotEscape(t *testing.T) {
	fsys := repository(t, &txtar.Archive{})
	fsys["weekly/template.html"] = &fstest.MapFile{Data: []byte(`{% include "row.jinja" %}{% include "note.txt" %}{% include "part.html" %}`)}
	for name, text := range map[string]string{"row.jinja": "{{ x }}", "note.txt": "no value", "part.html": "{{ x }}", "unused.j2": "{{ x }}"} {
		fsys["weekly/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	bundle, problems := load(fsys, "weekly")
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	want := []string{"row.jinja prints its values without autoescape, as Jinja2 does but in .html, .htm and .xml; give it such a name"}
	if diff := cmp.Diff(want, bundle.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestLoad_LimitsWhatItReads(t *testing.T) {
	large := make([]byte, report.MaxFileSize+1)
	tests := []struct {
		name string
		add  func(fsys fstest.MapFS)
		want string
	}{
		{"file size", func(fsys fstest.MapFS) {
			fsys["weekly/big.bin"] = &fstest.MapFile{Data: large}
		}, "weekly/big.bin:1:1: the file has more than 20 MB; let the notebook fetch large data, or aggregate it"},
		{"bundle size", func(fsys fstest.MapFS) {
			for i := range 3 {
				fsys[fmt.Sprintf("weekly/z%d.bin", i)] = &fstest.MapFile{Data: large[1:]}
			}
		}, "weekly/z2.bin:1:1: with this file the folder has more than 50 MB; let the notebook fetch large data, or aggregate it"},
		{"number of files", func(fsys fstest.MapFS) {
			for i := range report.MaxFiles {
				fsys[fmt.Sprintf("weekly/z%d.txt", i)] = &fstest.MapFile{}
			}
		}, "weekly:1:1: the folder has more than 200 files; move out what the report does not need"},
		{"depth", func(fsys fstest.MapFS) {
			fsys["weekly/1/2/3/4/5/6/7/8/x.txt"] = &fstest.MapFile{}
		}, "weekly/1/2/3/4/5/6/7/8:1:1: more than 8 folders inside each other; move it up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := repository(t, &txtar.Archive{})
			test.add(fsys)
			_, problems := load(fsys, "weekly")
			if len(problems) != 1 || problems[0].String() != test.want {
				t.Errorf("got %v, want %s", problems, test.want)
			}
		})
	}
}

func TestLoad_RefusesUnsafeReportNames(t *testing.T) {
	fsys := repository(t, &txtar.Archive{})
	for _, name := range []string{"../weekly", "/weekly", "my reports/weekly", "weekly/", "-x", strings.Repeat("a", 64)} {
		if bundle, problems := load(fsys, name); bundle != nil || len(problems) != 1 {
			t.Errorf("%q: %v, %v", name, bundle, problems)
		}
	}
	sub, err := fs.Sub(fsys, "weekly")
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := report.Load(sub, ".", options()); len(problems) > 0 {
		t.Errorf("a bundle as the root: %v", problems)
	}
}

func TestLoad_SharesDefaultsBetweenReports(t *testing.T) {
	fsys := repository(t, &txtar.Archive{})
	defaults, problems := report.LoadDefaults(fsys)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	o := options()
	o.Defaults = defaults
	done := make(chan []strict.Problem)
	for range 4 {
		go func() {
			_, problems := report.Load(fsys, "weekly", o)
			done <- problems
		}()
	}
	for range 4 {
		if problems := <-done; len(problems) > 0 {
			t.Error(problems)
		}
	}
}

func TestLoad_AnswersHostileTablesSoon(t *testing.T) {
	tests := map[string]string{
		"columns": strings.Repeat("a,", strict.MaxSize/2-1),
		"cells":   "id\n" + strings.Repeat("a,", strict.MaxSize/2-10),
		"lines":   "id,x,y\n" + strings.Repeat("a,,\n", strict.MaxSize/4-10),
		"long":    "id,x\n" + strings.Repeat("ü", strict.MaxSize/2-10) + ",1",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			fsys := repository(t, &txtar.Archive{})
			fsys["weekly/assets.csv"] = &fstest.MapFile{Data: []byte(text)}
			start := time.Now()
			_, problems := load(fsys, "weekly")
			if len(problems) == 0 || len(problems) > 101 {
				t.Errorf("%d problems", len(problems))
			}
			for _, p := range problems {
				if len(p.String()) > 400 {
					t.Errorf("a long problem: %.500s", p)
				}
			}
			if took := time.Since(start); took > 2*time.Minute { // generous: seconds would be a mistake
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestLoad_TakesTheExamples(t *testing.T) {
	fsys := os.DirFS(filepath.Join(testenv.Root(t), "reports-example"))
	names, err := report.Find(fsys)
	if err != nil || len(names) < 3 {
		t.Fatalf("found %v, %v", names, err)
	}
	for _, name := range names {
		if _, problems := load(fsys, name); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestFind_ListsReports(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, name := range []string{"b", "a", "a/inner", ".hidden", "x/node_modules/y", "deep/er"} {
		fsys[path.Join(name, "config.json")] = &fstest.MapFile{}
	}
	fsys["folder/config.json/x"] = &fstest.MapFile{}
	got, err := report.Find(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "a/inner", "b", "deep/er"}, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	if got, err := report.Find(fstest.MapFS{"config.json": {}}); err != nil || len(got) != 1 || got[0] != "." {
		t.Errorf("a single bundle: %v, %v", got, err)
	}
}

// number is how numbers are kept: as they were written.
func number(text string) any { return json.Number(text) }

func TestLoad_RefusesANameThatNoFileCouldHave(t *testing.T) {
	part := strings.Repeat("x", 59)
	for name, want := range map[string]bool{
		part + "/" + part + "/" + part + "y":  true, // 180
		part + "/" + part + "/" + part + "yz": false,
	} {
		_, problems := load(fstest.MapFS{}, name)
		refused := len(problems) == 1 && strings.Contains(problems[0].What, "181 characters; at most 180") && problems[0].File == name+"/config.json"
		if refused == want {
			t.Errorf("a name of %d characters: %v", len(name), problems)
		}
	}
}

func TestLoad_HoldsTheReportAgainstWhatTheOperatorAllows(t *testing.T) {
	const config = `{"schedule": "0 6 * * *", "window": "yesterday", "assets": ["a"], "parameters": {"threshold": 1},
	"image": "kernel:2", "resources": {"cpu": "4", "memory": "8Gi"}}`
	fsys := repository(t, &txtar.Archive{Files: []txtar.File{{Name: "weekly/config.json", Data: []byte(config)}}})
	limits := report.Options{

		CheckImage: func(image string) error {
			if image != "kernel:1" {
				return fmt.Errorf("no %s here", image)
			}
			return nil
		},
		Caps: report.Resources{MilliCPU: 500, Memory: 4 << 30},
	}
	_, problems := report.Load(fsys, "weekly", limits)
	if got, want := fmt.Sprint(problems), `[weekly/config.json:2:11: no kernel:2 here]`; got != want {
		t.Errorf("problems %s, want %s", got, want)
	}
	limits.CheckImage = nil
	loaded, problems := report.Load(fsys, "weekly", limits)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got, want := loaded.Config.Resources, limits.Caps; got != want {
		t.Errorf("resources %+v, want %+v", got, want)
	}
	want := []string{
		"resources.cpu is 4, and the operator gives 500m at most: runs get that",
		"resources.memory is 8Gi, and the operator gives 4Gi at most: runs get that",
	}
	if diff := cmp.Diff(want, loaded.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

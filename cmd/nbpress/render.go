package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nbpress/internal/strict"
	"nbpress/runner"
	"nbpress/runner/local"
	"nbpress/runner/report"
)

func renderCommand(std streams) *cobra.Command {
	var flags renderFlags
	cmd := &cobra.Command{
		Use:   "render --template T.html --data output.json",
		Short: "Render a template alone; the page goes to standard output",
		Long: `Render a Jinja2 template with the data of an output.json. The template may use every
file of its own folder, and of the folders that the repository's nbpress.json includes.
The language "pseudo" shows which texts are not translated, and which have too little room.`,
		Example: `  nbpress render --template weekly-energy/template.html --data output.json --language ca > page.html`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return renderPage(cmd.Context(), std, flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.template, "template", "", "the template")
	f.StringVar(&flags.data, "data", "", "the data, as the notebook's output.json")
	f.StringVar(&flags.catalogs, "catalogs", "", "folder of the catalogs (default: languages beside the template)")
	f.StringVar(&flags.language, "language", "en", "language of the page")
	f.StringVar(&flags.engine, "engine", report.EngineJinja2, "jinja2, or pongo2 for templates that were written for it")
	f.BoolVar(&flags.strict, "strict", false, "an undefined name is an error")
	f.StringVar(&flags.python, "python", "", pythonUsage)
	_ = cmd.MarkFlagRequired("template") // fails only for a flag that does not exist
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

type renderFlags struct {
	template, data, catalogs, language, engine, python string
	strict                                             bool
}

func renderPage(ctx context.Context, std streams, flags renderFlags) error {
	if flags.engine != report.EngineJinja2 && flags.engine != report.EnginePongo2 {
		return wrongUse(fmt.Errorf("--engine is jinja2 or pongo2, not %q", flags.engine))
	}
	data, err := os.ReadFile(flags.data)
	if err != nil {
		return wrongUse(err)
	}
	sources, err := templateFiles(flags)
	if err != nil {
		return wrongUse(err)
	}
	renderer, err := flags.renderer(ctx, std)
	if err != nil {
		return err
	}
	page, warnings, err := runner.RenderPage(ctx, renderer, runner.Page{
		Template: filepath.Base(flags.template), Files: sources.Files, Includes: sources.Includes,
		Output: data, Language: flags.language, Strict: flags.strict,
	})
	said := plainText{std.err}
	for _, w := range append(sources.Warnings, warnings...) {
		fmt.Fprintf(said, "warning: %s\n", w)
	}
	var failure *runner.Failure
	if errors.As(err, &failure) {
		fmt.Fprintf(said, "%s: %s\n", failure.Code, failure.Message)
		if failure.Traceback != "" {
			fmt.Fprintf(said, "\n%s", failure.Traceback)
		}
		fmt.Fprintf(said, "\n%s\n", failure.Code.Advice())
		return &exitError{status: exitReportFailed}
	}
	if err != nil {
		return err
	}
	_, err = std.out.Write(page)
	return err
}

// renderer returns the engine asked for.
func (f renderFlags) renderer(ctx context.Context, std streams) (runner.Renderer, error) {
	if f.engine == report.EnginePongo2 {
		return selfPongo2(), nil
	}
	exec, err := local.New(ctx, local.Options{Python: choosePython(f.python), Init: selfInit(), Log: consoleLog(std)})
	if err != nil {
		return nil, err
	}
	return runner.SandboxRenderer{Executor: exec}, nil
}

// templateFiles returns what the template may use: what a bundle in its folder would show
// it, with the catalogs asked for.
func templateFiles(flags renderFlags) (report.Page, error) {
	if _, err := os.Stat(flags.template); err != nil {
		return report.Page{}, err
	}
	t, name, err := treeOf(filepath.Dir(flags.template))
	if err != nil {
		return report.Page{}, err
	}
	defaults, problems := report.LoadDefaults(t.fsys)
	page, more := report.LoadPage(t.fsys, name, filepath.Base(flags.template), flags.engine, flags.language, defaults)
	if problems = append(problems, more...); len(problems) > 0 {
		return report.Page{}, invalidBundle{t, strict.Sort(problems)}
	}
	catalogs := tree{root: filepath.Join(t.root, filepath.FromSlash(name), "languages")}
	if flags.catalogs != "" {
		if _, err := os.Stat(flags.catalogs); err != nil {
			return report.Page{}, err
		}
		catalogs.root = flags.catalogs
		page.Catalogs(os.DirFS(flags.catalogs), flags.language)
	}
	if problems = page.Compile(flags.language); len(problems) > 0 {
		for i := range problems {
			problems[i].File = strings.TrimPrefix(problems[i].File, "languages/")
		}
		return report.Page{}, invalidBundle{catalogs, problems}
	}
	if flags.language == report.PseudoLanguage {
		report.AddPseudo(page.Files, page.Includes, filepath.Base(flags.template), flags.engine)
	}
	return page, nil
}

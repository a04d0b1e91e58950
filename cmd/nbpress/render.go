package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
file of its own folder, and of the folders that the repository's nbpress.json includes.`,
		Example: `  nbpress render --template weekly-energy/template.html --data output.json --language ca > page.html`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return renderPage(cmd.Context(), std, flags) },
	}
	f := cmd.Flags()
	f.StringVar(&flags.template, "template", "", "the template")
	f.StringVar(&flags.data, "data", "", "the data, as the notebook's output.json")
	f.StringVar(&flags.catalogs, "catalogs", "", "folder of the catalogs (default: languages beside the template)")
	f.StringVar(&flags.language, "language", "en", "language of the page")
	f.BoolVar(&flags.strict, "strict", false, "an undefined name is an error")
	f.StringVar(&flags.python, "python", "", pythonUsage)
	_ = cmd.MarkFlagRequired("template") // fails only for a flag that does not exist
	_ = cmd.MarkFlagRequired("data")
	return cmd
}

type renderFlags struct {
	template, data, catalogs, language, python string
	strict                                     bool
}

func renderPage(ctx context.Context, std streams, flags renderFlags) error {
	data, err := os.ReadFile(flags.data)
	if err != nil {
		return wrongUse(err)
	}
	files, err := templateFiles(flags)
	if err == nil {
		err = compiled(files, flags.language)
	}
	if err != nil {
		return wrongUse(err)
	}
	exec, err := local.New(ctx, local.Options{Python: choosePython(flags.python), Init: selfInit(), Log: consoleLog(std)})
	if err != nil {
		return err
	}
	page, warnings, err := runner.RenderPage(ctx, exec, runner.Page{
		Template: filepath.Base(flags.template), Files: files, Output: data, Language: flags.language, Strict: flags.strict,
	})
	said := plainText{std.err}
	for _, w := range warnings {
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

// templateFiles returns what the template may use: its folder as a bundle would show
// it, with the catalogs asked for.
func templateFiles(flags renderFlags) (map[string][]byte, error) {
	if _, err := os.Stat(flags.template); err != nil {
		return nil, err
	}
	t, name, err := treeOf(filepath.Dir(flags.template))
	if err != nil {
		return nil, err
	}
	defaults, problems := report.LoadDefaults(t.fsys)
	files, more := report.Folder(t.fsys, name, defaults)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, invalidBundle{t, strict.Sort(problems)}
	}
	if flags.catalogs == "" {
		return files, nil
	}
	catalogs, problems := report.Folder(os.DirFS(flags.catalogs), ".", nil)
	if len(problems) > 0 {
		return nil, invalidBundle{tree{root: flags.catalogs}, strict.Sort(problems)}
	}
	for path, data := range catalogs {
		files["languages/"+path] = data
	}
	return files, nil
}

// compiled refuses a catalog that no page would be translated by.
func compiled(files map[string][]byte, language string) error {
	catalog := "languages/" + language + "/LC_MESSAGES/messages"
	_, source := files[catalog+".po"]
	if _, ok := files[catalog+".mo"]; source && !ok {
		return fmt.Errorf("%s.po is not compiled: pages are translated by messages.mo; run msgfmt -o messages.mo messages.po", catalog)
	}
	return nil
}

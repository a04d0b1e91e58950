"""Renders a report's template with Jinja2, once per language.

It runs as `python3 -I render.py` in a fresh folder, after the notebook's processes
are gone. Standard input holds one JSON line, the request, and then the bytes of
output.json and of each file, as long as the request says. Standard output gets, for
each page, one JSON line with its length and then its bytes; the last line is
{"done": ...} or {"error": ...}. Whatever else happens, the agent takes it as an error.
"""
import gettext
import json
import os
import sys
import traceback

try:
    import resource
except ImportError:  # not on every system; the sandbox has limits of its own
    resource = None

BUNDLE = "bundle"


class Refused(Exception):
    """Ends the rendering with an error that the report's author can mend."""

    def __init__(self, code, message, file=None, line=None, trace=""):
        super().__init__(message)
        self.error = {"code": code, "message": message, "file": file, "line": line, "traceback": trace}


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    request = json.loads(stdin.readline())
    if resource and request["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    try:
        output = read_output(stdin.read(request["output"]))
        for path, length in request["files"]:
            write_file(path, stdin.read(length))
        warnings = []
        for language in request["languages"]:
            page = render(request, language, data_for(output, language), warnings)
            stdout.write(json.dumps({"language": language, "bytes": len(page)}).encode() + b"\n")
            stdout.write(page)
        answer = {"done": True, "warnings": warnings}
    except Refused as refused:
        answer = {"error": refused.error}
    stdout.write(json.dumps(answer).encode() + b"\n")
    stdout.flush()


def read_output(data):
    """Returns output.json as an object."""
    try:
        output = json.loads(data)
    except json.JSONDecodeError as err:
        raise Refused("output_invalid", f"output.json is not JSON: {err.msg}", "output.json", err.lineno)
    except (ValueError, RecursionError, MemoryError) as err:
        raise Refused("output_invalid", f"output.json cannot be read: {type(err).__name__}: {err}", "output.json")
    if not isinstance(output, dict):
        kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(output), "a number")
        raise Refused("output_invalid", f"output.json holds {kind}, not an object", "output.json", 1)
    return output


def data_for(output, language):
    """Lays by_language over the rest and adds the language, unless output.json names it."""
    data = dict(output)
    by_language = data.pop("by_language", None)
    if isinstance(by_language, dict):
        own = by_language.get(language, {})
        if isinstance(own, dict):
            data.update(own)
    elif by_language is not None:
        data["by_language"] = by_language
    data.setdefault("language", language)
    return data


def write_file(path, content):
    target = os.path.join(BUNDLE, *path.split("/"))
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(content)


def render(request, language, data, warnings):
    """Returns one page as UTF-8."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([BUNDLE]),
        autoescape=jinja2.select_autoescape(),
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined if request["strict"] else reporting_undefined(jinja2, warnings),
    )
    try:
        catalog = gettext.translation(
            "messages", os.path.join(BUNDLE, "languages"), languages=[language], fallback=True)
    except Exception as err:  # gettext names no class for a malformed catalog
        raise Refused("template_error", f"the catalog of {language} cannot be read: {type(err).__name__}: {err}",
                      f"languages/{language}/LC_MESSAGES/messages.mo")
    environment.install_gettext_translations(catalog)
    try:
        return environment.get_template(request["template"]).render(data).encode()
    except jinja2.TemplateSyntaxError as err:
        raise Refused("template_error", f"{err.message}", err.name, err.lineno)
    except Exception as err:
        file, line = position(err.__traceback__)
        message = str(err)
        if isinstance(err, jinja2.TemplateNotFound):
            message = f"{err.name!r} is no file of the bundle"
        if isinstance(err, MemoryError):
            message = "the page needs more memory than rendering may use"
        trace = "".join(traceback.format_exception(err))
        raise Refused("template_error", f"{type(err).__name__}: {message}" if message else type(err).__name__,
                      file, line, trace)


def position(trace):
    """Returns the template's file and line of the innermost frame that is a template's."""
    found = None, None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(BUNDLE + os.sep):
            found = os.path.relpath(name, BUNDLE), trace.tb_lineno
        trace = trace.tb_next
    return found


def reporting_undefined(jinja2, warnings):
    """Returns Jinja2's own Undefined, which also notes where it was printed, looped over or tested."""
    seen = set()

    def note(undefined):
        frame = sys._getframe(2)
        while frame is not None and "__jinja_template__" not in frame.f_globals:
            frame = frame.f_back
        file, line = None, None
        if frame is not None:
            template = frame.f_globals["__jinja_template__"]
            file, line = template.name, template.get_corresponding_lineno(frame.f_lineno)
        message = undefined._undefined_message
        if (message, file, line) not in seen:
            seen.add((message, file, line))
            warnings.append({"message": message, "file": file, "line": line})

    class Reporting(jinja2.Undefined):
        __slots__ = ()

        def __str__(self):
            note(self)
            return super().__str__()

        def __iter__(self):
            note(self)
            return super().__iter__()

        def __bool__(self):
            note(self)
            return super().__bool__()

        def __len__(self):
            note(self)
            return super().__len__()

    return Reporting


if __name__ == "__main__":
    main()

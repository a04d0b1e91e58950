"""Renders a report's template with Jinja2, once per language.

It runs as `python3 -I render.py` in a fresh folder, after the notebook's processes
are gone. Standard input holds one JSON line, the request, and then the bytes of each
execution's output.json and of each file, as long as the request says. Standard output
gets, for each page, one JSON line with its length and then its bytes; the last line is
{"done": ...} or {"error": ...}. Whatever else happens, the agent takes it as an error.

Jinja2 is imported before the request is read, so that an interpreter may be started
ahead of what it is to render.
"""
import gc

gc.set_threshold(100_000)  # an import and a page make much, and little of it is garbage

import functools
import gettext
import itertools
import json
import os
import signal
import sys
import traceback

import jinja2
from jinja2 import bccache, parser

try:
    import resource
except ImportError:  # not on every system; the sandbox has limits of its own
    resource = None

BUNDLE = "bundle"
MOST_WARNINGS = 100


class Refused(Exception):
    """Ends the rendering with an error that the report's author can mend."""

    def __init__(self, code, message, file=None, line=None, trace=""):
        super().__init__(message)
        self.error = {"code": code, "message": message, "file": file, "line": line, "traceback": trace}


class OutOfTime(BaseException):
    """Raised by the clock. No template and no part of Jinja2 catches it."""


def main():
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    request = json.loads(stdin.readline())
    if resource and request["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    if request["seconds"] and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, out_of_time)
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
    try:
        outputs = [stdin.read(execution["output"]) for execution in request["executions"]]
        for path, length in request["files"]:
            write_file(path, stdin.read(length))
        answer = {"done": True, "warnings": render_all(request, outputs, stdout)}
    except Refused as refused:
        answer = {"error": refused.error}
    except OutOfTime as late:
        file, line = position(late.__traceback__)
        answer = {"error": {"code": "render_timeout", "message": "rendering took too long", "file": file, "line": line}}
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
    stdout.write(json.dumps(answer).encode() + b"\n")
    stdout.flush()


def out_of_time(_signal, _frame):
    raise OutOfTime


def render_all(request, outputs, stdout):
    """Writes every page and returns the warnings."""
    warnings = Warnings()
    compiled = Compiled()
    left = request["page_limit"]
    for execution, data in zip(request["executions"], outputs):
        output = read_output(data, execution["name"])
        for language in execution["languages"]:
            page = render(request, language, data_for(output, language), warnings, compiled, left)
            left -= len(page)
            stdout.write(json.dumps({"language": language, "bytes": len(page)}).encode() + b"\n")
            stdout.write(page)
    return warnings.found


def read_output(data, name):
    """Returns an output.json as an object."""
    try:
        output = json.loads(data)
    except json.JSONDecodeError as err:
        raise Refused("output_invalid", f"{name} is not JSON: {err.msg}", name, err.lineno)
    except (ValueError, RecursionError, MemoryError) as err:
        raise Refused("output_invalid", f"{name} cannot be read: {type(err).__name__}: {err}", name)
    if not isinstance(output, dict):
        kind = {list: "an array", str: "a string", type(None): "null", bool: "a boolean"}.get(type(output), "a number")
        raise Refused("output_invalid", f"{name} holds {kind}, not an object", name, 1)
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


class Compiled(bccache.BytecodeCache):
    """Keeps compiled templates from one language to the next."""

    def __init__(self):
        self.code = {}

    def load_bytecode(self, bucket):
        if bucket.key in self.code:
            bucket.bytecode_from_string(self.code[bucket.key])

    def dump_bytecode(self, bucket):
        self.code[bucket.key] = bucket.bytecode_to_string()


def render(request, language, data, warnings, compiled, limit):
    """Returns one page as UTF-8."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([BUNDLE] + [os.path.join(BUNDLE, folder) for folder in request["includes"]]),
        autoescape=jinja2.select_autoescape(),
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined if request["strict"] else warnings.undefined,
        bytecode_cache=compiled,
    )
    warnings.watch(environment)
    environment.install_gettext_translations(catalog_of(language))
    try:
        template = environment.get_template(request["template"])
        page = gathered(template, data, limit)
    except jinja2.TemplateSyntaxError as err:
        raise Refused("template_error", f"{err.message}", relative(err.filename) or err.name, err.lineno)
    except PageTooLarge as large:
        raise Refused("template_error", "the pages have more than %d MiB together" % (request["page_limit"] >> 20),
                      large.file or request["template"], large.line)
    except Exception as err:
        raise refused(err, request["template"])
    return page


class PageTooLarge(Exception):
    """A page is over the limit, at a line of a template."""

    def __init__(self, file, line):
        super().__init__()
        self.file, self.line = file, line


def gathered(template, data, limit):
    """Joins what a template yields, until it is too much."""
    chunks, size, stream = [], 0, template.generate(data)
    while some := list(itertools.islice(stream, 64)):
        chunks += some
        size += sum(map(len, some))
        if size > limit:
            del chunks, some
            raise PageTooLarge(*outgrown(template.generate(data), limit))
    page = "".join(chunks).encode()
    if len(page) > limit:
        raise PageTooLarge(None, None)
    return page


def outgrown(stream, limit):
    """Returns the template's file and line at which a page, made once more, is too large."""
    for chunk in stream:
        limit -= len(chunk)
        if limit < 0:
            return suspended(stream)
    return None, None


def suspended(generator):
    """Returns the template's file and line at which a generator of a page waits."""
    found = None, None
    while generator is not None and getattr(generator, "gi_frame", None) is not None:
        if "__jinja_template__" in generator.gi_frame.f_globals:
            found = place(generator.gi_frame, generator.gi_frame.f_lineno)
        generator = generator.gi_yieldfrom
    return found


def catalog_of(language):
    """Returns the catalog of a language, with that of the language without its country behind it.

    gettext.translation would take a country's for a language, too: ca_ES for ca.
    """
    found = gettext.NullTranslations()
    for code in dict.fromkeys((language.partition("_")[0], language)):
        name = f"languages/{code}/LC_MESSAGES/messages.mo"
        try:
            with open(os.path.join(BUNDLE, *name.split("/")), "rb") as file:
                catalog = gettext.GNUTranslations(file)
        except FileNotFoundError:
            continue
        except Exception as err:  # gettext names no class for a malformed catalog
            raise Refused("template_error", f"the catalog of {code} cannot be read: {type(err).__name__}: {err}", name)
        catalog.add_fallback(found)
        found = catalog
    return found


def refused(err, template):
    """Returns what a template raised in the words of the report's author."""
    file, line = position(err.__traceback__)
    message = str(err)
    if isinstance(err, jinja2.TemplateNotFound):
        message = f"{err.name!r} is no file of the bundle"
    if isinstance(err, MemoryError):
        message = "the page needs more memory than rendering may use"
    if isinstance(err, RecursionError):
        message = "it calls or includes itself without end, or nests too deep"
    trace = "".join(traceback.format_exception(err))
    return Refused("template_error", f"{type(err).__name__}: {message}" if message else type(err).__name__,
                   file or template, line, trace)


def relative(path):
    """Returns the path of a template in the bundle; None of what is none."""
    if path and path.startswith(BUNDLE + os.sep):
        return os.path.relpath(path, BUNDLE).replace(os.sep, "/")
    return None


def place(frame, line):
    """Returns the template's file and line at a line of its code.

    Python knows no line of a few instructions: then it is the code's first.
    """
    template = frame.f_globals["__jinja_template__"]
    return relative(template.filename) or template.name, template.get_corresponding_lineno(line or frame.f_code.co_firstlineno)


def position(trace):
    """Returns the template's file and line of the innermost frame that is a template's.

    Jinja2 rewrites the traces of exceptions so that they name lines of templates; other
    traces name lines of the code that it compiled. While it parses it knows the line, too.
    """
    found = None, None
    while trace is not None:
        frame = trace.tb_frame
        file = relative(frame.f_code.co_filename)
        if "__jinja_template__" in frame.f_globals:
            found = place(frame, trace.tb_lineno)
        elif file:
            found = file, trace.tb_lineno or frame.f_code.co_firstlineno
        elif isinstance(frame.f_locals.get("self"), parser.Parser):
            parsing = frame.f_locals["self"]
            found = relative(parsing.filename), parsing.stream.current.lineno
        trace = trace.tb_next
    return found


class Warnings:
    """Gathers where templates used names that are not defined, without a change to pages."""

    def __init__(self):
        self.found = []
        self.seen = set()
        self.undefined = self.reporting(jinja2.Undefined)

    def note(self, undefined):
        """Notes the line of the template that uses an undefined value."""
        frame = sys._getframe(2)
        while frame is not None and "__jinja_template__" not in frame.f_globals:
            frame = frame.f_back
        file, line = None, None
        if frame is not None:
            file, line = place(frame, frame.f_lineno)
        message = undefined._undefined_message
        if (message, file, line) in self.seen or len(self.found) > MOST_WARNINGS:
            return
        self.seen.add((message, file, line))
        if len(self.found) == MOST_WARNINGS:
            message, file, line = "more names are undefined than are listed here", None, None
        self.found.append({"message": message, "file": file, "line": line})

    def reporting(self, base):
        """Returns Jinja2's own Undefined, whose methods that do not raise tell where they are called."""

        def telling(name):
            method = getattr(base, name)

            @functools.wraps(method)
            def tell(undefined, *args):
                self.note(undefined)
                return method(undefined, *args)

            return tell

        names = ["__str__", "__iter__", "__bool__", "__len__", "__eq__", "__ne__", "__hash__", "__repr__"]
        return type("Undefined", (base,), {"__slots__": (), **{name: telling(name) for name in names}})

    def watch(self, environment):
        """Makes tests, and the filter items, tell of what is undefined, or raise where that is an error.

        They look at a value's class, so that the value notices nothing of it.
        """
        strict = environment.undefined is jinja2.StrictUndefined

        def telling(test):
            @functools.wraps(test)
            def tell(value, *args, **kwargs):
                if isinstance(value, jinja2.Undefined):
                    if strict:
                        value._fail_with_undefined_error()
                    self.note(value)
                return test(value, *args, **kwargs)

            return tell

        for name, test in environment.tests.items():
            if name not in ("defined", "undefined") and not hasattr(test, "jinja_pass_arg"):
                environment.tests[name] = telling(test)
        if "items" in environment.filters:  # since Jinja2 3.1
            environment.filters["items"] = telling(environment.filters["items"])


if __name__ == "__main__":
    main()
    os._exit(0)  # all is written; to tidy up the interpreter takes longer than some pages

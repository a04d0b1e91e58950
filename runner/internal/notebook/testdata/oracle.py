"""Answers the tests, one JSON request and one JSON answer per line."""

import ast
import io
import json
import sys
import warnings

warnings.simplefilter("ignore")


def run(source):
    """Runs source as Python and returns what it put into x."""
    names = {"y": "why", "n": 7}
    exec(compile(source, "cell", "exec"), names)
    x = names["x"]
    if isinstance(x, bytes):
        return {"bytes": x.decode("latin-1")}
    return {"type": type(x).__name__, "value": x}


def shape(source):
    """Lists the kinds of the nodes of source as Python sees them."""
    return {"kinds": [type(n).__name__ for n in ast.walk(ast.parse(source))]}


def rewrite(text):
    """Has nbformat read, validate and write a notebook."""
    import nbformat

    nb = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    nbformat.validate(nb)
    out = io.StringIO()
    nbformat.write(nb, out)
    return {"text": out.getvalue()}


for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = globals()[request["do"]](request["text"])
    except BaseException as e:
        answer = {"error": f"{type(e).__name__}: {e}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()

"""Says of templates what Jinja2 itself says: one JSON object a line in, one out."""

import json
import sys

import jinja2
from jinja2 import meta, nodes

environment = jinja2.Environment(extensions=["jinja2.ext.i18n"])


def literal(node):
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None


def messages(source):
    """The messages with their places, as Jinja2's own extraction finds them."""
    found = []
    for line, function, texts in environment.extract_translations(source):
        texts = [texts] if isinstance(texts, str) or texts is None else list(texts)
        context, plural = "", ""
        if function in ("pgettext", "npgettext"):
            context, texts = texts[0], texts[1:]
        if function in ("ngettext", "npgettext"):
            plural = texts[1] if len(texts) > 1 else None
        text = texts[0] if texts else None
        if text and context is not None and plural is not None:
            found.append({"Line": line, "Context": context, "Text": text, "Plural": plural})
    return found


for request in sys.stdin:
    source = json.loads(request)
    try:
        parsed = environment.parse(source)
        names = [name for name in meta.find_referenced_templates(parsed)]
        answer = {"Messages": messages(source), "Uses": sorted({n for n in names if n}), "Dynamic": None in names}
    except jinja2.TemplateSyntaxError as err:
        answer = {"Error": err.message, "Line": err.lineno}
    except Exception as err:
        answer = {"Error": f"{type(err).__name__}: {err}", "Line": 0}
    print(json.dumps(answer), flush=True)

"""Answers the tests' questions about catalogs with Babel and Python's own gettext: one
JSON object a line in, one out."""

import base64
import gettext
import io
import json
import sys

from babel.messages import plurals, pofile


def plural(text):
    """The forms that the numbers below 1001 take."""
    form = gettext.c2py(text)
    return [int(form(n)) for n in range(1001)]


def forms(language):
    """The forms that the numbers below 201 take in a language."""
    count, expression = plurals.get_plural(language)[:2]
    form = gettext.c2py(expression)
    return [int(form(n)) for n in range(201)]


def po(text):
    """What a PO file says, as Babel reads it: context, text, plural, translations, fuzzy, obsolete, line."""
    catalog = pofile.read_po(io.BytesIO(base64.b64decode(text)), abort_invalid=True)
    messages = [m for m in catalog if m.id] + list(catalog.obsolete.values())
    return [
        {
            "context": m.context or "",
            "text": m.id[0] if m.pluralizable else m.id,
            "plural": m.id[1] if m.pluralizable else "",
            "translations": list(m.string) if m.pluralizable else [m.string],
            "fuzzy": m.fuzzy,
            "comments": [c for c in m.user_comments],
            "extracted": [c for c in m.auto_comments],
            "references": [f"{file}:{line}" for file, line in m.locations],
        }
        for m in messages
    ]


def mo(text):
    """What an MO file translates, as Python's gettext reads it: key, plural form (or -1), text."""
    catalog = gettext.GNUTranslations(io.BytesIO(base64.b64decode(text)))
    found = []
    for key, value in catalog._catalog.items():
        key, form = key if isinstance(key, tuple) else (key, -1)
        if key:
            found.append({"key": key, "form": form, "text": value})
    return found


for line in sys.stdin:
    question = json.loads(line)
    try:
        answer = {"value": {"plural": plural, "forms": forms, "po": po, "mo": mo}[question["do"]](question["text"])}
    except Exception as err:
        answer = {"error": f"{type(err).__name__}: {err}"}
    print(json.dumps(answer), flush=True)

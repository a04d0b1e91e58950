"""What Python makes of a text, for the tests: each line of standard input is a text in
JSON, each answer a list of [what, how it looks]."""
import ast, base64, binascii, csv, html, io, json, pprint, quopri, shlex, sys, textwrap, urllib.parse
from xml.sax import saxutils


def looks(v):
    b = v.encode()
    rows = io.StringIO()
    csv.writer(rows).writerow([v, "x"])
    yield "as it is", v
    yield "json", json.dumps(v)
    yield "json, beyond ASCII", json.dumps(v, ensure_ascii=False)
    yield "json in json", json.dumps(json.dumps(v))
    yield "json in an attribute", html.escape(json.dumps({"v": v}))
    yield "repr", repr(v)
    yield "ascii", ascii(v)
    yield "repr of repr", repr(repr(v))
    yield "bytes", repr(b)
    yield "a dict", str({"v": v})
    yield "an f-string", f"{v=}"
    yield "pprint", pprint.pformat({"v": v}, width=10000)
    yield "unicode_escape", v.encode("unicode_escape").decode()
    yield "base64", base64.b64encode(b).decode()
    yield "base64 in lines", base64.encodebytes(b).decode()
    yield "base64 of JSON", base64.b64encode(json.dumps({"user": 1, "v": "!" + v}, ensure_ascii=False).encode()).decode() if json.dumps(v, ensure_ascii=False)[1:-1] == v else v
    yield "base64, URL-safe", base64.urlsafe_b64encode(b"key:" + b).decode().rstrip("=")
    yield "basic authentication", "Basic " + base64.b64encode(b"user:" + b).decode()
    yield "hex", b.hex()
    yield "hex, upper", binascii.hexlify(b).decode().upper()
    yield "hex in lines", textwrap.fill(b.hex(), 60)
    yield "quote", urllib.parse.quote(v)
    yield "quote, all", urllib.parse.quote(v, safe="")
    yield "quote_plus", urllib.parse.quote_plus(v)
    yield "urlencode", urllib.parse.urlencode({"v": v, "w": 1})
    yield "quote twice", urllib.parse.quote(urllib.parse.quote(v, safe=""), safe="")
    yield "html", html.escape(v)
    yield "html, references", "".join(f"&#{ord(c)};" for c in v)
    yield "html, hexadecimal references", "".join(f"&#x{ord(c):x};" for c in v)
    yield "xml", saxutils.quoteattr(v) if "\n" not in v and "\t" not in v else saxutils.escape(v)
    yield "shell", shlex.quote(v)
    yield "csv", rows.getvalue()
    yield "utf-16", v.encode("utf-16-le").decode("latin-1")
    yield "percent of base64", urllib.parse.quote(base64.b64encode(b).decode(), safe="")
    yield "coloured", "\x1b[31m" + v[:4] + "\x1b[0m" + v[4:]


for line in sys.stdin:
    print(json.dumps(list(looks(json.loads(line)))), flush=True)

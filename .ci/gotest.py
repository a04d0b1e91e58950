"""Reads `go test -json` and writes what a person wants of it: the whole output of
failed tests, one line for each package, and at the end how many tests (subtests
included) passed, failed and were skipped."""

import collections
import json
import sys

output = collections.defaultdict(list)  # by package and test
counts = collections.Counter()


def write(text):
    # Tests print what hostile notebooks say: nothing of it may command a terminal.
    sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "?" for c in text))


for line in sys.stdin.buffer:
    line = line.decode(errors="replace")
    try:
        event = json.loads(line)
        action, package = event["Action"], event.get("Package") or event.get("ImportPath")
    except (ValueError, TypeError, KeyError):
        write(line)  # make's own words
        continue
    test = event.get("Test")
    text = event.get("Output", "")
    if action == "build-output" or (text and not test and text.startswith(("ok ", "FAIL", "panic", "?"))):
        write(text)
    elif action == "output":
        output[package, test].append(text)
    elif action in ("pass", "fail", "skip"):
        lines = output.pop((package, test), [])
        if action == "fail":
            if not test:  # of tests that a panic or a timeout cut short, too
                for key in [key for key in output if key[0] == package]:
                    lines += output.pop(key)
            write("".join(text for text in lines if not text.startswith("=== ")))
        if test:
            counts[action] += 1

print(f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped")

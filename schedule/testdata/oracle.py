"""Says when cron texts fire, by counting minutes: one line of JSON in, one out.

It shares nothing with nbpress but the rules of the manual. The time zones are those of
Python's package tzdata, read by Python's own zoneinfo.

For all zones there is one naive line of minutes, and on it the minutes whose date and
time of day a text names. A zone is a few pieces of that line that lie over real time with
one offset each: some minutes lie under two pieces, some under none.

{"data": NAME}                             -> the file of a zone, in base64
{"zone": NAME, "from": T, "to": T, "texts": [...]}
                                           -> for each text [count, SHA-256] of the instants
                                              between the two, as 8 bytes each, little endian
{..., "list": I}                           -> the instants of the text I themselves
"""

import base64
import functools
import hashlib
import importlib.resources
import json
import sys
import zoneinfo
from datetime import datetime, timezone

import numpy as np

zoneinfo.reset_tzpath([])  # the package alone, whatever the machine has

DAY = 86400
FIELDS = [
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    (0, 6, "SUN MON TUE WED THU FRI SAT"),
]
NICKNAMES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *"}


def values(text, low, high, names):
    """The set of values that a field names, and whether it is free: a star alone."""
    def value(word):
        return low + names.split().index(word.upper()) if word.upper() in names.split() else int(word)

    named, free = set(), False
    for part in text.split(","):
        body, _, step = part.partition("/")
        if body in ("*", "?"):
            first, last = low, high
            free = free or step in ("", "1")
        elif "-" in body:
            first, last = map(value, body.split("-"))
        else:
            first = value(body)
            last = high if step else first
        if first > last:  # FRI-MON
            last += high - low + 1
        for v in range(first, last + 1, int(step or 1)):
            named.add(low + (v - low) % (high - low + 1))
    return named, free


@functools.lru_cache
def line(text, first_day, days):
    """The seconds of the naive line that a text names, and whether it names all hours."""
    minute, hour, dom, month, dow = (values(f, *rest) for f, rest in zip(NICKNAMES.get(text, text).split(), FIELDS))
    dates = np.arange(first_day, first_day + days).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    in_month = np.isin(months.astype(int) % 12 + 1, list(month[0]))
    by_dom = np.isin((dates - months).astype(int) + 1, list(dom[0]))
    by_dow = np.isin((dates.astype(int) + 4) % 7, list(dow[0]))  # 1970-01-01 was a Thursday
    on = by_dom & by_dow if dom[1] or dow[1] else by_dom | by_dow
    clock = np.array(sorted(h * 60 + m for h in hour[0] for m in minute[0]))
    named = np.add.outer(dates.astype(int)[in_month & on] * DAY, clock * 60).ravel()
    return named, len(hour[0]) == 24


@functools.lru_cache
def pieces(name, begin, end):
    """The stretches of constant offset of a zone: lists of begin, end and offset."""
    zone = zoneinfo.ZoneInfo(name)

    def offset(t):
        return int(datetime.fromtimestamp(t, timezone.utc).astimezone(zone).utcoffset().total_seconds())

    begins, offsets = [begin], [offset(begin)]
    step = 7200  # no zone had an offset for less
    for t in range(begin, end, step):
        if offset(min(t + step, end)) == offsets[-1]:
            continue
        low, high = t, min(t + step, end)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
        begins.append(high)
        offsets.append(offset(high))
    return np.array(begins), np.array(begins[1:] + [end]), np.array(offsets)


def instants(text, name, begin, end):
    """The instants after begin and before end at which a text fires in a zone."""
    margin = 3 * DAY
    named, all_hours = line(text, (begin - margin) // DAY, (end - begin + 2 * margin) // DAY)
    begins, ends, offsets = pieces(name, begin - margin, end + margin)
    if all_hours:  # every real minute whose wall clock shows what is named
        shown = [named[np.searchsorted(named, b + o):np.searchsorted(named, e + o)] - o for b, e, o in zip(begins, ends, offsets)]
        found = np.concatenate(shown)
    else:  # each named minute once: when it is first shown, or right after the gap that holds it
        found = np.full(len(named), np.iinfo(np.int64).max)
        for i in range(len(begins) - 1, -1, -1):
            low, high = np.searchsorted(named, begins[i] + offsets[i]), np.searchsorted(named, ends[i] + offsets[i])
            found[low:high] = named[low:high] - offsets[i]
            if i > 0:  # what lies between the piece before and this one, under neither
                gap = np.searchsorted(named, ends[i - 1] + offsets[i - 1])
                found[gap:low] = begins[i]
    found = np.unique(found)
    return found[(found > begin) & (found < end)]


def answer(question):
    if "data" in question:
        path = importlib.resources.files("tzdata").joinpath("zoneinfo", *question["data"].split("/"))
        return base64.b64encode(path.read_bytes()).decode()
    name, begin, end = question["zone"], question["from"], question["to"]
    if "list" in question:
        return instants(question["texts"][question["list"]], name, begin, end).tolist()
    answers = []
    for text in question["texts"]:
        found = instants(text, name, begin, end)
        answers.append([len(found), hashlib.sha256(found.astype("<i8").tobytes()).hexdigest()])
    return answers


for question in sys.stdin:
    print(json.dumps(answer(json.loads(question))), flush=True)

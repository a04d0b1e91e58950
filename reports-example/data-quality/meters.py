"""What the meters of meters.csv sent: invented, but always the same for the same meter and day.

A real bundle would read a database here. This one invents the readings of a day from the meter and the date, faults included,
so that any window works without a network. A meter without a first day in meters.csv has not sent anything yet.
"""

import hashlib

import numpy as np
import pandas as pd

INTERVAL = pd.Timedelta(minutes=15)


class NoDataError(Exception):
    """A meter sent nothing at all in the days asked for."""


def readings(meter, from_day, to_day):
    """Return the meter's readings of from_day..to_day, both included, in the order in which they arrived."""
    register = pd.read_csv("meters.csv", index_col="meter", parse_dates=["first_day"])
    row = register.loc[meter]
    days = pd.date_range(from_day, to_day)
    sent = [_day(meter, day, row.base_kw, row.day_kw) for day in days if day >= row.first_day]
    if not sent:
        raise NoDataError(f"{meter}: no readings between {from_day} and {to_day}")
    return pd.concat(sent, ignore_index=True)


def _day(meter, day, base_kw, day_kw):
    """Invent one day: a working day's curve, and on some days the faults that real meters have."""
    random = np.random.default_rng(list(hashlib.sha256(f"{meter}/{day:%F}".encode()).digest()))
    at = pd.date_range(day, periods=pd.Timedelta(days=1) // INTERVAL, freq=INTERVAL)
    hour = at.hour + at.minute / 60
    activity = np.exp(-(((hour - 12.5) / 4.2) ** 4)) * (0.25 if day.weekday() >= 5 else 1)
    kw = np.round((base_kw + day_kw * activity) * random.normal(1, 0.03, len(at)), 1)
    sent = pd.DataFrame({"at": at, "kw": kw})

    if random.random() < 0.4:  # an impossible value
        sent.loc[random.integers(len(sent)), "kw"] = random.choice([-1.0, 6553.5])
    if random.random() < 0.45:  # the line was down
        start = random.integers(len(sent) - 12)
        sent = sent.drop(index=range(start, start + random.integers(1, 12)))
    if random.random() < 0.35:  # a packet was sent twice
        start = random.integers(len(sent) - 4)
        sent = pd.concat([sent, sent.iloc[start:start + random.integers(1, 4)]])
    return sent

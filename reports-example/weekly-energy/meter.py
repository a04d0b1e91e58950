"""Half-hourly readings of four invented sites.

The readings of a day follow from the meter and the day alone, so any window works, with no file and no network, and the same
window always gives the same numbers. A real bundle would ask its data service here and keep the two functions' shape.
"""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

ZONE = "Europe/Madrid"
HOURS = 0.5  # one reading is the mean power of half an hour


@dataclass(frozen=True)
class Profile:
    """How a kind of site uses power."""

    base_kw: float  # what never goes off
    swing_kw: float  # what a full working day adds at its busiest
    weekend: tuple  # activity on Saturday and Sunday, of a working day's
    curve: tuple  # (hour, activity 0..1) through a day
    heating_kw: float  # added for every 10 degrees under 16
    cooling_kw: float  # added for every 10 degrees over 20
    monday_kw: float = 0  # added for an hour on Mondays, when everything starts at once


BAKERY = Profile(11, 62, (1.0, 0.45), ((0, 0.3), (2, 0.75), (4, 1), (6.5, 0.95), (9, 0.5), (13, 0.35), (16, 0.15), (20, 0.05), (22, 0.1), (24, 0.3)), 4, 7)
BOOKSHOP = Profile(1.2, 6.2, (0.85, 0.05), ((0, 0), (8.5, 0.05), (10, 0.9), (14, 0.7), (16.5, 0.95), (20, 1), (21, 0.1), (24, 0)), 2.6, 3.2)
COLD_STORE = Profile(104, 96, (0.75, 0.55), ((0, 0.35), (5, 0.4), (7, 0.9), (11, 1), (14, 0.95), (18, 0.7), (21, 0.4), (24, 0.35)), 0, 46, 52)
HOTEL = Profile(31, 48, (1.15, 1.1), ((0, 0.2), (5, 0.15), (8, 0.95), (10.5, 0.6), (14, 0.8), (17, 0.55), (20.5, 1), (23, 0.45), (24, 0.2)), 16, 26)

SITES = {"plant-1": BAKERY, "plant-2": BOOKSHOP, "plant-3": COLD_STORE, "plant-4": HOTEL}


def readings(asset_id, from_day, to_day):
    """Return a column `kw` by the start of each half hour, in local time, for from_day..to_day, both included."""
    profile = SITES.get(asset_id) or _invent(asset_id)
    return pd.concat([_day(asset_id, profile, day) for day in pd.date_range(from_day, to_day)])


def temperature(day):
    """Return the day's mean outdoor temperature in degrees Celsius: a season, and weather that lasts some days."""
    season = 16 - 8.5 * np.cos(2 * np.pi * (day.dayofyear - 20) / 365.25)
    weather = [_random("weather", day - pd.Timedelta(days=n)).normal() for n in range(4)]
    return float(season + 2.2 * np.dot(weather, [0.4, 0.3, 0.2, 0.1]) / 0.55)


def _day(asset_id, profile, day):
    """Return one day's readings: 48 of them, 46 and 50 on the days when the clocks change."""
    at = pd.date_range(day, day + pd.Timedelta(days=1), freq="30min", inclusive="left", tz=ZONE)
    hour = (at.hour + at.minute / 60).to_numpy()
    random = _random(asset_id, day)

    activity = np.interp(hour, *zip(*profile.curve))
    if day.weekday() >= 5:
        activity = activity * profile.weekend[day.weekday() - 5]
    week = _random(asset_id, day.to_period("W-SUN")).normal(1, 0.04)  # some weeks are busier than others
    outside = temperature(day) + 4 * np.cos(2 * np.pi * (hour - 15) / 24)
    climate = profile.heating_kw * np.clip(16 - outside, 0, None) / 10 + profile.cooling_kw * np.clip(outside - 20, 0, None) / 10

    kw = profile.base_kw + profile.swing_kw * activity * week * random.normal(1, 0.03) + climate * (0.4 + 0.6 * activity)
    kw = kw * (1 + np.convolve(random.normal(0, 0.035, len(at) + 2), [0.25, 0.5, 0.25], "valid"))
    if day.weekday() == 0:
        kw[(hour >= 7.5) & (hour < 8.5)] += profile.monday_kw
    return pd.DataFrame({"kw": kw.round(2)}, index=pd.Index(at, name="start"))


def _invent(asset_id):
    """Return a profile for a meter that this module has never heard of, so that a new line in assets.csv is enough."""
    random = _random(asset_id, "profile")
    kind = list(SITES.values())[random.integers(len(SITES))]
    size = random.uniform(0.6, 1.4)
    return replace(kind, base_kw=kind.base_kw * size, swing_kw=kind.swing_kw * size)


def _random(*key):
    """Return a generator that gives the same numbers for the same key, today and on any machine."""
    return np.random.default_rng(list(hashlib.sha256("/".join(map(str, key)).encode()).digest()))

"""The boards once more, in plain Python and in another way than boards.sql: record by record, as a streaming application meets them.

Only the test of the check uses it: it stands in for the application. Sessions are merged event by event (a session window per
origin, over hours of bad weather and the flights in them), whereas boards.sql derives them from the weather alone.
"""

import csv
import gzip
from collections import defaultdict
from datetime import datetime

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GAP_MS = 3 * HOUR_MS


def boards_and_counts(folder):
    """Boards as {(board, category, origin, start, end): [[member, score], ...]}, and the counts."""
    airlines = {row["carrier"]: row["name"] for row in rows(folder, "airlines")}
    models = {row["tailnum"]: row["model"] for row in rows(folder, "planes")}
    weather = {(row["origin"], row["time_hour"]): is_bad(row) for row in rows(folder, "weather")}

    counts = dict.fromkeys(
        ["flights", "no_arr_delay", "scored", "score", "no_airline", "no_tailnum", "no_plane", "no_weather", "bad_weather"], 0
    )
    windows = defaultdict(lambda: defaultdict(int))
    sessions = defaultdict(list)
    for (origin, hour), bad in weather.items():
        if bad:
            add_to_session(sessions[origin], utc_ms(hour), {})

    for flight in rows(folder, "flights"):
        counts["flights"] += 1
        if flight["arr_delay"] == "NA":
            counts["no_arr_delay"] += 1
            continue
        delay = int(flight["arr_delay"])
        counts["scored"] += 1
        counts["score"] += delay

        members = {"route": f"{flight['origin']}-{flight['dest']}"}
        if flight["carrier"] in airlines:
            members["carrier"] = airlines[flight["carrier"]]
        else:
            counts["no_airline"] += 1
        if flight["tailnum"] == "NA":
            counts["no_tailnum"] += 1
        elif flight["tailnum"] in models:
            members["aircraft"] = models[flight["tailnum"]]
        else:
            counts["no_plane"] += 1

        event_ms = utc_ms(flight["time_hour"]) + 60_000 * int(flight["minute"])
        for category, member in members.items():
            for board, size in (("hour", HOUR_MS), ("day", DAY_MS)):
                start = event_ms // size * size
                windows[board, category, None, start, start + size][member] += delay

        bad = weather.get((flight["origin"], flight["time_hour"]))
        if bad is None:
            counts["no_weather"] += 1
        elif bad:
            counts["bad_weather"] += 1
            add_to_session(sessions[flight["origin"]], event_ms, {(c, m): delay for c, m in members.items()})

    for origin, found in sessions.items():
        for start, end, scores in found:
            for (category, member), score in scores.items():
                windows["session", category, origin, start, end][member] = score
    return {key: top_ten(scores) for key, scores in windows.items()}, counts


def add_to_session(sessions, event_ms, scores):
    """Merge an event with the sessions of its origin that it touches: those not more than the gap away."""
    start, end, merged = event_ms, event_ms, dict(scores)
    for session in list(sessions):
        if session[0] - GAP_MS <= event_ms <= session[1] + GAP_MS:
            sessions.remove(session)
            start, end = min(start, session[0]), max(end, session[1])
            for member, score in session[2].items():
                merged[member] = merged.get(member, 0) + score
    sessions.append((start, end, merged))


def top_ten(scores):
    return [[member, score] for member, score in sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))[:10]]


def is_bad(row):
    return (row["precip"] != "NA" and float(row["precip"]) > 0) or (row["visib"] != "NA" and float(row["visib"]) < 3)


def utc_ms(text):
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").timestamp()) * 1000


def rows(folder, name):
    with gzip.open(f"{folder}/{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)

#!/usr/bin/env python3
"""Compare the final boards of examples/leaderboard with DuckDB's answer over the same files, row by row.

    check.py --data DIR --boards FILE.jsonl     compare; the last line on success is `verified against DuckDB: N boards equal, M rows`
    check.py --data DIR --expect OUT.jsonl      write DuckDB's boards and counts in the format that is compared

Exit code 1 on any difference: a board that is missing, extra or unequal, a count that is off, or a line or file that cannot be read.
What the boards are, and the format of the file, is in examples/leaderboard/BOARDS.md. Needs duckdb (requirements.txt).
"""

import argparse
import json
import sys
from collections import namedtuple
from datetime import datetime, timezone
from pathlib import Path

SQL = Path(__file__).resolve().parent / "boards.sql"
SHOWN = 10

Key = namedtuple("Key", "board category origin start end")


def main(argv=None):
    options = arguments(argv)
    try:
        expected, expected_counts = duckdb_answer(options.data)
        if options.expect:
            write(options.expect, expected, expected_counts)
            return 0
    except ImportError:
        print("duckdb is missing: `make setup` installs it for `make demo`, or `pip install -r examples/check/requirements.txt`")
        return 1
    except (OSError, ValueError) as error:
        print(error)
        return 1
    try:
        got, got_counts = read(options.boards)
    except (OSError, ValueError) as error:
        print(f"{options.boards}: {error}")
        return 1
    differences = compare_counts(expected_counts, got_counts) + compare_boards(expected, got)
    report(differences, expected)
    return 1 if differences else 0


def arguments(argv):
    parser = argparse.ArgumentParser(description="Compare final boards with DuckDB's answer.")
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="folder of the four csv.gz files")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--boards", type=Path, metavar="FILE.jsonl", help="the application's final boards")
    what.add_argument("--expect", type=Path, metavar="OUT.jsonl", help="write DuckDB's boards instead of comparing")
    return parser.parse_args(argv)


def duckdb_answer(data):
    """The boards and counts that boards.sql computes from the files in `data`."""
    import duckdb  # here, so that the rest can be used where duckdb is not installed

    connection = duckdb.connect()
    folder = str(data).replace("'", "''")
    connection.execute(f"SET VARIABLE data = '{folder}'")
    boards = {}
    try:
        connection.execute(SQL.read_text())
        for *key, _place, member, score in connection.execute("FROM boards").fetchall():
            boards.setdefault(Key(*key), []).append([member, score])
        counts = connection.execute("FROM counts")
        names = [column[0] for column in counts.description]
        return boards, dict(zip(names, counts.fetchone()))
    except duckdb.Error as error:
        raise ValueError(f"DuckDB cannot read the files in {data}: {str(error).splitlines()[0]}") from error


def read(path):
    """Boards and counts of a JSON-lines file. The last line of a board wins; `"rows": null` takes the board back."""
    boards, counts = {}, {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                if "counts" in entry:
                    counts = dict(entry["counts"])
                    continue
                key, rows = Key(*(entry[field] for field in Key._fields)), entry["rows"]
                if rows is None:
                    boards.pop(key, None)
                else:
                    boards[key] = checked(rows)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"line {number}: not a board and not counts ({type(error).__name__}: {error})") from error
    return boards, counts


def checked(rows):
    for member, score in rows:
        if type(member) is not str or type(score) is not int:
            raise ValueError(f"a row is [text, integer], not {json.dumps([member, score])}")
    return rows


def write(path, boards, counts):
    with open(path, "w", encoding="utf-8") as out:
        for key, rows in boards.items():
            out.write(json.dumps({**key._asdict(), "rows": rows}) + "\n")
        out.write(json.dumps({"counts": counts}) + "\n")


def compare_counts(expected, got):
    return [
        f"count {name}: expected {expected.get(name, 'none')}, got {got.get(name, 'none')}"
        for name in [*expected, *(got.keys() - expected.keys())]
        if expected.get(name) != got.get(name)
    ]


def compare_boards(expected, got):
    differences = []
    for key in sorted(expected.keys() | got.keys(), key=lambda key: [str(field) for field in key]):
        if key not in got:
            differences.append(f"missing board: {describe(key)}, expected {json.dumps(expected[key])}")
        elif key not in expected:
            differences.append(f"extra board: {describe(key)}, got {json.dumps(got[key])}")
        elif expected[key] != got[key]:
            differences.append(f"unequal board: {describe(key)}{first_unequal_row(expected[key], got[key])}")
    return differences


def first_unequal_row(expected, got):
    for place in range(max(len(expected), len(got))):
        wanted, found = (json.dumps(rows[place]) if place < len(rows) else "no row" for rows in (expected, got))
        if wanted != found:
            return f", place {place + 1}: expected {wanted}, got {found}"
    raise AssertionError("the boards are equal")


def describe(key):
    origin = f" {key.origin}" if key.origin else ""
    return f"{key.board} {key.category}{origin} {utc(key.start)} to {utc(key.end)} (start {key.start}, end {key.end})"


def utc(ms):
    try:
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
    except (TypeError, ValueError, OverflowError, OSError):
        return "?"


def report(differences, expected):
    for difference in differences[:SHOWN]:
        print(difference)
    if len(differences) > SHOWN:
        print(f"and {len(differences) - SHOWN:,} more differences")
    if differences:
        print(f"NOT verified against DuckDB: {len(differences):,} differences in {len(expected):,} expected boards")
    else:
        rows = sum(len(rows) for rows in expected.values())
        print(f"verified against DuckDB: {len(expected)} boards equal, {rows} rows")


if __name__ == "__main__":
    sys.exit(main())

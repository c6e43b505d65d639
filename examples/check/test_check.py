"""Tests of the check itself, over the shipped month: it passes on right boards, and fails on each kind of wrong ones.

    python -m unittest discover examples/check      (needs duckdb, see requirements.txt)
"""

import contextlib
import functools
import gzip
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import check
import reference

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "leaderboard" / "data"


class CheckTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        boards, cls.counts = reference.boards_and_counts(DATA)
        cls.boards = {check.Key(*key): rows for key, rows in boards.items()}

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.lines = [json.dumps({**key._asdict(), "rows": rows}) for key, rows in self.boards.items()]
        self.lines.append(json.dumps({"counts": self.counts}))

    def run_check(self, data=DATA):
        file = self.folder / "boards.jsonl"
        file.write_text("".join(line + "\n" for line in self.lines))
        return run("--data", data, "--boards", file)

    def assert_fails(self, result, *phrases):
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertNotRegex(result.stdout, "(?m)^verified against DuckDB")
        for phrase in phrases:
            self.assertIn(phrase, result.stdout)

    def test_right_boards_pass(self):
        self.assertEqual(self.run_check().stdout, "verified against DuckDB: 1962 boards equal, 17316 rows\n")
        self.assertEqual(self.run_check().returncode, 0)

    def test_the_command_line(self):
        file, check_py = self.folder / "expected.jsonl", [sys.executable, HERE / "check.py", "--data", DATA]
        self.assertEqual(subprocess.run([*check_py, "--expect", file]).returncode, 0)
        right = subprocess.run([*check_py, "--boards", file], capture_output=True, text=True)
        self.assertEqual((right.returncode, right.stderr), (0, ""))
        self.assertEqual(right.stdout, "verified against DuckDB: 1962 boards equal, 17316 rows\n")
        file.write_text(file.read_text().partition("\n")[2])
        wrong = subprocess.run([*check_py, "--boards", file], capture_output=True, text=True)
        self.assertEqual((wrong.returncode, wrong.stderr), (1, ""))

    def test_the_shipped_month_is_the_one_that_the_readme_counts(self):
        kinds = {kind: sum(key.board == kind for key in self.boards) for kind in ("hour", "day", "session")}
        self.assertEqual(kinds, {"hour": 1767, "day": 96, "session": 99})
        self.assertEqual(self.counts, {
            "flights": 27004, "no_arr_delay": 606, "scored": 26398, "score": 161819, "no_airline": 0,
            "no_tailnum": 0, "no_plane": 4210, "no_weather": 52, "bad_weather": 2962,
        })  # fmt: skip

    def test_one_changed_input_row_fails(self):
        data = self.folder / "data"
        changed_copy(data, "flights", row=12345, column=8, value=lambda delay: str(int(delay) + 1))
        self.assert_fails(self.run_check(data), "count score: expected 161820, got 161819", "unequal board: day carrier")

    def test_a_changed_destination_fails(self):
        data = self.folder / "data"
        changed_copy(data, "flights", row=12345, column=13, value=lambda dest: "ZZZ")
        self.assert_fails(self.run_check(data), "unequal board: hour route")

    def test_one_changed_weather_row_fails(self):
        data = self.folder / "data"
        row = next(n for n, row in enumerate(reference.rows(DATA, "weather"), 1) if reference.is_bad(row))
        changed_copy(data, "weather", row, column=11, value=lambda precip: "0")
        changed_copy(data, "weather", row, column=13, value=lambda visib: "10", source=data)
        self.assert_fails(self.run_check(data), "session")

    def test_a_missing_board_fails(self):
        del self.lines[0]
        self.assert_fails(self.run_check(), "missing board: ", "NOT verified against DuckDB: 1 differences")

    def test_an_extra_board_fails(self):
        extra = {"board": "session", "category": "route", "origin": "JFK", "start": 0, "end": 1, "rows": [["JFK-LAX", 1]]}
        self.lines.append(json.dumps(extra))
        self.assert_fails(self.run_check(), "extra board: session route JFK 1970-01-01T00:00Z", "1 differences")

    def test_a_retracted_board_is_no_board(self):
        growing = {"board": "session", "category": "route", "origin": "JFK", "start": 0, "end": 1}
        self.lines.append(json.dumps({**growing, "rows": [["JFK-LAX", 1]]}))
        self.lines.append(json.dumps({**growing, "rows": None}))
        self.assertEqual(self.run_check().returncode, 0)

    def test_the_last_line_of_a_board_wins(self):
        board = json.loads(self.lines[0])
        self.lines.insert(0, json.dumps({**board, "rows": [["early", 1]]}))
        self.assertEqual(self.run_check().returncode, 0)
        self.lines.append(self.lines[0])
        self.assert_fails(self.run_check(), "unequal board: ", 'got ["early", 1]')

    def test_equal_scores_in_the_wrong_order_fail(self):
        key, rows, place = next(
            (key, rows, place)
            for key, rows in self.boards.items()
            for place in range(len(rows) - 1)
            if rows[place][1] == rows[place + 1][1]
        )
        swapped = [*rows]
        swapped[place], swapped[place + 1] = rows[place + 1], rows[place]
        self.lines.append(json.dumps({**key._asdict(), "rows": swapped}))
        self.assert_fails(self.run_check(), f"place {place + 1}: expected {json.dumps(rows[place])}")

    def test_a_wrong_count_and_no_counts_fail(self):
        self.lines[-1] = json.dumps({"counts": {**self.counts, "scored": 1}})
        self.assert_fails(self.run_check(), "count scored: expected 26398, got 1", "1 differences")
        del self.lines[-1]
        self.assert_fails(self.run_check(), "count flights: expected 27004, got none")

    def test_a_line_that_is_no_board_fails(self):
        for line in ["", "[]", "7", "{", '{"board": "hour"}', '{"counts": 1}', self.lines[0].replace('"hour"', "[]")]:
            with self.subTest(line):
                self.lines.append(line)
                self.assert_fails(self.run_check(), f"line {len(self.lines)}: not a board")
                self.lines.pop()
        self.lines[0] = self.lines[0].replace("]]", ".5]]")
        self.assert_fails(self.run_check(), "line 1: not a board")

    def test_no_file_fails(self):
        self.assert_fails(run("--data", DATA, "--boards", self.folder / "none.jsonl"), "No such file")
        self.assert_fails(run("--data", self.folder, "--boards", self.folder), "DuckDB cannot read the files in", "No files found")

    def test_without_duckdb_it_says_what_to_do(self):
        with mock.patch.dict(sys.modules, {"duckdb": None}):
            self.assert_fails(run("--data", self.folder, "--boards", self.folder), "duckdb is missing: `make setup`")

    def test_no_more_than_ten_differences_are_shown(self):
        self.lines = self.lines[-1:]
        result = self.run_check()
        self.assert_fails(result, "and 1,952 more differences")
        self.assertEqual(len(result.stdout.splitlines()), 12)


def run(*arguments):
    """The check in this process; DuckDB's answer over the shipped month is computed once."""
    printed = io.StringIO()
    answer = shipped_answer if DATA in arguments else check.duckdb_answer
    with contextlib.redirect_stdout(printed), mock.patch.object(check, "duckdb_answer", answer):
        code = check.main([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, code, printed.getvalue(), "")


@functools.cache
def shipped_answer(data, compute=check.duckdb_answer):
    return compute(data)


def changed_copy(folder, name, row, column, value, source=DATA):
    """A copy of the data with one field changed. Row 0 is the header."""
    if source != folder:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("year"))
    path = folder / f"{name}.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    fields = lines[row].rstrip("\n").split(",")
    fields[column] = value(fields[column])
    lines[row] = ",".join(fields) + "\n"
    path.write_bytes(gzip.compress("".join(lines).encode()))


if __name__ == "__main__":
    unittest.main()

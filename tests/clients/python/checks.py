"""What the Python smokes share: checks that are told a line each, waiting for a condition, and records to send."""

import sys
import time
import uuid
from collections import namedtuple
from contextlib import contextmanager

# How long to wait for what has to happen. Generous: it is reached only where something is wrong.
PATIENCE_S = 30

Record = namedtuple("Record", "key value headers timestamp")


class Checks:
    """The checks of one client; the first line says its version, the exit code whether all passed."""

    def __init__(self, version):
        self.failed = 0
        print(f"version {version}", flush=True)

    @contextmanager
    def check(self, what):
        try:
            yield
            print(f"ok {what}", flush=True)
        except Exception as error:
            self.failed += 1
            print(f"FAIL {what}: {type(error).__name__}: {error}", flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)


def equal(what, got, expected):
    assert got == expected, f"{what}: {short(got)} instead of {short(expected)}"


def short(value):
    text = repr(value)
    return text if len(text) < 600 else f"{text[:600]}... ({len(text)} characters)"


def until(what, probe, patience_s=PATIENCE_S):
    """Asks again until there is an answer that is true, and returns it. What is asked must itself wait a little."""
    deadline = time.monotonic() + patience_s
    while True:
        answer = probe()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"{what}: not after {patience_s} s"


def fresh(client, what):
    """A name that no other run uses."""
    return f"{client}-{what}-{uuid.uuid4().hex[:8]}"


def now_ms():
    return int(time.time() * 1000)


def records(label, first_ms, count=12):
    """Records that have everything: keys and none, values and tombstones, headers twice and without a value, large ones. Each is a
    second younger than the one before."""
    values = [b"", bytes(range(256)), b"stream " * 15_000, None]
    made = []
    for number in range(count):
        key = None if number % 5 == 4 else f"key-{number}".encode()
        value = values[number] if number < len(values) else f"{label}-{number}".encode()
        headers = [("from", label.encode()), ("number", bytes([number])), ("empty", b""), ("null", None), ("from", b"again")]
        made.append(Record(key, value, headers if number % 3 else [], first_ms + 1000 * number))
    return made

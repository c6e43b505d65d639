"""A cluster of Kafka brokers on this machine, Apache's or headwater-broker: what they are told, how they start, and how they end.

The folder of a cluster holds `cluster.json` (what it was started with), and per broker a folder with its number:
`server.properties`, `data/`, `log` and `pid`. A process counts as the cluster's only if its command line names the
`server.properties` of its broker, so nothing else is ever ended.
"""

import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

import jars
import secure
import wire
from jars import Problem

DEFAULT = jars.CACHE / "kafka-data"
# From format to the first answer: 6 s on a quiet machine of two cores, 15 s for three brokers.
START_S = 120
POLL_S = 0.01
# Three brokers that end together cannot agree on it any more and would take minutes.
STOP_S = 15
# Below the ports that systems hand to outgoing connections, so that none of these takes the port of a broker while
# that is down.
PORTS = range(10_000, 30_000)
# All settings would stand in the log three times; they are in server.properties.
LOGGING = [f"-Dorg.slf4j.simpleLogger.{line}" for line in (
    "showDateTime=true", "dateTimeFormat=HH:mm:ss.SSS", "showThreadName=false", "log.org.apache.kafka.common.config=warn")]


class Node:
    """One broker, which is also a controller: its folder, its ports, its process."""

    def __init__(self, folder, number):
        self.number = number
        self.folder = folder / str(number)
        self.properties = self.folder / "server.properties"
        self.log = self.folder / "log"
        self.pid_file = self.folder / "pid"

    def port(self):
        """Of its listener without encryption."""
        listeners = dict(line.split("=", 1) for line in self.properties.read_text().splitlines())["listeners"]
        return int(listeners.split(",")[0].rsplit(":", 1)[1])

    def pid(self):
        """Its process, if that runs."""
        try:
            pid = int(self.pid_file.read_text())
            told = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if os.fsencode(self.properties) in told else None

    def running_pid(self):
        pid = self.pid()
        if pid is None:
            raise Problem(f"broker {self.number} does not run in {self.folder}")
        return pid

    def signal(self, which):
        pid = self.running_pid()
        os.kill(pid, which)
        if which in (signal.SIGKILL, signal.SIGTERM):
            wait_until(lambda: self.pid() is None, STOP_S)

    def format(self, class_path, cluster_id, arguments):
        """Writes what a new broker needs in its data folder."""
        command = [java(), *LOGGING, "-cp", class_path, "kafka.tools.StorageTool", "format",
                   f"--cluster-id={cluster_id}", "-c", self.properties, *arguments]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self, program):
        """Starts it in a session of its own, so that it outlives this command. `program` takes a file of properties."""
        command = [*program, self.properties]
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                                       start_new_session=True)
        self.pid_file.write_text(f"{process.pid}\n")
        return process

    def tail(self):
        lines = self.log.read_text(errors="replace").splitlines()[-25:]
        return "\n".join(f"    {line[:300]}" for line in lines) + f"\n  the whole log: {self.log}"


class Cluster:
    """All brokers of a folder."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.file = self.folder / "cluster.json"

    def nodes(self):
        told = json.loads(self.file.read_text()) if self.file.exists() else {"brokers": 0}
        return [Node(self.folder, number) for number in range(1, told["brokers"] + 1)]

    def node(self, number):
        found = [node for node in self.nodes() if node.number == number]
        if not found:
            raise Problem(f"there is no broker {number} in {self.folder}; there are {len(self.nodes())}")
        return found[0]

    def bootstrap(self):
        return ",".join(f"127.0.0.1:{node.port()}" for node in self.nodes())

    def class_path(self):
        """The class path of its brokers, and of the tools of the same version."""
        return jars.broker_class_path(json.loads(self.file.read_text())["version"])

    def describe(self):
        told = json.loads(self.file.read_text())
        name = "headwater-broker" if told["headwater"] else f"Kafka {told['version']}, {told['brokers']} broker(s)"
        text = f"{name}, in {self.folder}"
        return text + (secure.describe(self.folder, told["secure"]) if told["secure"] else "")

    def create(self, kind, port, settings, is_secure):
        """Starts a new cluster, without anything that an earlier one left in the folder. `kind` is what is kept of it: the
        version of Apache Kafka (of its tools where the broker is headwater's), the number of brokers, headwater's program."""
        count = kind["brokers"]
        running = [node.number for node in self.nodes() if node.pid()]
        if running:
            raise Problem(f"{len(running)} broker(s) run in {self.folder}; end them first: tests/kafka/stop --dir {self.folder}")
        program(kind)
        self.remove()
        self.folder.mkdir(parents=True, exist_ok=True)
        ports = Ports(port, count)
        told = kind | {"secure": secure.ports(ports, count) if is_secure else None}
        self.file.write_text(json.dumps(told) + "\n")
        nodes = self.nodes()
        security = secure.prepare(self.folder) if is_secure else {}
        controllers = [ports.free() for _ in nodes]
        for node, controller in zip(nodes, controllers):
            node.folder.mkdir()
            lines = properties(node, ports.broker(node.number), controllers, told) | security | settings
            node.properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        try:
            if not kind["headwater"]:
                self.format(nodes, secure.USERS_AT_FORMAT if is_secure else [])
            self.start(nodes)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def format(self, nodes, arguments):
        class_path = self.class_path()
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatting = [node.format(class_path, cluster_id, arguments) for node in nodes]
        for node, process in zip(nodes, formatting):
            if process.wait() != 0:
                raise Problem(f"broker {node.number} cannot be made; its log ends:\n{node.tail()}")

    def start(self, nodes):
        """Starts these brokers and waits until each knows all of them."""
        told = program(json.loads(self.file.read_text()))
        processes = [node.start(told) for node in nodes]
        numbers = {node.number for node in nodes}
        deadline = time.monotonic() + START_S
        for node, process in zip(nodes, processes):
            while not numbers <= wire.brokers(node.port()):
                ended = [one.number for one, its in zip(nodes, processes) if its.poll() is not None]
                if ended:
                    raise Problem(f"broker {ended[0]} ended while it started; its log ends:\n"
                                  + self.node(ended[0]).tail())
                if time.monotonic() > deadline:
                    raise Problem(f"broker {node.number} does not answer after {START_S} s; its log ends:\n"
                                  + node.tail())
                time.sleep(POLL_S)

    def restart(self, node):
        if node.pid():
            raise Problem(f"broker {node.number} runs already; `tests/kafka/broker kill {node.number}` ends it")
        self.start([node])

    def stop(self, which=signal.SIGTERM):
        """Ends all brokers that run, in order if they do so in time."""
        running = [node for node in self.nodes() if node.pid()]
        for node in running:
            os.kill(node.pid() or 0, which)
            os.kill(node.pid() or 0, signal.SIGCONT)
        if not wait_until(lambda: not any(node.pid() for node in running), STOP_S):
            self.stop(signal.SIGKILL)

    def remove(self):
        """Removes the folder, if it is a cluster's or empty."""
        if self.file.exists():
            shutil.rmtree(self.folder)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise Problem(f"{self.folder} is neither empty nor a cluster's folder; name another one by --dir")


def program(told):
    """What starts a broker of a cluster that was told so; it takes a file of properties."""
    if told["headwater"]:
        return [told["headwater"], "--config"]
    heap = os.environ.get("KAFKA_HEAP_OPTS") or ("-Xms1g -Xmx1g" if told["brokers"] == 1 else "-Xmx512m")
    return [java(), *shlex.split(heap), *LOGGING, "-cp", jars.broker_class_path(told["version"]), "kafka.Kafka"]


def headwater():
    """The program of headwater's broker: what HEADWATER_BROKER names, or what a release build left."""
    given = os.environ.get("HEADWATER_BROKER")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or Path(__file__).parents[2] / "target")
    path = Path(given) if given else target / "release/headwater-broker"
    if not path.exists():
        raise Problem(f"{path} is missing: `cargo build --release --package headwater-broker --features program` makes it")
    return str(path.resolve())


class Ports:
    """Free ports of 127.0.0.1, none of them given twice."""

    def __init__(self, first, count):
        self.given = set()
        self.brokers = [self.take(first + place) if first else self.free() for place in range(count)]

    def broker(self, number):
        return self.brokers[number - 1]

    def take(self, port):
        if not is_free(port):
            raise Problem(f"port {port} is in use: name another one by --port, or none")
        self.given.add(port)
        return port

    def free(self):
        port = next(port for port in random.sample(PORTS, len(PORTS)) if port not in self.given and is_free(port))
        return self.take(port)


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except OSError:
            return False
    return True


def properties(node, port, controllers, told):
    """What a broker is told, unless `--set` says otherwise. What is not named here is Kafka's own default."""
    listeners = {"PLAINTEXT": port} | {name: ports[node.number - 1] for name, ports in (told["secure"] or {}).items()}
    addresses = ",".join(f"{name}://127.0.0.1:{number}" for name, number in listeners.items())
    protocols = ",".join(f"{name}:{name}" for name in listeners)
    replicas, in_sync = (3, 2) if told["brokers"] == 3 else (1, 1)
    return {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1)),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{addresses},CONTROLLER://127.0.0.1:{controllers[node.number - 1]}",
        "advertised.listeners": addresses,
        "listener.security.protocol.map": f"{protocols},CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": node.folder / "data",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        # Fifty partitions each take a while to make and to read, and tests need few.
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.num.partitions": 4,
        # Kafka waits 3 s for further members of a new group; a test has none to wait for.
        "group.initial.rebalance.delay.ms": 0,
    }


def java():
    return jars.program("java", "default-jre-headless")


def wait_until(done, patience_s):
    deadline = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def run(main):
    """Runs a command; what keeps it from its work is told in one message, without a Python trace."""
    try:
        main()
    except Problem as problem:
        sys.exit(f"{Path(sys.argv[0]).name}: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)

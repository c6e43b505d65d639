"""Asks a broker who is there, in Kafka's protocol: the one question that is only answered when a broker is up."""

import socket
import struct

METADATA, METADATA_VERSION = 3, 1


def brokers(port, timeout_s=2.0):
    """The numbers of all brokers that the one on this port of 127.0.0.1 knows to be up; none if it does not answer."""
    client = b"headwater"
    # api key, version, correlation id, client id, no topics
    request = struct.pack(">hhih", METADATA, METADATA_VERSION, 1, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            size, _correlation, count = struct.unpack(">iii", read(connection, 12))
            return parse(read(connection, size - 8), count)
    except (OSError, EOFError):
        return set()


def read(connection, size):
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def parse(data, count):
    """The ids of an array of brokers: id, host, port, rack; the last three are of no interest."""
    ids, at = set(), 0
    for _ in range(count):
        ids.add(struct.unpack_from(">i", data, at)[0])
        at += 4
        at += 2 + struct.unpack_from(">h", data, at)[0]
        at += 4
        at += 2 + max(0, struct.unpack_from(">h", data, at)[0])
    return ids

"""Tries to read a node of ZooKeeper without a password: anonymous_reader.py ADDRESSES TLS_PORT PLAIN_PORT PATH CA.

Exit 1 if any member lets it, or cannot be asked. It speaks just as much of ZooKeeper's protocol as that takes.
"""

import socket
import ssl
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

REFUSED = {-102: "no permission", -115: "authentication failed", -124: "a session needs SASL"}


def packet(connection: socket.socket) -> bytes:
    """Read one packet, b"" if the other side has closed."""
    head = connection.recv(4)
    if len(head) < 4:
        return b""
    body = b""
    while len(body) < struct.unpack(">i", head)[0]:
        more = connection.recv(4096)
        if not more:
            return b""
        body += more
    return body


def read(connection: socket.socket, path: str) -> str:
    """Try to read the node; says how it was refused, "" if it was not."""
    hello = struct.pack(">iqiqi", 0, 0, 10000, 0, 16) + bytes(16)
    connection.sendall(struct.pack(">i", len(hello)) + hello)
    if not packet(connection):
        return "closed at the first word"
    request = struct.pack(">iii", 1, 4, len(path)) + path.encode() + b"\0"
    connection.sendall(struct.pack(">i", len(request)) + request)
    answer = packet(connection)
    if not answer:
        return "closed at the first request"
    error = struct.unpack(">i", answer[12:16])[0]
    if error == 0:
        return ""
    return REFUSED.get(error, f"error {error}")


def ask(address: str, tls_port: int, plain_port: int, path: str, ca: str) -> tuple[bool, list[str]]:
    """Ask one member both ways: whether it refused both, and what is to be told of it."""
    said = []
    try:
        with socket.create_connection((address, plain_port), timeout=5):
            closed = False
            said.append(f"{address}:{plain_port} is open without TLS")
    except OSError as error:
        closed = True
        said.append(f"{address}:{plain_port} without TLS: {error.strerror or error}")
    context = ssl.create_default_context(cafile=ca)
    try:
        with (
            socket.create_connection((address, tls_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=address) as connection,
        ):
            refused = read(connection, path)
    except (OSError, struct.error) as error:  # nobody knows then whether it would have refused
        return False, [*said, f"{address}:{tls_port} could not be asked: {error}"]
    said.append(f"{address}:{tls_port} {path} without a password: {refused or 'READ'}")
    return closed and bool(refused), said


def main() -> int:
    """Ask all members at once: where packets are dropped, each question takes its whole time."""
    addresses, tls_port, plain_port, path, ca = sys.argv[1:]
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(ask, each, int(tls_port), int(plain_port), path, ca) for each in addresses.split(",")]
        found = [each.result() for each in asked]
    for _, said in found:
        print(*said, sep="\n")
    return 0 if all(refused for refused, _ in found) else 1


if __name__ == "__main__":
    sys.exit(main())

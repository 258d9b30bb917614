"""Tries to read a node of ZooKeeper without a password: anonymous_reader.py ADDRESSES TLS_PORT PLAIN_PORT PATH CA.

Exit 1 if any member lets it. It speaks just as much of ZooKeeper's protocol as that takes.
"""

import socket
import ssl
import struct
import sys

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


def main() -> int:
    """Ask each member both ways."""
    addresses, tls_port, plain_port, path, ca = sys.argv[1:]
    open_doors = 0
    for address in addresses.split(","):
        try:
            with socket.create_connection((address, int(plain_port)), timeout=5):
                print(f"{address}:{plain_port} is open without TLS")
                open_doors += 1
        except OSError as error:
            print(f"{address}:{plain_port} without TLS: {error.strerror or error}")
        context = ssl.create_default_context(cafile=ca)
        with (
            socket.create_connection((address, int(tls_port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=address) as connection,
        ):
            refused = read(connection, path)
        if not refused:
            open_doors += 1
        print(f"{address}:{tls_port} {path} without a password: {refused or 'READ'}")
    return 1 if open_doors else 0


if __name__ == "__main__":
    sys.exit(main())

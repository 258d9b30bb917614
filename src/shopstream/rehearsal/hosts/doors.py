"""Waits until SSH answers: `python -m shopstream.rehearsal.hosts.doors SECONDS ADDRESS...`, run in the namespace.

Each address is printed when it answers. Exit code 1 when the time is up before the last one has.
"""

from __future__ import annotations

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

_PORT = 22


def _opens(address: str, deadline: float) -> bool:
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, _PORT), timeout=1.0) as connection:
                connection.settimeout(2.0)
                if connection.recv(4) == b"SSH-":
                    return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


def main(arguments: list[str]) -> int:
    """Wait for all of them at once."""
    deadline, addresses = time.monotonic() + float(arguments[0]), arguments[1:]
    everyone = True
    with ThreadPoolExecutor(max(1, len(addresses))) as pool:
        waiting = {pool.submit(_opens, address, deadline): address for address in addresses}
        # One thread prints: of two, the lines could run into each other.
        for one in as_completed(waiting):
            if one.result():
                print(waiting[one], flush=True)
            else:
                everyone = False
    return 0 if everyone else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The child that stands in for AWS: `python -m shopstream.rehearsal.moto_server --port 0`.

It prints one line of JSON, `{"port": …}`, when it listens, and ends when its standard input does: so it never outlives
whoever started it. Its log goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading


def main() -> None:
    """Serve until the end of standard input."""
    parser = argparse.ArgumentParser(description="moto's server with what shopstream adds to it")
    parser.add_argument("--port", type=int, default=0, help="where to listen on loopback; 0: any port that is free")
    parser.add_argument(
        "--also", action="append", default=[], metavar="ADDRESS:PORT", help="listen there, too; repeatable"
    )
    arguments = parser.parse_args()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()

    from shopstream.rehearsal.moto import apply_all
    from shopstream.rehearsal.serving import server_at

    apply_all()
    server = server_at("127.0.0.1", arguments.port)
    os.environ["MOTO_PORT"] = str(server.server_port)
    for each in arguments.also:
        address, _, port = each.rpartition(":")
        threading.Thread(target=server_at(address, int(port)).serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    server.serve_forever()


def _end_with_the_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

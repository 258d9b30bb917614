"""How long `shopstream up` takes from stopped, with everything downloaded and prepared.

Two moments are measured, both from the start of a fresh process: when the first service could log in, as `up --json`
reports it plus the time that the process took to get there; and when the process has ended, with all users able to.

    python bench/up.py [--runs 10] [--brokers 1 3]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shopstream.cluster import home, ports
from shopstream.cluster.local import LocalCluster

ROOT = Path(__file__).parents[1]
LIMITS_S = {1: 1.5, 3: 6.0}
COMMAND = (sys.executable, "-m", "shopstream.cli.main")


def measure(directory: Path, runs: int) -> tuple[list[float], list[float]]:
    """Stop and start a cluster.

    Returns:
        For each run, in seconds, when the first credential worked and when the process had ended.
    """
    firsts, ends = [], []
    for _ in range(runs):
        LocalCluster(directory).down()
        begun = time.monotonic()
        command = [*COMMAND, "up", "--json"]
        environment = {**os.environ, home.VARIABLE: str(directory)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        ended = time.monotonic() - begun
        report = json.loads(done.stdout)
        # `up` counts from its own beginning: what the process took before that and after counts as well.
        firsts.append(ended - (report["ready_s"] - report["first_credential_s"]))
        ends.append(ended)
    return firsts, ends


def main() -> int:
    """Measure, print, and exit 1 when a median is over its limit."""
    parser = argparse.ArgumentParser(description="How long `shopstream up` takes from stopped.")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--brokers", type=int, nargs="*", choices=LIMITS_S, default=list(LIMITS_S))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing stays behind
    good = True
    with tempfile.TemporaryDirectory() as name:
        for brokers in arguments.brokers:
            directory = Path(name) / str(brokers)
            directory.mkdir()
            # What an `up` in this checkout has downloaded and prepared serves here as well.
            (directory / "cache").symlink_to(home.find(os.environ, ROOT).cache)
            cluster = LocalCluster(directory, brokers=brokers, port=ports.pick(1, 29094, ())[0])
            try:
                cluster.up()
                firsts, ends = measure(directory, arguments.runs)
                memory = [broker.memory_bytes >> 20 for broker in cluster.status().brokers if broker.memory_bytes]
            finally:
                cluster.down(wipe=True)
            first, end = statistics.median(firsts), statistics.median(ends)
            good = good and first <= LIMITS_S[brokers]
            print(
                f"{brokers} broker(s), {arguments.runs} runs: first credential {first:.2f} s "
                f"({min(firsts):.2f} to {max(firsts):.2f}), limit {LIMITS_S[brokers]} s; "
                f"process ended {end:.2f} s ({min(ends):.2f} to {max(ends):.2f}); memory {memory} MiB"
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

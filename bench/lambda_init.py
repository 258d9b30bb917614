"""How long a function takes to load, against an empty handler that imports the same Kafka client.

Each measurement is a fresh CPython 3.13 with AWS's runtime client and boto3, which imports from an unpacked zip as
Lambda does: without bytecode, and without writing any. These are measured in turn, so that a noisy machine is noisy for
all of them:

    empty      `import confluent_kafka` and nothing else, from the same zip
    both       that and `import boto3`, which every function needs for its secrets, from AWS's runtime
    init       Lambda's init phase: looking the handler up, which loads all code, reads the topology, makes boto3's
               client for the secrets, and connects to nothing
    core       only the service's own module: what an init phase is that leaves the rest to the first invocation
    invoked    the first invocation after `init`, up to the point where it asks for its configuration
    bytecode   as `init`, from a copy that CPython 3.13 has compiled: what leaving bytecode out of the zips costs

In its init phase a function has a whole processor, in an invocation the share that its memory buys: one at 1,769 MB, so
0.29 at 512 MB ("Configure Lambda function memory" in Lambda's guide). So whatever is left to the invocation takes 3.5
times as long there.

The time is that of the code alone, not of the interpreter's start. The zips must be there: scripts/build_all_zips.sh

    python bench/lambda_init.py [--runs 20] [--zips build/lambdas] [SERVICE ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from shopstream import topology
from shopstream.cluster import home
from shopstream.errors import ShopstreamError
from shopstream.lambdas.runtime import LocalRuntime
from shopstream.lambdas.samples import sample_events

ROOT = Path(__file__).parents[1]

# Each prints the seconds that it took. Arguments: the zip's folder, the service, the event.
CLOCK = """
import json, sys, time, types
folder, service, event = sys.argv[1:]
event = json.loads(event)
context = types.SimpleNamespace(aws_request_id="5f0c6b1e-0f9e-4c55-a6a8-6d1cb4e14d0f", function_name=service)
sys.path.insert(0, folder)
{before}
begun = time.perf_counter()
{code}
print(time.perf_counter() - begun, file=sys.stderr)
"""
CORE = "__import__(f'services.{service}.{service}', fromlist=['handler']).handler"
INIT = "handler = getattr(__import__('shopstream.runtime.entry', fromlist=['entry']), service)"
INVOKE = """
try:
    handler(event, context)
except Exception as error:
    if not any(kind.__name__ == "SettingsError" for kind in type(error).__mro__):
        raise
else:
    raise SystemExit("the handler did not ask for its configuration")"""
# What Lambda's runtime sets; without credentials, boto3 would look for some.
ENVIRON = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
ENVIRON |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def seconds(python: Path, before: str, code: str, *arguments: str) -> float:
    """What a fresh interpreter reports."""
    command = [str(python), "-I", "-B", "-c", CLOCK.format(before=before, code=code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=ENVIRON)
    if done.returncode:
        raise RuntimeError(f"{arguments[1]} could not be measured: {done.stderr}")
    return float(done.stderr.splitlines()[-1])


def measure(python: Path, service: str, event: str, plain: Path, compiled: Path, runs: int) -> dict[str, list[float]]:
    """Seconds by what is measured, each measured so many times, in turn."""
    kinds = {
        "empty": (plain, "", "import confluent_kafka"),
        "both": (plain, "", "import boto3, confluent_kafka"),
        "init": (plain, "", INIT),
        "core": (plain, "", CORE),
        "invoked": (plain, INIT, INVOKE),
        "bytecode": (compiled, "", INIT),
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for run in range(runs + 1):
        for kind, (folder, before, code) in kinds.items():
            took = seconds(python, before, code, str(folder), service, event)
            if run:  # the first time the files come from the disk
                times[kind].append(took)
    return times


def main() -> int:
    """Measure and print."""
    services = tuple(topology.load().services)
    parser = argparse.ArgumentParser(description="How long the functions take to load.")
    parser.add_argument("services", nargs="*", metavar="SERVICE", help=f"of {', '.join(services)} (default: all)")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--zips", type=Path, default=ROOT / "build" / "lambdas")
    arguments = parser.parse_args()
    wanted = arguments.services or services
    if unknown := set(wanted) - set(services):
        parser.error(f"unknown service {', '.join(sorted(unknown))}")
    if absent := [name for name in wanted if not (arguments.zips / f"{name}.zip").is_file()]:
        parser.error(f"{arguments.zips} has no {absent[0]}.zip: run scripts/build_all_zips.sh")
    try:
        cache = home.find(os.environ, ROOT).cache / "lambda"
        python = LocalRuntime(cache, os.environ, lambda text: print(text, file=sys.stderr)).python()
    except ShopstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    events = sample_events(topology.load())
    print(f"{arguments.runs} runs each, medians in ms (least to most); x is the ratio to `empty`")
    for service in wanted:
        with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as compiled:
            for folder in (plain, compiled):
                with zipfile.ZipFile(arguments.zips / f"{service}.zip") as archive:
                    archive.extractall(folder)
            subprocess.run([python, "-I", "-m", "compileall", "-q", compiled], check=True, timeout=120)
            event = json.dumps(events[service])
            times = measure(python, service, event, Path(plain), Path(compiled), arguments.runs)
        empty = statistics.median(times["empty"])
        print(service)
        for kind, each in times.items():
            median = statistics.median(each)
            spread = f"({min(each) * 1e3:.0f} to {max(each) * 1e3:.0f})"
            print(f"  {kind:<10}{median * 1e3:5.0f} {spread:<14} x {median / empty:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

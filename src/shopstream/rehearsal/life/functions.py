"""Where functions run: a network namespace of their own on the machines' bridge, with an address of their subnet."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import psutil

from shopstream.errors import RehearsalError
from shopstream.rehearsal.cloud.control import ask
from shopstream.rehearsal.hosts import processes
from shopstream.rehearsal.hosts.namespace import Namespace
from shopstream.rehearsal.hosts.services import CONTROL_PORT, FUNCTIONS_PORT
from shopstream.rehearsal.life.world import REGION, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shopstream.rehearsal.life.world import World

_MODULE = "shopstream.rehearsal.cloud"
_PROBLEM = "PROBLEM"  # how AWS begins LastProcessingResult then
_FIRST = 100  # of a subnet; AWS gives low ones to endpoints and instances first
_READY_S = 120.0
_HINDERED_S = 20.0  # what a broker that comes up just now explains
_END_S = 60.0


def address_in(subnets: Iterable[str], taken: Iterable[str]) -> IPv4Address:
    """An address for functions in the first of their subnets. Pure.

    Args:
        subnets: Their ranges.
        taken: Addresses of network interfaces.

    Raises:
        RehearsalError: They have no subnet, or it is full.
    """
    used = set(map(IPv4Address, taken))
    for subnet in sorted(map(IPv4Network, subnets)):
        for host in range(_FIRST, subnet.num_addresses - 1):
            if (address := subnet.network_address + host) not in used:
                return address
    raise RehearsalError("the functions have no subnet with a free address: look at vpc_config in infra/terraform")


def address(world: World) -> IPv4Address:
    """The address that the account gives its functions."""

    def question(client: Callable[[str], Any]) -> IPv4Address:
        listed = client("lambda").list_functions()["Functions"]
        ids = sorted({each for one in listed for each in (one.get("VpcConfig") or {}).get("SubnetIds") or ()})
        subnets = client("ec2").describe_subnets(SubnetIds=ids)["Subnets"] if ids else []
        interfaces = client("ec2").describe_network_interfaces()["NetworkInterfaces"]
        return address_in(
            (each["CidrBlock"] for each in subnets),
            (each["PrivateIpAddress"] for each in interfaces if each.get("PrivateIpAddress")),
        )

    return world.ask(question)


def namespace(world: World) -> Namespace:
    """Their namespace, whether it is there or not."""
    return Namespace(f"{world.namespace.name}-functions")


def start(world: World, python: str) -> None:
    """Run what the account holds, until `stop`, and wait until every mapping has its pollers.

    Args:
        world: The rehearsal.
        python: An interpreter with what Lambda's runtime has.

    Raises:
        RehearsalError: It does not come up.
    """
    if not running(world):
        _begin(world, python)
    _wait_for_pollers(world)


def _begin(world: World, python: str) -> None:
    forget(world)
    own, plan = namespace(world), world.plan
    at = address(world)
    cable = f"vb-{plan.tag}-fn"
    own.create()
    world.namespace.run(
        ["ip", "link", "add", cable, "type", "veth", "peer", "name", "host0", "netns", str(own.path)], "lay a cable"
    )
    world.namespace.run(["ip", "link", "set", cable, "master", plan.bridge, "up"], "plug the functions in")
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{at}/{plan.network.prefixlen}", "dev", "host0"],
        ["ip", "link", "set", "host0", "up"],
        ["ip", "route", "add", "unreachable", "default"],
    ):
        own.run(command, "lay the functions' network")
    world.functions.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", _MODULE, "--endpoint", f"http://{plan.gateway}:{CONTROL_PORT}"]
    command += ["--function-endpoint", f"http://{plan.gateway}:{FUNCTIONS_PORT}"]
    command += ["--state", str(world.functions), "--region", REGION, "--python", python]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    processes.detach(own.entering(command), world.logs / "functions.jsonl", clean)
    world.tell(f"functions run at {at}")
    wait_for(lambda: _answers(world), 30, lambda: f"nothing runs functions: see {world.logs / 'functions.jsonl'}")


def _wait_for_pollers(world: World) -> None:
    """Wait until every partition has one. What hinders them is told as soon as it does not pass by itself."""
    began = time.monotonic()
    while not (found := status(world))["ready"]:
        waited = time.monotonic() - began
        hindered = troubles(found)
        if (waited > _HINDERED_S and (hindered or found["problems"])) or waited > _READY_S:
            problems = [f"{name}: {text}" for name, text in found["problems"].items()]
            why = "; ".join(problems + (hindered or [last_words(world)]))
            raise RehearsalError(f"the pollers do not get to the brokers within {waited:.0f} s: {why}")
        time.sleep(0.25)


def troubles(found: Mapping[str, Any]) -> list[str]:
    """What hinders the mappings of a status, in AWS's words."""
    return [
        f"{each['topic']} to {each['function']}: {each['last_result']}"
        for each in found["mappings"].values()
        if each["last_result"].startswith(_PROBLEM)
    ]


def _answers(world: World) -> bool:
    try:
        status(world)
    except RehearsalError:
        return False
    return True


def last_words(world: World) -> str:
    """What the functions' host has said last."""
    lines = (world.logs / "functions.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
    return f"last said: {' '.join(lines)[:1500]}"


def status(world: World) -> dict[str, Any]:
    """What runs, and how it goes."""
    return ask(world.functions, "status")


def invoke(world: World, function: str, payload: Mapping[str, Any]) -> str:
    """Run a function once, as `aws lambda invoke` does; what it answered.

    Raises:
        RehearsalError: It failed.
    """
    answer = ask(world.functions, "invoke", function=function, payload=dict(payload))
    if answer["error"]:
        raise RehearsalError(f"{function} failed ({answer['error']}): {answer['payload'][:500]}")
    return str(answer["payload"])


def running(world: World) -> bool:
    """Whether it runs."""
    return _pid(world) is not None


def stop(world: World) -> None:
    """Let it finish what is at hand, and end.

    Raises:
        RehearsalError: It does not end.
    """
    pid = _pid(world)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not psutil.pid_exists(pid), _END_S, lambda: f"the functions (pid {pid}) do not end")


def forget(world: World) -> None:
    """End all that is in their namespace, take it away, and delete what it has written."""
    own = namespace(world)

    def gone() -> bool:
        identity = own.identity
        pids = processes.in_network(identity) if identity else set()
        processes.kill(pids)
        return not pids

    wait_for(gone, 10, lambda: f"processes in {own.name} do not end by SIGKILL")
    own.delete()
    shutil.rmtree(world.functions, ignore_errors=True)


def _pid(world: World) -> int | None:
    identity = namespace(world).identity
    if identity is None:
        return None
    for pid in sorted(processes.in_network(identity)):
        try:
            line = psutil.Process(pid).cmdline()
        except psutil.Error:
            continue
        if _MODULE in line and "--state" in line:
            return pid
    return None

"""What commands need that run the shop on Lambda: zips, faults, and the packages that stand in for AWS."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

from shopstream.errors import ShopstreamError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.lambdas.model import Faults
    from shopstream.run.fleet import MakeFleet, Tell
    from shopstream.topology import Topology

_KINDS = ("redeliver", "fail", "crash")
_RESTART = "restart"


def make_lambdas(zips: Path | None, shop: Topology, faults: str | None, tell: Tell) -> MakeFleet:
    """What makes the fleet of a run on Lambda. All that can be refused is refused here, before anything is started.

    Args:
        zips: Where the functions' zips are; None to build them from the checkout.
        shop: Whose functions these are.
        faults: What shall go wrong, as `--faults` has it.
        tell: Told in a line what takes time.

    Raises:
        UsageError: Something is missing on this machine, or `faults` is not understood.
    """
    shares, restart_every = parse_faults(faults)
    require_aws_packages()
    from shopstream.lambdas.runtime import find_python
    from shopstream.run.lambda_fleet import LambdaFleet

    find_python(os.environ)
    return partial(LambdaFleet, zips=find_zips(zips, shop, tell), faults=shares, restart_every=restart_every)


def parse_faults(text: str | None) -> tuple[Faults | None, float | None]:
    """Read `redeliver=1,fail=0.1,restart=5`.

    Returns:
        The shares of batches, None without any, and the seconds between two restarts of all pollers, None for never.

    Raises:
        UsageError: It is not understood.
    """
    from shopstream.lambdas.model import Faults

    if not text:
        return None, None
    found: dict[str, float] = {}
    for part in text.split(","):
        kind, _, number = part.partition("=")
        try:
            found[kind.strip()] = float(number)
        except ValueError as error:
            raise UsageError(f"--faults: {part!r} is not understood: write it like redeliver=1,fail=0.1") from error
    if unknown := found.keys() - {*_KINDS, _RESTART}:
        raise UsageError(f"--faults: there is no {', '.join(sorted(unknown))}: use {', '.join(_KINDS)} and {_RESTART}")
    restart = found.pop(_RESTART, None)
    if restart is not None and not restart > 0:
        raise UsageError(f"--faults: {_RESTART} is {restart:g}: give the seconds between two restarts")
    shares = Faults(found.get("redeliver", 0.0), found.get("fail", 0.0), found.get("crash", 0.0))
    return (shares if found else None), restart


def require_aws_packages() -> None:
    """Make sure that AWS's client and its stand-in are installed.

    Raises:
        UsageError: They are not.
    """
    missing = [name for name in ("boto3", "moto") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{' and '.join(missing)} is missing: install it with `make lambda`, or `pip install 'shopstream[aws]'`"
        )


def find_zips(zips: Path | None, shop: Topology, tell: Tell) -> Path:
    """The directory that is named, with a zip for each service; or that of the zips that the checkout makes.

    Raises:
        UsageError: A zip is missing, or there is no checkout.
        ShopstreamError: The zips cannot be built.
    """
    if zips is None:
        return build_zips(tell)
    from shopstream.run.lambda_shop import zip_of

    for service in shop.services:
        zip_of(zips, service)
    return zips


def build_zips(tell: Tell) -> Path:
    """Build the shop's zips from the checkout. Quick when nothing has changed.

    Returns:
        Where they are.

    Raises:
        UsageError: There is no checkout.
        ShopstreamError: They cannot be built; the builder has said why.
    """
    from shopstream.topology import default_path

    checkout = default_path().parent
    builder = checkout / "scripts" / "build_zips.py"
    if not builder.is_file():
        raise UsageError(
            "there is no checkout to build the functions' zips from, because shopstream is installed without one: "
            "build them in a checkout with `make zips`, and say where they are with --zips DIR"
        )
    tell("building the functions' zips")
    done = subprocess.run([sys.executable, str(builder)], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise ShopstreamError(
            f"the functions' zips could not be built: {builder.relative_to(checkout)} says why, above"
        )
    return checkout / "build" / "lambdas"

"""The phases before anything is deployed: needs, supplies, zips, ground."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from shopstream.aws.terraform import Terraform
from shopstream.errors import DeploymentError, RehearsalError
from shopstream.lambdas.runtime import LocalRuntime
from shopstream.rehearsal.hosts import needs as machines
from shopstream.rehearsal.life import functions, site
from shopstream.rehearsal.life.world import REGION

if TYPE_CHECKING:
    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

_GIB = 1 << 30
MEMORY_GIB = 5
"""Eight machines took 2.8 GiB and moto, Terraform and Ansible 1 GiB."""
DISK_GIB = 6
INOTIFY = 90
"""Eight configured machines had 80 of user root; without one, a unit fails with "Too many open files"."""
VPC = IPv4Network("10.20.0.0/16")
"""Terraform's default for vpc_cidr; `boot` notices another one."""


def needs(world: World, result: Result) -> None:
    """Look whether this machine can do it, and say everything that is missing at once."""
    problems = []
    try:
        machines.require()
    except RehearsalError as error:
        problems += str(error).splitlines()
    if not (world.source / "infra" / "terraform").is_dir():
        problems.append(f"{world.source} is no checkout of the project: call this in one")
    try:
        Terraform(world.source, log=world.directory / "log", environ=world.environ, tell=world.tell).check()
    except DeploymentError as error:
        problems.append(str(error))
    if not (world.source / ".venv" / ".ready-dev").exists() or not (world.source / ".venv-ansible" / ".ready").exists():
        problems.append("the Python environments are not complete: `make .venv/.ready-dev .venv-ansible/.ready`")
    memory = psutil.virtual_memory().available
    disk = min(shutil.disk_usage(_existing(place)).free for place in (world.home, world.cache))
    if memory < MEMORY_GIB * _GIB:
        problems.append(f"{memory / _GIB:.1f} GiB of memory are free, {MEMORY_GIB} are needed: end something else")
    if disk < DISK_GIB * _GIB:
        problems.append(f"{disk / _GIB:.1f} GiB are free on the disk, {DISK_GIB} are needed: delete something")
    watches, limit = inotify()
    if limit - watches < INOTIFY:
        problems.append(
            f"{limit - watches} of {limit} inotify instances are free, and the machines' systemd needs {INOTIFY}: end "
            "another rehearsal, or `sysctl fs.inotify.max_user_instances=512`"
        )
    if problems:
        raise RehearsalError("\n".join(problems))
    result.counts = {
        "memory": f"{memory / _GIB:.1f} GiB free",
        "disk": f"{disk / _GIB:.1f} GiB free",
        "processors": str(os.cpu_count()),
    }


def _existing(place: Path) -> Path:
    """A directory, or the nearest one above it that is there."""
    return next(each for each in (place, *place.parents) if each.exists())


def inotify() -> tuple[int, int]:
    """How many inotify instances this user's processes hold, and how many they may."""
    held = 0
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            if process.uids().real == os.getuid():
                files = Path(f"/proc/{process.pid}/fd").iterdir()
                held += sum(str(file.readlink()) == "anon_inode:inotify" for file in files)
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    return held, int(limit.read_text(encoding="ascii")) if limit.is_file() else INOTIFY


def supplies(world: World, result: Result) -> None:
    """Make what the machines are booted from and install, as far as it is not cached; it fetches from the network."""
    from shopstream.rehearsal import supplies as made

    world.cache.mkdir(parents=True, exist_ok=True)
    prepared = made.prepare(world.cache, world.tell)
    runtime = LocalRuntime(world.cache, world.environ, world.tell)
    result.data["python"] = str(runtime.python())
    _providers(world)
    files = [path for path in prepared.www.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    result.counts = {"served to the machines": f"{len(files)} files, {size >> 20} MiB"}


def _providers(world: World) -> None:
    """Fetch Terraform's provider, which it cannot do from within the machines' network."""
    if world.environ.get("TERRAFORM_PLUGIN_MIRROR") or world.environ.get("TF_CLI_CONFIG_FILE"):
        return
    mirror = world.providers
    if not mirror.is_dir():
        world.progress("fetching Terraform's provider (once)")
        part = mirror.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        module = world.source / "infra" / "terraform"
        world.call(["terraform", f"-chdir={module}", "providers", "mirror", str(part)], inside=False, within=900)
        part.rename(mirror)


def zips(world: World, result: Result) -> None:
    """Copy the checkout, and build zips and wheel with the production's scripts."""
    copied = site.make(world.source, world.site)
    scripts = world.source / "scripts"
    world.call([str(scripts / "build_all_zips.sh"), "--out", str(world.zips)], inside=False)
    wheel = world.source / world.call([str(scripts / "build_wheel.sh")], inside=False).strip().splitlines()[-1]
    shutil.copyfile(wheel, world.site / "build" / wheel.name)
    hashes = zip_hashes(world.zips)
    result.data["zips"] = hashes
    result.counts = {
        "files copied from the checkout": str(copied),
        "zips": str(len(hashes)),
        "wheel": f"{wheel.name}, {site.digest(wheel)[:12]}",
    }


def zip_hashes(directory: Path) -> dict[str, str]:
    """The zips of a directory, by service, hashed as Lambda does it: SHA-256 in base64."""
    return {
        path.stem: base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()
        for path in sorted(directory.glob("*.zip"))
    }


def rebuild(world: World) -> dict[str, str]:
    """Build the zips from the site, after something was changed there; their hashes."""
    script = world.site / "scripts" / "build_zips.py"
    world.call([sys.executable, str(script), "--out", str(world.zips)], inside=False)
    return zip_hashes(world.zips)


def ground(world: World, result: Result) -> None:
    """Lay the ground; what an earlier rehearsal has left is cleared away."""
    functions.forget(world)
    world.hosts.lay_ground(VPC, region=REGION)
    who = json.loads(world.call([sys.executable, "-c", _WHO]))
    result.counts = {"network": f"{VPC}, namespace {world.namespace.name}", "account": who["account"]}
    result.data["versions"] = versions()


_WHO = """
import boto3, json
print(json.dumps({"account": boto3.client("sts").get_caller_identity()["Account"]}))
"""


def versions() -> dict[str, str]:
    """The versions of what is used beside the project's own code."""
    import moto

    terraform = subprocess.run(["terraform", "version", "-json"], capture_output=True, text=True, check=False).stdout
    return {
        "Python": sys.version.split()[0],
        "moto": str(moto.__version__),
        "Terraform": str(json.loads(terraform or "{}").get("terraform_version", "?")),
    }

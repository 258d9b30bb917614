"""The phase teardown: nothing is left, in the account and on this machine."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import functions, secrecy
from shopstream.rehearsal.unsupported import unsupported_in

if TYPE_CHECKING:
    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World


def teardown(world: World, result: Result) -> None:
    """Let the production's script destroy it, ask what is left, and clear the machines away."""
    words = world.ask(secrecy.words)
    if not words and "infrastructure" in world.record.done:
        raise RehearsalError("the account has no secrets, so nobody can look for them: what has deleted them?")
    world.script("destroy_all.sh", *world.place, "--yes", "--json")
    world.tool("leftovers", *world.place, "--json")  # fails when there are some
    log = world.hosts.state.root / "aws.log"
    unsupported = unsupported_in(log.read_text(encoding="utf-8", errors="replace"))
    functions.stop(world)
    keep_logs(world)
    read = secrecy.search(words, [world.directory])
    functions.forget(world)
    remains = world.hosts.down()
    if unsupported:
        raise RehearsalError(f"what stands in for AWS could not answer: {'; '.join(unsupported)}")
    result.counts = {
        "left in the account": "nothing",
        "left on this machine": f"nothing, looked for in {len(remains.places)} kinds of places",
        "passwords and keys outside Secrets Manager": f"none of {len(words)}, looked for in {read:,} files",
        "calls that the stand-in for AWS could not answer": "none",
    }


def clear(world: World) -> None:
    """End and delete all that runs, and the state of what was deployed with it; logs and results stay."""
    if not world.hosts.state.root.is_dir():
        return  # nothing was ever begun here, and this need not be a system on which it could
    keep_logs(world)
    functions.forget(world)
    world.hosts.down()


def keep_logs(world: World) -> None:
    """Copy what is deleted with the machines: the logs of what stands in for AWS, and the machines' consoles."""
    state = world.hosts.state
    world.logs.mkdir(parents=True, exist_ok=True)
    for path in state.root.glob("*.log"):
        shutil.copyfile(path, world.logs / path.name)
    for path in state.guests.glob("*/console.log"):
        shutil.copyfile(path, world.logs / f"console-{path.parent.name}.log")

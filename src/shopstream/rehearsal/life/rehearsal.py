"""Runs the phases, one after the other, and remembers how each went."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shopstream.errors import ShopstreamError, UsageError
from shopstream.rehearsal.hosts.state import locked
from shopstream.rehearsal.life import changing, deploying, ending, flowing, hurting, preparing
from shopstream.rehearsal.life.phases import GROUND, LAST, NAMES, chosen
from shopstream.rehearsal.life.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shopstream.rehearsal.life.world import World

RUNS: Mapping[str, Callable[[World, Result], None]] = {
    "needs": preparing.needs,
    "supplies": preparing.supplies,
    "zips": preparing.zips,
    "ground": preparing.ground,
    "infrastructure": deploying.infrastructure,
    "boot": deploying.boot,
    "firewall": deploying.firewall,
    "configure": deploying.configure,
    "poll": flowing.poll,
    "flow": flowing.flow,
    "judge": flowing.judge,
    "faults": hurting.faults,
    "change": changing.change,
    "teardown": ending.teardown,
}
"""What each phase does. It fills in what it has counted, and raises ShopstreamError when it fails."""


class Rehearsal:
    """A deployment's whole life on this machine.

    Args:
        world: Where.
        told: Told when a phase begins (its result so far, with no time) and when it has ended.
        runs: What each phase does.
    """

    def __init__(
        self,
        world: World,
        told: Callable[[Result, bool], None] = lambda *_: None,
        runs: Mapping[str, Callable[[World, Result], None]] = RUNS,
    ) -> None:
        self.world = world
        self._told = told
        self._runs = runs

    def run(self, *, begin: str | None = None, only: str | None = None, keep: bool = False) -> bool:
        """Run phases, until one fails.

        Args:
            begin: Go on from this one with what an earlier, kept rehearsal has left.
            only: Run this one alone, on the same; what stands is kept.
            keep: Leave everything up at the end, also of a failure.

        Returns:
            Whether all of them succeeded.

        Raises:
            UsageError: There is no such phase, or another rehearsal is at work in the same directory.
            RehearsalError: What a phase stands on is not there.
            KeyboardInterrupt: Ctrl-C; without `keep` everything is cleared away first.
        """
        directory = self.world.directory
        directory.mkdir(parents=True, exist_ok=True)

        def refused(pid: str) -> UsageError:
            return UsageError(
                f"another `shopstream rehearse` (pid {pid}) is at work in {directory}: wait until it has ended, or "
                "choose another directory with SHOPSTREAM_HOME"
            )

        with locked(directory / "lock", refused):
            return self._run(begin=begin, only=only, keep=keep)

    def _run(self, *, begin: str | None, only: str | None, keep: bool) -> bool:
        world = self.world
        phases = chosen(begin=begin, only=only, keep=keep, done=world.record.done)
        stays = keep or only is not None
        if begin is None and only is None:
            ending.clear(world)
            world.record = Record(world.record.path)
        world.logs.mkdir(parents=True, exist_ok=True)
        ok = False
        try:
            ok = all(self._phase(phase.name) for phase in phases)
        finally:
            if not stays and not (ok and phases[-1].name == LAST):
                world.log = world.logs / "clearing.log"
                world.progress("clearing away")
                ending.clear(world)
        return ok

    def _phase(self, name: str) -> bool:
        world = self.world
        log = world.logs / f"{NAMES.index(name) + 1:02d}-{name}.log"
        log.write_text("", encoding="utf-8")
        world.log = log
        if name == GROUND:
            world.record.forget(NAMES[NAMES.index(GROUND) :])
        result = Result(name, time.time(), log=str(log))
        self._told(result, False)
        began = time.monotonic()
        try:
            self._runs[name](world, result)
            result.ok = True
        except ShopstreamError as error:
            result.error = str(error)
        except BaseException as error:
            result.error = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
            raise
        finally:
            result.seconds = time.monotonic() - began
            if result.error:
                world.tell(f"failed: {result.error}")
            world.record.put(result)
            self._told(result, True)
        return result.ok

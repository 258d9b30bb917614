"""Where everything of a rehearsal lies, and how a program is run in one of its phases."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, TypeVar

from shopstream.aws.following import end
from shopstream.errors import RehearsalError
from shopstream.rehearsal.clients import client_of
from shopstream.rehearsal.hosts import Hosts, processes
from shopstream.rehearsal.hosts.namespace import Namespace
from shopstream.rehearsal.hosts.plan import OPERATOR, PREFIX
from shopstream.rehearsal.life.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from shopstream.rehearsal.hosts.plan import Plan

T = TypeVar("T")

DEPLOYMENT = "shopstream"
REGION = "us-east-1"
ADMIN_CIDR = "203.0.113.7/32"
"""The operator's address, as the world would see it (RFC 5737)."""

_STOP_S = 90.0  # Terraform saves its state meanwhile
_LOOK_S = 0.25
_LAST_WORDS = 12


class World:
    """One rehearsal's paths, machines and programs.

    Args:
        source: The checkout that is rehearsed.
        home: Shopstream's state directory.
        cache: Where image, packages and runtimes are kept.
        environ: The environment of this process.
        progress: Told in a line what is being done.
    """

    def __init__(
        self, source: Path, home: Path, cache: Path, environ: Mapping[str, str], progress: Callable[[str], None]
    ) -> None:
        self.source = source.absolute()
        self.home = home.absolute()
        self.cache = cache.absolute()
        self.directory = self.home / "life"
        self.site = self.directory / "site"
        self.logs = self.directory / "logs"
        self.functions = self.directory / "functions"
        self.record = Record.read(self.directory)
        self.environ = dict(environ)
        self.progress = progress
        self.hosts = Hosts(self.home, cache=self.cache, progress=self.tell)
        self.log: Path | None = None

    # Places

    @property
    def infra(self) -> Path:
        """Terraform's root module of the site, with its state."""
        return self.site / "infra" / "terraform"

    @property
    def playbooks(self) -> Path:
        """Ansible's."""
        return self.site / "infra" / "ansible"

    @property
    def zips(self) -> Path:
        """The functions' zips."""
        return self.site / "build" / "lambdas"

    @property
    def providers(self) -> Path:
        """Terraform's providers, in the versions that the checkout asks for."""
        wanted = (self.source / "infra" / "terraform" / "versions.tf").read_bytes()
        return self.cache / f"terraform-providers-{hashlib.sha256(wanted).hexdigest()[:12]}"

    @property
    def namespace(self) -> Namespace:
        """The machines' network."""
        return Namespace(f"{PREFIX}{self.hosts.state.tag}")

    @property
    def plan(self) -> Plan:
        """The machines.

        Raises:
            RehearsalError: There is not even their ground.
        """
        record = self.hosts.state.read()
        if record is None or self.namespace.identity is None:
            raise RehearsalError(f"nothing stands in {self.hosts.state.root}: rehearse without --from and --only")
        return record.plan

    @property
    def place(self) -> list[str]:
        """What every command of `python -m shopstream.aws` is told."""
        return ["--directory", str(self.infra), "--topology", str(self.site / "topology.yaml")]

    # Telling

    def tell(self, text: str) -> None:
        """Put a line into the phase's log."""
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    # Running

    def script(self, name: str, *arguments: str, within: float = 1800.0) -> str:
        """Run one of the production's scripts as the operator; what it printed.

        Args:
            name: The script's, without directory.
            arguments: Its arguments.
            within: Seconds.

        Raises:
            RehearsalError: It failed, with its last words.
        """
        return self.call([str(self.source / "scripts" / name), *arguments], within=within)

    def tool(self, name: str, *arguments: str, within: float = 600.0) -> str:
        """The same for a command of `python -m shopstream.aws`."""
        return self.call([sys.executable, "-m", "shopstream.aws", name, *arguments], within=within)

    def call(
        self,
        command: Sequence[str],
        *,
        inside: bool = True,
        within: float = 600.0,
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program; what it printed. What else it says goes into the phase's log.

        Args:
            command: The program and its arguments.
            inside: Whether in the machines' network, with what stands in for AWS.
            within: Seconds; then it is ended, and that is an error.
            more: More environment variables.

        Raises:
            RehearsalError: It failed, with its last words.
        """
        if inside:
            line, environment = self.hosts.command(OPERATOR, command)
        else:
            line, environment = list(command), dict(self.environ)
        # Where clearing away finds them: Ansible's own place would be the user's home directory.
        sockets = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.hosts.state.sockets)}
        environment = {**environment, **self._terraform(), **sockets, **(more or {})}
        self.tell(f"$ {' '.join(command)}")
        with tempfile.TemporaryFile() as printed, (self.log or self.directory / "log").open("ab") as said:
            began = said.tell()
            # A group of its own: a terminal sends Ctrl-C to all of them, and each shall be told once.
            child = subprocess.Popen(
                line,
                cwd=self.source,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=said,
                process_group=0,
            )
            try:
                code = child.wait(within)
            except subprocess.TimeoutExpired:
                end(child, _STOP_S)
                raise RehearsalError(
                    f"`{' '.join(command[:3])} …` was ended after {within:.0f} s: see {self.log}"
                ) from None
            except BaseException:
                end(child, _STOP_S)
                raise
            printed.seek(0)
            out = printed.read()
            said.write(out)
        text = out.decode(errors="replace")
        if code != 0:
            raise RehearsalError(f"`{_short(command)}` ended with {code}:\n{self._last_words(began, text)}")
        return text

    def _last_words(self, began: int, printed: str) -> str:
        assert self.log is not None  # noqa: S101 - a phase runs
        with self.log.open("rb") as file:
            file.seek(began)
            said = file.read().decode(errors="replace").splitlines()
        errors = [line for line in said if line.startswith("error: ")]
        different = []
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(printed)
            different = [f"still there: {each}" for each in found.get("left") or ()]
            wrong = [each for each in found.get("checks") or () if not each["ok"]]
            different += [f"{each['what']}: {each['found']}, expected: {each['wanted']}" for each in wrong]
        return "\n".join(errors + different[:_LAST_WORDS] or said[-_LAST_WORDS:])

    def _terraform(self) -> dict[str, str]:
        """Where Terraform finds its provider, which it cannot fetch from within."""
        if self.environ.get("TERRAFORM_PLUGIN_MIRROR") or self.environ.get("TF_CLI_CONFIG_FILE"):
            return {}
        return {"TERRAFORM_PLUGIN_MIRROR": str(self.providers)} if self.providers.is_dir() else {}

    # Asking what stands in for AWS

    @property
    def endpoint(self) -> str:
        """Its address, in the machines' network."""
        found = self.hosts.state.environment().get("AWS_ENDPOINT_URL")
        if not found:
            raise RehearsalError("nothing stands in for AWS: rehearse without --from and --only")
        return found

    def ask(self, question: Callable[[Callable[[str], Any]], T]) -> T:
        """Ask the API.

        Args:
            question: Gets what makes a client for a service, and is called where the clients reach it.
        """
        endpoint = self.endpoint
        clients: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in clients:
                clients[service] = client_of(service, endpoint, REGION)
            return clients[service]

        try:
            return self.namespace.call(lambda: question(client))
        finally:
            for each in clients.values():
                each.close()

    def outputs(self) -> dict[str, Any]:
        """Terraform's outputs, from its state."""
        state = json.loads((self.infra / "terraform.tfstate").read_text(encoding="utf-8"))
        return {name: each["value"] for name, each in state["outputs"].items()}


def wait_for(done: Callable[[], bool], seconds: float, otherwise: Callable[[], str]) -> float:
    """Wait until something is true; for how many seconds it was waited.

    Args:
        done: Whether it is.
        seconds: The limit.
        otherwise: The error's text.

    Raises:
        RehearsalError: It was not in time.
    """
    began = time.monotonic()
    if not processes.wait_until(done, seconds, pause=_LOOK_S):
        raise RehearsalError(otherwise())
    return time.monotonic() - began


def _short(command: Sequence[str]) -> str:
    words = [word.rpartition("/")[2] if "/" in word else word for word in command]
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")

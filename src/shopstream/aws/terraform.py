"""Runs Terraform on infra/terraform: live output, a log file, time limits, and Ctrl-C that lets it save its state."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream.aws.following import Follower
from shopstream.errors import DeploymentError, ShopstreamError, UsageError
from shopstream.interrupts import Terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OLDEST = (1, 11)
"""Write-only attributes, which keep the passwords out of the state, came with Terraform 1.11."""

MIRROR_VARIABLE = "TERRAFORM_PLUGIN_MIRROR"
INIT_LIMIT_S = 600.0
PLAN_LIMIT_S = 900.0
APPLY_LIMIT_S = 3600.0
DESTROY_LIMIT_S = 5400.0
SAVE_LIMIT_S = 600.0
"""How long Terraform may take, once interrupted, to finish what it is doing and save its state."""

_POLL_S = 0.1
_TRACES = "TF_LOG"
"""How all variables begin with which Terraform or the provider writes out what it sends, a secret's value too."""
_LOCK = ("-lock-timeout=15s",)
_AT_ONCE = ("-parallelism=20",)
"""Most of what is made or destroyed is waited for: with Terraform's ten, some instances wait for others."""
_CHANGES = 2  # what `plan -detailed-exitcode` says when there is something to do
_LOCKED = "Error acquiring the state lock"
_LOCK_ID = re.compile(r"^[│|\s]*ID:\s+(\S+)", re.MULTILINE)
_ERROR = re.compile(r"^[│╷|\s]*Error: (.+)$", re.MULTILINE)
_REFUSED = "Invalid value for variable"
_RULE = re.compile(r"^This was checked by the validation rule", re.MULTILINE)


class Terraform:
    """Terraform in one working directory.

    Its output goes to a file, and from there to `tell`: should this process be killed, Terraform still has somewhere
    to write, goes on, and saves its state. It has a process group of its own, because a terminal sends Ctrl-C to the
    whole group, and an interrupt that reaches Terraform twice makes it give up without saving.

    Args:
        directory: The root module.
        log: Gets everything that Terraform says, one run after the other.
        environ: The environment to run in. `TERRAFORM_PLUGIN_MIRROR` in it names a directory to take providers from.
        tell: Gets each line of output.
        state: A file for the state instead of `terraform.tfstate` in the directory; for the local backend only.
        program: Which Terraform to run.
    """

    def __init__(
        self,
        directory: Path,
        *,
        log: Path,
        environ: Mapping[str, str],
        tell: Callable[[str], None],
        state: Path | None = None,
        program: str = "terraform",
    ) -> None:
        self.directory = directory
        self.log = log
        self.state = state.absolute() if state else None
        self._environ = environ
        self._tell = tell
        self._program = program

    def check(self) -> None:
        """See that a Terraform is there that can do what is needed.

        Raises:
            DeploymentError: there is none, or it is too old.
        """
        remedy = "install Terraform 1.11 or later (https://developer.hashicorp.com/terraform/install)"
        if shutil.which(self._program, path=self._environ.get("PATH")) is None:
            raise DeploymentError(f"{self._program} is not on the PATH: {remedy}")
        answer = self._ask("version", "-json")
        try:
            version = str(json.loads(answer)["terraform_version"])
            numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2])
        except (ValueError, KeyError, TypeError) as error:
            raise DeploymentError(f"`{self._program} version` gave no version: {remedy}") from error
        if numbers < OLDEST:
            raise DeploymentError(f"Terraform {version} is too old, its state would hold the passwords: {remedy}")

    def init(self, backend: Sequence[str] = (), *, limit_s: float = INIT_LIMIT_S) -> None:
        """Fetch the provider and open the state. `backend` holds `-backend-config` values."""
        self._run("init", *(f"-backend-config={each}" for each in backend), limit_s=limit_s)

    def plan(
        self,
        out: Path,
        *,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
        destroy: bool = False,
        limit_s: float = PLAN_LIMIT_S,
    ) -> bool:
        """Write a plan.

        Args:
            out: The file for it.
            variables: Terraform variables by name; they win over every file and over the environment.
            secrets: Variables that must not stand in a list of processes: they go through the environment.
            destroy: Whether to plan the end of everything.
            limit_s: Seconds that it may take.

        Returns:
            Whether there is anything to do.
        """
        options = ["-destroy"] if destroy else []
        options += ["-detailed-exitcode", f"-out={out}", *_LOCK, *self._state(), *_options(variables)]
        return self._run("plan", *options, secrets=secrets, limit_s=limit_s, good=(0, 2)) == _CHANGES

    def apply(self, plan: Path, *, secrets: Mapping[str, str], limit_s: float = APPLY_LIMIT_S) -> None:
        """Carry out a plan. Ephemeral variables are in no plan: they must be given once more.

        The first Ctrl-C waits until it is done. An interrupted Terraform has its provider break off the calls that are
        under way, so what AWS is just making is missing from the state, and a second apply finds it in its way.
        SIGTERM does not wait: SIGKILL follows it, and then Terraform would not even save its state.
        """
        self._run("apply", *_LOCK, *_AT_ONCE, *self._state(), str(plan), secrets=secrets, limit_s=limit_s, whole=True)

    def destroy(
        self, *, variables: Mapping[str, str], secrets: Mapping[str, str], limit_s: float = DESTROY_LIMIT_S
    ) -> None:
        """Destroy everything that the state knows."""
        options = ["-auto-approve", *_LOCK, *_AT_ONCE, *self._state(), *_options(variables)]
        self._run("destroy", *options, secrets=secrets, limit_s=limit_s)

    def outputs(self) -> dict[str, Any]:
        """The root module's outputs by name. Empty before the first apply."""
        found = json.loads(self._ask("output", "-json", *self._state()) or "{}")
        return {name: output["value"] for name, output in found.items()}

    def planned(self, plan: Path) -> dict[str, Any]:
        """A plan as data (`terraform show -json`)."""
        shown: dict[str, Any] = json.loads(self._ask("show", "-json", str(plan)))
        return shown

    def state_data(self) -> dict[str, Any]:
        """The whole state as data; empty when there is none yet.

        Raises:
            UsageError: the file that was named for it is none.
        """
        if self.state:
            return read_state_file(self.state)
        data: dict[str, Any] = json.loads(self._ask("state", "pull").strip() or "{}")
        return data

    def _state(self) -> tuple[str, ...]:
        return (f"-state={self.state}",) if self.state else ()

    def _run(
        self,
        command: str,
        *arguments: str,
        limit_s: float,
        secrets: Mapping[str, str] | None = None,
        good: tuple[int, ...] = (0,),
        whole: bool = False,
    ) -> int:
        line = [self._program, command, "-input=false", "-no-color", *arguments]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        # Another handle reads what is written here; nobody else may, since a log tells much about an account.
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as writer, self.log.open("rb") as reader, self._settings() as environment:
            shown = (word.partition("\n")[0] for word in line)  # of a certificate, the first line is enough
            writer.write(f"\n$ {' '.join(shown)}\n".encode())
            writer.flush()
            reader.seek(0, os.SEEK_END)
            if secrets:
                environment = {name: value for name, value in environment.items() if not name.startswith(_TRACES)}
            child = subprocess.Popen(
                line,
                cwd=self.directory,
                env={**environment, **{f"TF_VAR_{name}": value for name, value in (secrets or {}).items()}},
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            said = Follower(reader, self._tell)
            code = self._wait(child, command, limit_s, said, whole=whole)
        if code not in good:
            raise self._failure(command, code, said.text)
        return code

    def _wait(
        self, child: subprocess.Popen[bytes], command: str, limit_s: float, said: Follower, *, whole: bool
    ) -> int:
        deadline = time.monotonic() + limit_s
        interrupt: KeyboardInterrupt | None = None
        while True:
            try:
                said.follow()
                if (code := child.poll()) is not None:
                    break
                if time.monotonic() > deadline:
                    self._end(child, said)
                    raise DeploymentError(
                        f"`terraform {command}` was stopped after {limit_s:.0f} s; its state is saved as far as it "
                        f"came. Look into {self.log}, then call the same command again, it goes on from there"
                    )
                time.sleep(_POLL_S)
            except KeyboardInterrupt as error:
                if whole and interrupt is None and not isinstance(error, Terminated):
                    interrupt = error
                    self._tell(
                        "interrupted: Terraform completes this apply first, some minutes at most, so that its state "
                        "knows all that AWS makes; then it ends. Ctrl-C once more breaks it off"
                    )
                    continue
                self._tell("interrupted: Terraform finishes what it is doing and saves its state; please wait")
                self._end(child, said)
                if whole:
                    self._tell(
                        "what AWS was just making may be missing from the state, and in the way of the next call: "
                        "`python -m shopstream.aws leftovers` lists what is there"
                    )
                raise
        said.follow()
        if interrupt is not None and code == 0:  # a failure is told as one
            raise interrupt
        return code

    def _end(self, child: subprocess.Popen[bytes], said: Follower) -> None:
        """Interrupt Terraform once, and wait however often the user repeats the interrupt."""
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + SAVE_LIMIT_S
        while child.poll() is None:
            try:
                said.follow()
                if time.monotonic() > deadline:
                    # Its providers are children in its group, and go with it.
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
                    raise DeploymentError(
                        f"Terraform did not end within {SAVE_LIMIT_S:.0f} s of the interrupt and was killed: its "
                        f"state may lack what was made last. Compare with `destroy --dry-run`; the log is {self.log}"
                    )
                time.sleep(_POLL_S)
            except KeyboardInterrupt:
                self._tell("Terraform is still saving its state; please wait")
        said.follow()

    def _failure(self, command: str, code: int, text: str) -> ShopstreamError:
        if _LOCKED in text:
            found = _LOCK_ID.search(text)
            unlock = f" (`terraform force-unlock {found[1]}` in {self.directory})" if found else ""
            return DeploymentError(
                "another Terraform works on this deployment's state, and holds its lock: wait until it has ended. "
                f"If it has died without letting go, take the lock away{unlock}, and call again"
            )
        errors = list(dict.fromkeys(_ERROR.findall(text)))
        if errors == [_REFUSED] and (refused := refusals(text)):
            return UsageError(f"{'; '.join(refused)} (all variables: {self.directory / 'variables.tf'})")
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            what = f"{errors[0]}{more}"
        else:
            what = f"exit code {code}"
        return DeploymentError(
            f"`terraform {command}` failed: {what}. The whole text is in {self.log}; mend the cause and call again, "
            "it goes on from where it is"
        )

    def _ask(self, *arguments: str) -> str:
        """Run a command that only reads, and return what it prints."""
        with self._settings() as environment:
            try:
                answer = subprocess.run(
                    [self._program, *arguments],
                    cwd=self.directory,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=PLAN_LIMIT_S,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise DeploymentError(f"`terraform {arguments[0]}` cannot be run: {error}") from error
        if answer.returncode != 0:
            raise self._failure(arguments[0], answer.returncode, answer.stderr + answer.stdout)
        return answer.stdout

    @contextlib.contextmanager
    def _settings(self) -> Iterator[dict[str, str]]:
        """The environment, with a CLI configuration for the mirror when there is one."""
        environment = {**self._environ, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        mirror = environment.get(MIRROR_VARIABLE)
        if not mirror:
            yield environment
            return
        with tempfile.TemporaryDirectory(prefix="shopstream-terraform-") as made:
            file = Path(made) / "terraform.tfrc"
            file.write_text(
                f"provider_installation {{\n  filesystem_mirror {{\n    path = {json.dumps(mirror)}\n  }}\n}}\n",
                encoding="utf-8",
            )
            yield {**environment, "TF_CLI_CONFIG_FILE": str(file)}


def refusals(text: str) -> list[str]:
    """What the validation rules of variables say in Terraform's output, one line for each variable that is refused.

    Terraform breaks the lines; between the value that was found and the name of the rule stands the rule's own message.
    """
    found = []
    for block in re.split(r"^Error: ", text, flags=re.MULTILINE)[1:]:
        said = _RULE.split(block)
        if block.startswith(_REFUSED) and len(said) == 2:
            paragraphs = said[0].strip().split("\n\n")
            found.append(" ".join(paragraphs[-1].split()))
    return list(dict.fromkeys(found))


def read_state_file(path: Path) -> dict[str, Any]:
    """A local state; empty when there is none yet.

    Raises:
        UsageError: The file holds something else.
    """
    remedy = "name the file of Terraform's state"
    if not path.exists():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8").strip() or "{}")
    except (OSError, ValueError) as error:
        raise UsageError(f"--state {path} cannot be read as a state ({error}): {remedy}") from error
    if not isinstance(data, dict):
        raise UsageError(f"--state {path} holds no state: {remedy}")
    return data


def _options(variables: Mapping[str, str]) -> list[str]:
    return [f"-var={name}={value}" for name, value in variables.items()]

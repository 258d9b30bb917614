"""Runs Ansible's playbooks on a deployment's hosts: writes the inventory, then the playbooks in their order."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream.aws import inventory
from shopstream.aws.following import Follower, end
from shopstream.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

PLAYBOOKS = ("reachable.yml", "site.yml", "verify.yml")
"""In this order: wait for the hosts, make a cluster of them, look at what it does."""
JUDGE = "judge.yml"
LIMIT_S = 3600.0
STOP_S = 60.0
"""How long Ansible may take, once interrupted, before it is killed."""

_POLL_S = 0.1
_FAILED = re.compile(r"^(?:fatal: |failed: |ERROR! |\[ERROR\]: )(.+)$", re.MULTILINE)
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[", re.MULTILINE)
_SHOWN, _MOST = 400, 3  # characters of a failure, and how many of them; the log has the rest


@dataclass(frozen=True)
class Ansible:
    """The playbooks, for one deployment.

    Attributes:
        directory: Where the playbooks are; the inventory is written there.
        environments: Where to look for `.venv-ansible`, before the PATH.
        log: Gets everything that Ansible says, one run after the other.
        environ: The environment to run in.
        tell: Gets each line of output.
        private_key: The SSH key to log in with; None for what SSH finds itself.
        variables: Given to every playbook, for example where the topology is.
        limit_s: Seconds that each playbook may take.
    """

    directory: Path
    environments: Path
    log: Path
    environ: Mapping[str, str]
    tell: Callable[[str], None]
    private_key: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    limit_s: float = LIMIT_S

    def check(self) -> None:
        """See that everything is there, before anything is made that costs money.

        Raises:
            DeploymentError: There is no Ansible, or there are no playbooks.
            UsageError: There is no such key.
        """
        self._program()
        lacking = [name for name in PLAYBOOKS if not (self.directory / name).is_file()]
        if lacking:
            raise DeploymentError(
                f"{self.directory} has no {' and no '.join(lacking)}: say --infrastructure-only, and make a cluster of "
                "the hosts yourself"
            )
        if self.private_key and not self.private_key.is_file():
            raise UsageError(f"--ssh-private-key {self.private_key}: there is no such file")

    def configure(self, outputs: Mapping[str, Any]) -> None:
        """Make a cluster of the hosts, and verify it. Doing it again changes nothing.

        Args:
            outputs: Terraform's outputs by name.

        Raises:
            DeploymentError: A playbook failed; a second call goes on from there.
        """
        self.check()
        file = self._inventory(outputs)
        # One process: it keeps its connections and what the preflight has read, and ends where a playbook fails.
        self._run(PLAYBOOKS, file, self._environment(outputs))

    def judge(self, outputs: Mapping[str, Any], *, patience_s: float) -> dict[str, Any]:
        """Ask the hosts how the shop does. Nothing is changed.

        Args:
            outputs: Terraform's outputs by name.
            patience_s: How long an order may be without news before what it lacks is an anomaly.

        Returns:
            What judge.yml found: `audit`, `targets`, `control_center`.

        Raises:
            DeploymentError: They could not be asked.
        """
        file = self._inventory(outputs)
        with tempfile.TemporaryDirectory(prefix="shopstream-judge-") as folder:
            found = Path(folder) / "found.json"
            more = {"judge_file": str(found), "judge_patience_seconds": patience_s}
            self._run((JUDGE,), file, self._environment(outputs), more)
            data: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
        return data

    def _inventory(self, outputs: Mapping[str, Any]) -> Path:
        file = self.directory / "inventory.ini"
        file.write_text(inventory.render(outputs, private_key=self.private_key), encoding="utf-8")
        return file

    def _program(self) -> str:
        found = program([self.environments], self.environ.get("PATH"))
        if not found:
            raise DeploymentError(
                "there is no ansible-playbook: `make .venv-ansible/.ready` installs what requirements-ansible.txt "
                "pins; or say --infrastructure-only to bring up the bare hosts"
            )
        return found

    def _environment(self, outputs: Mapping[str, Any]) -> dict[str, str]:
        # Behind two bastions, two deployments have the same addresses: they must not share SSH's connections. The
        # name of a socket may have 104 characters on some systems, so it stays short.
        apart = hashlib.sha256(f"{self.directory} {outputs.get('deployment')} {outputs.get('vpc_id')}".encode())
        return {
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"~/.ansible/cp/{apart.hexdigest()[:8]}",
            **self.environ,  # who has said where they lie, keeps them there
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "true",
            "AWS_REGION": str(outputs.get("region")),
            "PYTHONUNBUFFERED": "1",
        }

    def _run(
        self,
        playbooks: Sequence[str],
        file: Path,
        environment: Mapping[str, str],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        called = f"ansible-playbook {' '.join(playbooks)}"
        self.tell(called)
        line = [self._program(), "-i", str(file), *playbooks]
        variables = {**self.variables, **(more or {})}
        line += ["-e", json.dumps(variables)] if variables else []
        self.log.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as writer, self.log.open("rb") as reader:
            writer.write(f"\n$ {' '.join(line)}\n".encode())
            writer.flush()
            reader.seek(0, os.SEEK_END)
            said = Follower(reader, self.tell)
            # A group of its own: a terminal sends Ctrl-C to the whole group, and Ansible is told once, here.
            child = subprocess.Popen(
                line,
                cwd=self.directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            code = self._wait(child, called, said, self.limit_s * len(playbooks))
        if code != 0:
            raise self._failure(called, code, said.text)

    def _wait(self, child: subprocess.Popen[bytes], called: str, said: Follower, limit_s: float) -> int:
        deadline = time.monotonic() + limit_s
        try:
            while child.poll() is None and time.monotonic() < deadline:
                said.follow()
                time.sleep(_POLL_S)
        finally:
            late = child.poll() is None
            if late:
                end(child, STOP_S)  # with its SSH connections
            said.follow()
        if late:
            raise DeploymentError(
                f"`{called}` was stopped after {limit_s:.0f} s: look into {self.log}, then "
                "call again, it goes on from there"
            )
        return child.returncode

    def _failure(self, called: str, code: int, text: str) -> DeploymentError:
        # What failed before the last task that did was rescued, and that task tells why.
        by_task = [_FAILED.findall(part) for part in _TASK.split(text)]
        failed = list(dict.fromkeys(next((found for found in reversed(by_task) if found), [])))
        failures = [each for each in failed if not each.rstrip().endswith("=>")] or failed  # those that say why
        # Hosts fail of different causes, and the first one told may be the least of them.
        what = "; also: ".join(each[:_SHOWN] for each in failures[:_MOST]) or f"exit code {code}"
        more = f" (and {len(failures) - _MOST} more)" if len(failures) > _MOST else ""
        return DeploymentError(
            f"`{called}` failed: {what}{more}. The whole text is in {self.log}; mend the cause and "
            "call again, it goes on from where it is. Lambda does not poll the brokers before this succeeds"
        )


def program(environments: Iterable[Path], path: str | None) -> str | None:
    """Find ansible-playbook.

    Args:
        environments: Where to look for `.venv-ansible` first.
        path: The PATH to look through then; None for that of this process.

    Returns:
        What to call; None if it is not there.
    """
    for place in environments:
        own = place / ".venv-ansible" / "bin" / "ansible-playbook"
        if own.is_file():
            return str(own)
    return shutil.which("ansible-playbook", path=path)

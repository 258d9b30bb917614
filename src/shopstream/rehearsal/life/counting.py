"""What was run of what is declared: Terraform's resources, Ansible's tasks. From files."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import ansible_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_RESOURCE = re.compile(r'^resource\s+"([a-z0-9_]+)"\s+"([a-z0-9_]+)"', re.MULTILINE)
_COUNT = re.compile(r"^\s*(?:count|for_each)\s*=\s*(.+)$", re.MULTILINE)
_BLOCKS = ("block", "rescue", "always")
OTHERS = {
    "rolling_restart.yml": "rolling_restart.yml is not part of a deployment; make test-faults runs it",
    "upgrade.yml": "upgrade.yml is not part of a deployment; make test-faults runs it",
    "rotate_certificates.yml": "rotate_certificates.yml is not part of a deployment; make test-faults runs it",
    "rotate_passwords.yml": "rotate_passwords.yml is not part of a deployment; make test-faults runs it",
}

_FOR_LATER = {"restart": "nothing that runs had other files than it has now: a first deployment restarts nothing"}
"""Files of tasks whose play had no host to work on."""


@dataclass(frozen=True)
class Counted:
    """What was run of what is declared.

    Attributes:
        what: "resources", or "tasks".
        declared: All, by name.
        run: Those that were run.
        reasons: Why the others were not.
        instances: Where one of them may be there many times: how many there are.
    """

    what: str
    declared: tuple[str, ...]
    run: tuple[str, ...]
    reasons: dict[str, str]
    instances: int = 0

    def line(self) -> str:
        """For people."""
        more = f" ({self.instances} instances)" if self.instances else ""
        unreasoned = sum(not reason for reason in self.reasons.values())
        rest = f", {len(self.reasons)} not, each with its reason" if self.reasons else ""
        rest += f" but for {unreasoned}" if unreasoned else ""
        return f"{len(self.run)} of {len(self.declared)} declared{more}{rest}"

    def require_reasons(self) -> None:
        """See that what was not run has a reason.

        Raises:
            RehearsalError: Something has none: nobody has seen it run, and nobody knows why.
        """
        if unknown := [name for name, reason in self.reasons.items() if not reason]:
            raise RehearsalError(f"{self.what} that were not run, for no reason that is known: {'; '.join(unknown)}")

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def resources(module: Path) -> Counted:
    """Terraform's resources: those that its files declare, and those that its state holds.

    Args:
        module: The root module, with terraform.tfstate.
    """
    declared: dict[str, str] = {}
    for path in sorted(module.glob("*.tf")):
        text = path.read_text(encoding="utf-8")
        for match in _RESOURCE.finditer(text):
            body = text[match.end() : text.find("\n}", match.end())]
            condition = _COUNT.search(body)
            declared[f"{match[1]}.{match[2]}"] = condition[1].strip() if condition else ""
    state = json.loads((module / "terraform.tfstate").read_text(encoding="utf-8"))
    held = {
        f"{each['type']}.{each['name']}": len(each["instances"])
        for each in state["resources"]
        if each["mode"] == "managed" and each["instances"]
    }
    return Counted(
        "resources",
        tuple(declared),
        tuple(name for name in declared if name in held),
        {
            name: f"with this configuration there are none of it: {condition}" if condition else ""
            for name, condition in declared.items()
            if name not in held
        },
        sum(held.values()),
    )


def tasks(playbooks: Path, logs: Path) -> Counted:
    """Ansible's tasks: those that playbooks and roles declare, and those that ran on a host.

    Args:
        playbooks: The directory.
        logs: A directory with ansible.log somewhere below.
    """
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sorted(logs.rglob("ansible.log")))
    ran, skipped = ansible_log.tasks(text)
    mine, all_of_them = _reached(playbooks), list(_declared(playbooks))
    # Files whose every inclusion was skipped, with the conditions.
    left_out: dict[tuple[str, str], list[str]] = {}
    for task in all_of_them:
        if task.leads_to:
            left_out.setdefault(task.leads_to, []).append("" if task.spoken & ran else task.condition)
    declared: dict[str, str] = {}
    run: list[str] = []
    reasons: dict[str, str] = {}
    for task in all_of_them:
        title = f"{task.place}: {task.name}"
        if title in run:
            continue  # two tasks of one name cannot be told apart in the log: they count as one
        declared[title] = task.condition
        if task.spoken & ran or (task.kind in {"include", "meta"} and task.spoken & skipped):
            run.append(title)
            reasons.pop(title, None)
        else:
            reasons[title] = _reason(task, bool(task.spoken & skipped), mine, left_out.get((task.place, task.file), []))
    return Counted("tasks", tuple(declared), tuple(run), reasons)


@dataclass(frozen=True)
class _Task:
    """A task of a playbook or a role.

    Attributes:
        place: The playbook's file name, or the role's name.
        file: The file's stem.
        name: Its name.
        condition: Its own and those of the blocks around it.
        kind: "task", "include", "handler", "rescue", or "meta", whose outcome the log never tells.
        leads_to: The role and the file's stem that it includes.
    """

    place: str
    file: str
    name: str
    condition: str
    kind: str
    leads_to: tuple[str, str] | None = None

    @property
    def spoken(self) -> set[str]:
        """What the log may call it: it names no role at `include_role`."""
        if self.place.endswith(".yml"):
            return {self.name}
        return {f"{self.place} : {self.name}"} | ({self.name} if self.kind == "include" else set())


def _reason(task: _Task, skipped: bool, mine: set[tuple[str, str]], inclusions: list[str]) -> str:
    """Why a task was not run; "" when there should be none.

    Args:
        task: The task.
        skipped: Whether the log has it as skipped.
        mine: The files that a deployment leads to.
        inclusions: Of each inclusion of its file the condition, when that was false everywhere.
    """
    if task.place in OTHERS:
        return OTHERS[task.place]
    if task.kind == "rescue":
        return "a rescue, and nothing failed"
    if task.kind == "handler":
        return "a handler that nothing notified"
    if skipped:
        return f"its condition was false on every host: {task.condition or 'that of what includes it'}"
    if task.place == "judge.yml":
        return "a part of --verify, which the phase judge runs"
    if not task.place.endswith(".yml") and (task.place, task.file) not in mine:
        return f"only {', '.join(sorted(OTHERS))} may call it: they are no part of a deployment"
    if task.file in _FOR_LATER:
        return _FOR_LATER[task.file]
    if inclusions and all(inclusions):
        return f"its file is included only where: {' or '.join(dict.fromkeys(inclusions))}"
    return f"not reached; its condition: {task.condition}" if task.condition else ""


def _reached(playbooks: Path) -> set[tuple[str, str]]:
    """The files of roles (role, stem) that a deployment's playbooks lead to."""
    found: set[tuple[str, str]] = set()
    for path in playbooks.glob("*.yml"):
        if path.name in OTHERS:
            continue
        text = path.read_text(encoding="utf-8")
        found |= {(role, "main") for role in re.findall(r"role: (\w+)", text)}
        found |= _roles_in(text)
    todo = list(found)
    while todo:
        role, stem = todo.pop()
        file = playbooks / "roles" / role / "tasks" / f"{stem}.yml"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        led = {(role, inner) for inner in re.findall(r"(?:include|import)_tasks: (\w+)\.yml", text)}
        led |= _roles_in(text)
        for meta in (playbooks / "roles" / role / "meta").glob("main.yml"):
            led |= {(name, "main") for name in re.findall(r"role: (\w+)", meta.read_text(encoding="utf-8"))}
        todo += led - found
        found |= led
    return found


def _roles_in(text: str) -> set[tuple[str, str]]:
    found = re.findall(r"_role:\s+name: (\w+)(?:\s+tasks_from: (\w+))?", text)
    return {(name, stem or "main") for name, stem in found}


def _declared(playbooks: Path) -> Iterator[_Task]:
    for path in sorted(playbooks.glob("*.yml")):
        for play in _yaml(path):
            for key in ("pre_tasks", "tasks", "post_tasks"):
                yield from _tasks(path.name, path.stem, play.get(key) or (), "", "task")
            yield from _tasks(path.name, path.stem, play.get("handlers") or (), "", "handler")
    for role in sorted((playbooks / "roles").iterdir()):
        for path in sorted(role.glob("tasks/**/*.yml")):
            yield from _tasks(role.name, path.stem, _yaml(path), "", "task")
        for path in sorted(role.glob("handlers/*.yml")):
            yield from _tasks(role.name, path.stem, _yaml(path), "", "handler")


def _tasks(place: str, file: str, listed: Iterable[Any], outer: str, kind: str) -> Iterator[_Task]:
    for task in listed:
        if not isinstance(task, dict):
            continue
        own = task.get("when", "")
        condition = " and ".join(
            filter(None, (outer, " and ".join(map(str, own)) if isinstance(own, list) else str(own)))
        )
        if any(key in task for key in _BLOCKS):
            for key in _BLOCKS:
                yield from _tasks(place, file, task.get(key) or (), condition, "rescue" if key == "rescue" else kind)
        elif "name" in task and not any(key.endswith(("import_role", "import_tasks")) for key in task):
            leads_to = _leads_to(place, task)
            kind_of = "include" if leads_to and kind == "task" else "meta" if "ansible.builtin.meta" in task else kind
            yield _Task(place, file, str(task["name"]), condition, kind_of, leads_to)


def _leads_to(place: str, task: dict[str, Any]) -> tuple[str, str] | None:
    for key, value in task.items():
        if key.endswith("include_tasks"):
            return place, str(value["file"] if isinstance(value, dict) else value).removesuffix(".yml")
        if key.endswith("include_role"):
            return str(value["name"]), str(value.get("tasks_from", "main"))
    return None


def _yaml(path: Path) -> list[Any]:
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found if isinstance(found, list) else []

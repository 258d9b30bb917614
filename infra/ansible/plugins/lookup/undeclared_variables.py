"""Which variables of the command line nobody has declared.

Ansible takes any `-e name=value`, so a slip of the pen changes nothing and says nothing. Declared is what stands in
group_vars, in a role's defaults or in its argument_specs.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = """
name: undeclared_variables
short_description: Variables of the command line that nobody has declared
description:
  - Returns one line for each, with the nearest declared name.
options:
  _terms:
    description: Directories that hold group_vars and roles.
    required: true
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ lookup('undeclared_variables', playbook_dir, wantlist=True) }}"
"""

RETURN = """
_raw:
  description: One line for each variable.
  type: list
  elements: str
"""


def declared(directory: Path) -> set[str]:
    """Names that a playbook directory declares.

    Args:
        directory: Holds group_vars and roles.

    Raises:
        AnsibleError: A file is no YAML.
    """
    names: set[str] = set()
    for file in [*directory.glob("group_vars/*.yml"), *directory.glob("roles/*/defaults/*.yml")]:
        names |= set(_read(file))
    for file in directory.glob("roles/*/meta/argument_specs.yml"):
        for entry in _read(file).get("argument_specs", {}).values():
            names |= set(entry.get("options", {}))
    return names


def complaints(given: set[str], known: set[str]) -> list[str]:
    """One line for each name that is not known, with the nearest that is.

    Args:
        given: Names of the command line.
        known: Declared names.
    """
    lines = []
    for name in sorted(given - known):
        near = difflib.get_close_matches(name, known, n=1)
        lines.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return lines


def _read(file: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise AnsibleError(f"{file} is no YAML: {error}") from error


class LookupModule(LookupBase):
    """`lookup('undeclared_variables', DIRECTORY...)`."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The lookup.

        Args:
            terms: Directories.
            variables: Ansible's; not used.
            kwargs: Options; there are none.
        """
        self.set_options(var_options=variables, direct=kwargs)
        known: set[str] = set()
        for term in terms:
            known |= declared(Path(term))
        given = set(load_extra_vars(self._loader)) if context.CLIARGS.get("extra_vars") else set()
        # Ansible itself may be told these on the command line.
        given = {name for name in given if not name.startswith("ansible_")}
        return complaints(given, known)

"""Puts several small files and directories in place in one round trip.

`ansible.builtin.template` in a loop takes two round trips for each file that is as it shall be, each of them a start of
Python on the host, and five for one that is not. With fifteen files on each of eight hosts, a run was made of that.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: place_files
short_description: Several small files and directories, in one round trip
description:
  - Makes each directory, and gives each file its content, owner and permissions, in the order given.
  - A file is written beside its place, gets its owner and permissions there, and then takes the place of the old one.
    So nobody sees half of it, and nobody sees it who may not.
options:
  entries:
    description:
      - What to put in place. An entry without O(entries[].content) is a directory; parents that are missing are made
        like it. A link to a directory is as good as one.
    required: true
    type: list
    elements: dict
    suboptions:
      path:
        description: Where.
        required: true
        type: path
      content:
        description: What the file holds.
        type: str
      mode:
        description: Permissions, where they are not those of all.
        type: str
  owner:
    description: Who owns all of them.
    required: true
    type: str
  group:
    description: Which group they belong to.
    required: true
    type: str
  mode:
    description: The permissions of those entries that say none.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""

EXAMPLES = """
- name: Write the configuration
  place_files:
    owner: zookeeper
    group: zookeeper
    mode: "0600"
    entries:
      - path: /etc/zookeeper
        mode: "0750"
      - path: /etc/zookeeper/zoo.cfg
        content: "{{ lookup('ansible.builtin.template', 'zoo.cfg.j2') }}"
"""

RETURN = """
changed_paths:
  description: What was made or changed.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """What Ansible calls on the host."""
    entry = {"path": {"type": "path", "required": True}, "content": {"type": "str"}, "mode": {"type": "str"}}
    module = AnsibleModule(
        argument_spec={
            "entries": {"type": "list", "elements": "dict", "required": True, "options": entry},
            "owner": {"type": "str", "required": True},
            "group": {"type": "str", "required": True},
            "mode": {"type": "str"},
        },
        supports_check_mode=True,
    )
    changed_paths, differences = [], []
    for each in module.params["entries"]:
        path, content = Path(each["path"]), each["content"]
        mode = each["mode"] or module.params["mode"]
        if mode is None:
            module.fail_json(msg=f"{path}: no mode is given, neither for it nor for all")
        try:
            old = _old(path, directory=content is None)
            new = None if content is None or old == content.encode() else content
            if new is not None:
                before = (old or b"").decode(errors="replace")
                differences.append(
                    {"before_header": str(path), "after_header": str(path), "before": before, "after": new}
                )
            if _put(module, path, new, mode, there=old is not None):
                changed_paths.append(str(path))
        except OSError as error:
            module.fail_json(msg=f"{path} could not be put in place: {error}", changed_paths=changed_paths)
    module.exit_json(changed=bool(changed_paths), changed_paths=changed_paths, diff=differences)


def _old(path: Path, *, directory: bool) -> bytes | None:
    """What is there: a file's content, nothing for a directory; None if nothing is there.

    Raises:
        OSError: It is something else, or cannot be read.
    """
    if directory and path.is_dir():  # or a link to one: data may lie on another disk
        return b""
    if not os.path.lexists(path):
        return None
    kind = "link" if path.is_symlink() else "directory" if path.is_dir() else "file"
    if directory or kind != "file":
        raise FileExistsError(f"there is a {kind}")
    return path.read_bytes()


def _put(module: AnsibleModule, path: Path, content: str | None, mode: str, *, there: bool) -> bool:
    """Write a file when there is content, else make a directory; whether anything was, or would be, changed."""
    if there and content is None:
        attributes = _attributes(module, path.resolve(), mode)
        return bool(module.set_fs_attributes_if_different(attributes, changed=False))
    if module.check_mode:
        return True
    if content is None:
        for each in reversed([path, *(parent for parent in path.parents if not parent.exists())]):
            each.mkdir(mode=0o700)
            module.set_fs_attributes_if_different(_attributes(module, each, mode), changed=True)
        return True
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # for nobody but us
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode())
            file.flush()
            os.fsync(file.fileno())
        module.set_fs_attributes_if_different(_attributes(module, Path(name), mode), changed=True)
        Path(name).replace(path)
    except BaseException:  # also the SystemExit by which a module fails
        Path(name).unlink(missing_ok=True)
        raise
    return True


def _attributes(module: AnsibleModule, path: Path, mode: str) -> dict[str, Any]:
    given = {**module.params, "path": str(path), "mode": mode}
    return dict(module.load_file_common_arguments(given))


if __name__ == "__main__":
    main()

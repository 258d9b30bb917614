"""Ansible's inventory from Terraform's outputs. Pure: a mapping in, a text out.

It is the one thing that infra/ansible knows about a deployment: who the hosts are, how to reach them, and under which
names Secrets Manager keeps what they need.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from shopstream.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

GROUPS = ("zookeeper", "kafka", "control_center", "monitoring", "bastion")
USER = "admin"
"""Who logs in: the user of Debian's images."""

_NUMBERS = {"zookeeper": "zookeeper_id", "kafka": "broker_id"}
"""The groups whose members have a number, and the variable for it."""
_KNOWN_HOSTS = "{{ inventory_dir }}/known_hosts"
"""Beside the inventory: AWS gives an address to one host after the other, which the user's own file would object to."""
_NEEDED = ("inventory", "deployment", "region", "vpc_cidr")


def parse(text: str, source: str) -> dict[str, Any]:
    """The outputs from what `terraform output -json` prints.

    Args:
        text: The JSON.
        source: Names it in messages.

    Raises:
        UsageError: It is something else.
    """
    try:
        outputs = {name: output["value"] for name, output in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(f"{source} is not what `terraform output -json` prints ({error!r}): write it anew") from error
    return outputs


def render(outputs: Mapping[str, Any], *, private_key: Path | None = None) -> str:
    """The inventory's text.

    Args:
        outputs: Terraform's outputs by name.
        private_key: The SSH key to log in with, here and at the bastion; None for what SSH finds itself.

    Raises:
        DeploymentError: The outputs lack what is needed.
    """
    lacking = [name for name in _NEEDED if not outputs.get(name)]
    if lacking:
        raise DeploymentError(
            f"Terraform's outputs lack {', '.join(lacking)}: nothing has been deployed yet, or by an older version. "
            "Bring the deployment up with scripts/deploy_all.sh --infrastructure-only"
        )
    hosts, bastion = outputs["inventory"], outputs.get("bastion_address")
    lines = ["# Written by `python -m shopstream.aws inventory` from Terraform's outputs; do not edit."]
    for group in GROUPS:
        lines += [f"[{group}]", *(_host(group, host) for host in hosts.get(group) or ()), ""]
    lines += ["[all:vars]", *_variables(outputs, bastion, private_key)]
    if bastion:
        # The way in leads through no other host.
        lines += ["", "[bastion:vars]", f"ansible_ssh_common_args={_arguments()}"]
    return "\n".join(lines) + "\n"


def _host(group: str, host: Mapping[str, Any]) -> str:
    public = host.get("public_ip")
    values = {
        "ansible_host": public or host["private_ip"],
        "private_ip": host["private_ip"],
        **({"public_ip": public} if public else {}),
        "instance_type": host["instance_type"],
    }
    if group in _NUMBERS:
        number = re.search(r"\d+$", host["name"])
        if number is None:
            raise DeploymentError(f"the host {host['name']!r} of group {group} has no number at its end")
        values[_NUMBERS[group]] = number[0]
    return " ".join((host["name"], *(f"{name}={value}" for name, value in values.items())))


def _variables(outputs: Mapping[str, Any], bastion: str | None, private_key: Path | None) -> Iterator[str]:
    yield f"ansible_user={USER}"
    if private_key:
        yield f"ansible_ssh_private_key_file={private_key}"
    yield f"ansible_ssh_common_args={_arguments(bastion, private_key)}"
    yield f"deployment={outputs['deployment']}"
    yield f"aws_region={outputs['region']}"
    yield f"vpc_cidr={outputs['vpc_cidr']}"


def _arguments(bastion: str | None = None, private_key: Path | None = None) -> str:
    """SSH's options, quoted for Ansible, which takes them apart as a shell would.

    The jump over the bastion is spelt out: ProxyJump would hand none of these options on to its own connection, and
    that one would ask about the bastion's host key, and try other keys than the one that was named.
    """
    arguments = f"-o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile=\"{_KNOWN_HOSTS}\"'"
    if bastion:
        key = f'-i "{private_key}" -o IdentitiesOnly=yes ' if private_key else ""
        jump = (
            f'ssh -q {key}-o StrictHostKeyChecking=accept-new -o "UserKnownHostsFile=\\"{_KNOWN_HOSTS}\\"" '
            f"-W %h:%p {USER}@{bastion}"
        )
        arguments += f" -o 'ProxyCommand={jump}'"
    return arguments

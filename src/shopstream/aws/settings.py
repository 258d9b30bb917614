"""What a deployment was asked for, kept beside Terraform's state so that nobody has to say it twice.

It is Terraform variables, none of them secret, in `.shopstream/NAME/settings.json` of the working directory. They are
handed to Terraform by its environment, the weakest of its sources: what terraform.tfvars or the command line says wins.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shopstream.cluster.home import write_private
from shopstream.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

NAME = re.compile(r"^[a-z][a-z0-9-]{0,22}[a-z0-9]$")
_RESERVED = ("sg-", "xn--", "sthree-", "amzn-s3-demo-")
"""What EC2 refuses as the beginning of a security group's name, and S3 of a bucket's."""
REGION = re.compile(r"^[a-z]{2,3}(-[a-z]+)+-[0-9]$")
OURS = frozenset({"name", "region", "kafka_passwords", "host_passwords", "kafka_ca_certificate", "secrets_version",
                  "topology_file", "zips_dir"})  # fmt: skip
"""Variables that this program sets itself."""

REQUIRED = {
    "admin_cidr": "--admin-cidr 203.0.113.7/32, the network that SSH is open to: your own address as the world sees it",
    "ssh_public_key": "--ssh-public-key ~/.ssh/id_ed25519.pub, the key that logs in (`ssh-keygen` makes one)",
}
"""Variables without a default, and how to say them."""


@dataclass
class Settings:
    """What was asked for the last time.

    Attributes:
        path: The file.
        given: Variables as they were given, by name, in Terraform's notation.
        effective: What they came to, files and defaults included, in the last plan that was carried out.
        private_key: Where the SSH key is that logs in to the hosts; None for what SSH finds itself.
    """

    path: Path
    given: dict[str, str] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    private_key: str | None = None

    @classmethod
    def read(cls, directory: Path, deployment: str) -> Settings:
        """Read them; empty when there are none.

        Raises:
            DeploymentError: The file is damaged.
        """
        path = folder(directory, deployment) / "settings.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, dict(data["given"]), dict(data["effective"]), data.get("private_key"))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeploymentError(
                f"{path} cannot be read ({error}): delete it, and give deploy its options again"
            ) from error

    def write(self) -> None:
        """Keep them."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {"given": self.given, "effective": self.effective, "private_key": self.private_key}
        write_private(self.path, json.dumps(data, indent=2, sort_keys=True) + "\n")

    def forget(self) -> None:
        """Delete them, when the deployment is gone."""
        self.path.unlink(missing_ok=True)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment with what was given before, except where it says something itself."""
        return {**{f"TF_VAR_{name}": value for name, value in self.given.items()}, **environ}


def folder(directory: Path, deployment: str) -> Path:
    """Where a deployment's settings and logs are, in Terraform's working directory. Git ignores it."""
    return directory / ".shopstream" / deployment


def check_name(name: str) -> str:
    """A deployment's name, if it is one.

    Raises:
        UsageError: It is not.
    """
    if not NAME.match(name):
        raise UsageError(
            f"--name {name!r}: a name has 2 to 24 lower-case letters, digits and hyphens, begins with a letter and "
            "does not end with a hyphen"
        )
    if name.startswith(_RESERVED):
        raise UsageError(f"--name {name!r}: EC2 or S3 refuses names that begin with {', '.join(_RESERVED)}")
    return name


def check_region(region: str) -> str:
    """A region's code, if it looks like one. Whether AWS has it, AWS tells.

    Raises:
        UsageError: It does not.
    """
    if not REGION.match(region):
        raise UsageError(f"--region {region!r}: an AWS region's code is expected, like us-east-1")
    return region


def parse_variables(pairs: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` pairs as a mapping.

    Raises:
        UsageError: One is no such pair, or names a variable that this program sets itself.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"--var {pair!r}: NAME=VALUE is expected, as in --var kafka_count=3")
        if name in OURS:
            raise UsageError(f"--var {name}: this variable is set by the program itself; see --help for its option")
        found[name] = value
    return found


def check_required(given: Mapping[str, str], environ: Mapping[str, str], directory: Path) -> None:
    """See that what has no default is said somewhere.

    Args:
        given: Variables by option, now or before.
        environ: The environment, where `TF_VAR_…` may say it.
        directory: Terraform's working directory, whose tfvars files may say it.

    Raises:
        UsageError: Something is not said.
    """
    files = [directory / "terraform.tfvars", directory / "terraform.tfvars.json", *directory.glob("*.auto.tfvars*")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    lacking = [
        option
        for name, option in REQUIRED.items()
        if name not in given
        and f"TF_VAR_{name}" not in environ
        and not re.search(rf'^[\s{{,]*"?{name}"?\s*[=:]', text, re.MULTILINE)
    ]
    if lacking:
        raise UsageError(f"for the first deployment say {'; and '.join(lacking)}")


def stand_ins() -> dict[str, str]:
    """Values for the variables without a default, for a destruction, which wants them and uses none."""
    return {
        "admin_cidr": "192.0.2.1/32",  # RFC 5737: for documentation
        "ssh_public_key": "ssh-ed25519 AAAA",
        "kafka_ca_certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    }

"""Puts the parts together for one command. The only place of this package that reads the environment."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shopstream import topology as topologies
from shopstream.aws.account import Aws, connect
from shopstream.aws.ansible import Ansible
from shopstream.aws.confirm import Expected, Line, confirm
from shopstream.aws.deploy import Deployer
from shopstream.aws.destroy import Destroyer
from shopstream.aws.ownership import Deployment
from shopstream.aws.settings import Settings, check_name, check_region, check_required, folder
from shopstream.aws.terraform import Terraform, read_state_file
from shopstream.aws.verify import Verification, verify
from shopstream.errors import DeploymentError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shopstream.topology import Topology


@dataclass(frozen=True)
class Assembly:
    """Everything that a command works with."""

    aws: Aws
    deployment: Deployment
    topology: Topology
    terraform: Terraform
    settings: Settings
    directory: Path
    zips: Path
    backend: tuple[str, ...]
    tell: Callable[[str], None]
    fixed: Mapping[str, str] = field(default_factory=dict)

    def ansible(self, variables: Mapping[str, Any] | None = None) -> Ansible:
        """What makes a cluster of the hosts. The playbooks lie beside Terraform's root module.

        Args:
            variables: More variables for every playbook.
        """
        key = self.settings.private_key
        return Ansible(
            directory=self.directory.parent / "ansible",
            environments=_root(),
            log=folder(self.directory, self.deployment.name) / "ansible.log",
            environ=os.environ,
            tell=self.tell,
            private_key=Path(key) if key else None,
            variables={**self.fixed, **(variables or {})},
        )

    def deployer(
        self,
        *,
        agree: Callable[[str], bool],
        variables: Mapping[str, str],
        rotate: tuple[str, ...] = (),
        ansible: Ansible | None = None,
    ) -> Deployer:
        """What brings the deployment up."""
        check_required({**self.settings.given, **variables}, os.environ, self.directory)
        return Deployer(
            aws=self.aws,
            deployment=self.deployment,
            topology=self.topology,
            terraform=self.terraform,
            settings=self.settings,
            zips=self.zips,
            tell=self.tell,
            agree=agree,
            now=datetime.now(UTC),
            variables=variables,
            fixed={**self.fixed, "zips_dir": self.zips_dir},
            backend=self.backend,
            ansible=ansible,
            rotate=rotate,
        )

    @property
    def zips_dir(self) -> str:
        """Where the zips are, as Terraform is told.

        A zip's path stands in the state, and another one is a change. So it begins at the root module for zips of the
        same checkout, and is the same for every operator.
        """
        module, zips = self.directory.resolve(), self.zips.resolve()
        return os.path.relpath(zips, module) if zips.is_relative_to(module.parent.parent) else str(zips)

    def destroyer(self, *, variables: Mapping[str, str], wait_s: float) -> Destroyer:
        """What takes it down."""
        return Destroyer(
            aws=self.aws,
            deployment=self.deployment,
            terraform=self.terraform,
            tell=self.tell,
            backend=self.backend,
            variables={**self.fixed, **variables},
            interface_limit_s=wait_s,
        )

    def outputs(self) -> dict[str, Any]:
        """Terraform's outputs."""
        self.terraform.check()
        self.terraform.init(self.backend)
        return self.terraform.outputs()

    def verify(self, *, wait_s: float, patience_s: float, variables: Mapping[str, Any] | None = None) -> Verification:
        """Look at the living shop."""
        outputs = self.outputs()
        return verify(
            aws=self.aws,
            deployment=self.deployment,
            topology=self.topology,
            outputs=outputs,
            ansible=self.ansible(variables),
            tell=self.tell,
            wait_s=wait_s,
            patience_s=patience_s,
        )

    def confirm(self) -> list[Line]:
        """Look at what AWS reports."""
        expected = Expected.of(self.deployment, self.topology, self.outputs(), self.settings.effective, self.zips)
        return confirm(self.aws, expected)


@contextlib.contextmanager
def gather(
    *,
    name: str,
    region: str,
    tell: Callable[[str], None],
    topology_file: str | None = None,
    directory: str | None = None,
    state: str | None = None,
    backend: tuple[str, ...] = (),
    zips: str | None = None,
    given: Mapping[str, str] | None = None,
    existing_state: bool = False,
) -> Iterator[Assembly]:
    """The parts for a deployment, with connections that are closed at the end.

    Args:
        name: The deployment's name.
        region: The AWS region.
        tell: Gets a line about each thing that is done.
        topology_file: Instead of the project's topology.yaml.
        directory: Terraform's root module, instead of the project's.
        state: A file for Terraform's local state.
        backend: `-backend-config` values.
        zips: The directory with the zips, instead of the project's.
        given: Terraform variables from this command's options; used for nothing but to refuse early.
        existing_state: Whether to tell when a `state` that is named is not there.

    Raises:
        ShopstreamError: Something of it is wrong or cannot be reached.
    """
    check_name(name)
    check_region(region)
    root = _root()
    module = Path(directory).absolute() if directory else root / "infra" / "terraform"
    if not any(module.glob("*.tf")):
        raise UsageError(f"{module} has no Terraform files: call this in the project's directory, or say --directory")
    if state:
        _check_state(Path(state), tell, existing=existing_state)
    path = Path(topology_file).absolute() if topology_file else topologies.default_path()
    topology = topologies.load(path)
    settings = Settings.read(module, name)
    if given is not None:
        check_required({**settings.given, **given}, os.environ, module)
    with connect(region) as aws:
        caller = aws.caller()
        tell(f"account {caller.account} as {caller.arn}, region {region}")
        yield Assembly(
            aws=aws,
            deployment=Deployment.of(topology, name=name, account=caller.account, region=region),
            topology=topology,
            terraform=Terraform(
                module,
                log=folder(module, name) / "terraform.log",
                environ=settings.environment(os.environ),
                tell=tell,
                state=Path(state) if state else None,
            ),
            settings=settings,
            directory=module,
            zips=Path(zips).absolute() if zips else root / "build" / "lambdas",
            backend=backend,
            tell=tell,
            fixed={"topology_file": str(path)} if topology_file else {},
        )


def _check_state(path: Path, tell: Callable[[str], None], *, existing: bool) -> None:
    """See that a file for the state can be one.

    Raises:
        UsageError: It is a directory, or holds something else.
    """
    if path.is_dir():
        raise UsageError(f"--state {path}: this is a directory; name the file in it, like {path / 'terraform.tfstate'}")
    if existing and not path.exists():
        tell(f"--state {path}: there is no such file, so Terraform knows nothing that it could destroy")
    read_state_file(path)


def read_public_key(path: str) -> str:
    """A public SSH key from its file.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"--ssh-public-key {path}: the file cannot be read ({error})") from error
    if "PRIVATE KEY" in text:
        raise UsageError(f"--ssh-public-key {path}: this is the private key; say {path}.pub")
    if not text.startswith(("ssh-ed25519 ", "ssh-rsa ")) or "\n" in text:
        raise UsageError(f"--ssh-public-key {path}: one line that begins with ssh-ed25519 or ssh-rsa is expected")
    return text


def read_ansible_variables(path: str | None) -> dict[str, Any]:
    """Variables for Ansible from a file.

    Args:
        path: A JSON or YAML file with a mapping; None for none.

    Raises:
        UsageError: The file cannot be read, or holds something else.
    """
    if path is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--ansible-variables {path}: the file cannot be read ({error}): name another") from error
    if not isinstance(found, dict):
        raise UsageError(f"--ansible-variables {path}: a mapping of names to values is expected")
    return found


def find_private_key(given: str | None, public: str | None) -> str | None:
    """Where the private SSH key is: where the user says, or beside the public one.

    Args:
        given: What the user says; None for nothing.
        public: The public key's file; None when it is not given now.

    Returns:
        Its path, or None when nobody knows.
    """
    if given:
        return str(Path(given).expanduser().absolute())
    if public and public.endswith(".pub"):
        beside = Path(public.removesuffix(".pub")).expanduser().absolute()
        return str(beside) if beside.is_file() else None
    return None


def build_zips(tell: Callable[[str], None]) -> None:
    """Build the functions' zips with the project's script.

    Raises:
        DeploymentError: It failed.
    """
    _build("build_all_zips.sh", "the zips", "build them yourself, and say --skip-zips", tell)


def build_wheel(tell: Callable[[str], None]) -> None:
    """Build the wheel that Ansible installs, with the project's script.

    Raises:
        DeploymentError: It failed.
    """
    _build("build_wheel.sh", "the wheel", "call this in a checkout of the project", tell)


def _build(name: str, what: str, remedy: str, tell: Callable[[str], None]) -> None:
    script = _root() / "scripts" / name
    if not script.is_file():
        raise DeploymentError(f"{script} is missing: {remedy}")
    tell(f"building {what}")
    # Its output goes where our own talk goes; standard output is for results.
    done = subprocess.run([str(script)], stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode != 0:
        raise DeploymentError(f"{script.name} failed (exit code {done.returncode}): see above, and call again")


def _root() -> Path:
    """The project's directory: where this package's source lies, or else the current one."""
    source = Path(__file__).resolve().parents[3]
    return source if (source / "infra" / "terraform").is_dir() else Path.cwd()

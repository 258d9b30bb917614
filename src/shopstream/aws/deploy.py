"""Brings a deployment up: authority, passwords, Terraform, Ansible, and a look at what AWS then reports."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shopstream.aws import authority, living, secrets
from shopstream.aws.confirm import Expected, Line, confirm
from shopstream.aws.price import changes, price
from shopstream.aws.statefile import read_state
from shopstream.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.aws.secrets import Passwords
    from shopstream.aws.settings import Settings
    from shopstream.aws.statefile import StateFacts
    from shopstream.topology import Topology


MAPPINGS = "event_source_mappings_enabled"
_EFFECTIVE = ("access", "admin_cidr", MAPPINGS, "poller_mode")
"""Variables whose last value the check after a deployment compares with."""
NOTHING_TO_DO = "nothing to do: everything is as it shall be"
"""What is told when the plan is empty."""


class Applies(Protocol):
    """What is needed of Terraform; `shopstream.aws.terraform.Terraform` has it."""

    def check(self) -> None:
        """See that it is there."""

    def init(self, backend: Sequence[str] = ()) -> None:
        """Open the state."""

    def state_data(self) -> dict[str, Any]:
        """The state."""

    def plan(
        self, out: Path, *, variables: Mapping[str, str], secrets: Mapping[str, str], destroy: bool = False
    ) -> bool:
        """Write a plan; whether there is anything to do."""

    def planned(self, plan: Path) -> dict[str, Any]:
        """A plan as data."""

    def apply(self, plan: Path, *, secrets: Mapping[str, str]) -> None:
        """Carry out a plan."""

    def outputs(self) -> dict[str, Any]:
        """The outputs."""


class Configures(Protocol):
    """What is needed of Ansible; `shopstream.aws.ansible.Ansible` has it."""

    def check(self) -> None:
        """See that it is there."""

    def configure(self, outputs: Mapping[str, Any]) -> None:
        """Make a cluster of the hosts, and verify it."""


@dataclass
class Deployer:
    """Brings one deployment up.

    Attributes:
        aws: The account.
        deployment: What to bring up.
        topology: What it runs.
        terraform: Terraform on the deployment's state.
        settings: What was asked for before; what is asked for now is kept there.
        zips: The directory with the functions' zips.
        tell: Gets a line about each thing that is done.
        agree: Asked before anything is changed, with a text that says what and at which price.
        now: The time, with its zone.
        variables: Terraform variables that are given now.
        fixed: Terraform variables that are not remembered, for example where topology and zips are.
        backend: `-backend-config` values for `terraform init`.
        ansible: Makes a cluster of the hosts. None leaves them bare, and says nothing about whether Lambda polls.
        rotate: Kafka users and accounts of the hosts to give a new password, or `all`.
    """

    aws: Aws
    deployment: Deployment
    topology: Topology
    terraform: Applies
    settings: Settings
    zips: Path
    tell: Callable[[str], None]
    agree: Callable[[str], bool]
    now: datetime
    variables: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)
    backend: Sequence[str] = ()
    ansible: Configures | None = None
    rotate: Collection[str] = ()

    def run(self, *, plan_only: bool = False) -> list[Line]:
        """Bring it up, and look at what AWS reports.

        Args:
            plan_only: Show Terraform's plan and change nothing. Nothing is looked at then.

        Returns:
            The lines of the check.

        Raises:
            ShopstreamError: Something could not be done; a second call goes on from there.
        """
        self.terraform.check()
        self._check_zips()
        if self.ansible and not plan_only:
            self.ansible.check()
        self.terraform.init(self.backend)
        self.provision(plan_only=plan_only)
        if plan_only:
            return []
        if self.ansible:
            self.ansible.configure(self.terraform.outputs())
            self._let_lambda_poll()
        return self.confirm()

    def _let_lambda_poll(self) -> None:
        """Enable the event source mappings, unless the user has said otherwise now."""
        if self.variables.get(MAPPINGS) == "false":
            self.tell("the brokers are verified; Lambda does not poll them, as you have said")
            return
        self.tell("the brokers are verified: Lambda may poll them")
        self.variables = {**self.variables, MAPPINGS: "true"}
        self.provision(again=True)

    def provision(self, *, plan_only: bool = False, again: bool = False) -> None:
        """Plan, ask, apply.

        Args:
            plan_only: Whether to show the plan and change nothing.
            again: Whether this is the second round of one deployment: it was agreed to, and passwords are rotated.

        Raises:
            DeploymentError: The state is not the one of this deployment, another one has its consumer groups, or the
                user does not agree. Nothing is changed then.
        """
        facts = read_state(self.terraform.state_data())
        facts.check(self.deployment)
        living.check_deploy(self.aws, self.deployment, facts, self.tell)
        living.check_groups(self.aws, self.deployment, self.topology)
        passwords = self._passwords(facts, plan_only=plan_only, again=again)
        ca = authority.find_or_make(self.aws, self.deployment, self.now)
        variables = {
            "name": self.deployment.name,
            "region": self.deployment.region,
            "secrets_version": str(passwords.version),
            "kafka_ca_certificate": ca.certificate,
            **self.fixed,
            **self._not_yet(facts),
            **self.variables,
        }
        hidden = passwords.variables()
        with tempfile.TemporaryDirectory(prefix="shopstream-deploy-") as folder:
            plan = Path(folder) / "deploy.tfplan"
            to_do = self.terraform.plan(plan, variables=variables, secrets=hidden)
            data = self.terraform.planned(plan)
            if plan_only:
                self.tell(self._summary(data) if to_do else "nothing to do")
                return
            if to_do or ca.kept != "yes":
                if not (again or self.agree(self._summary(data))):
                    raise DeploymentError("nothing was changed: you did not agree")
                authority.keep(self.aws, self.deployment, ca)
                # Kept before the apply: should it be interrupted, the next call must ask for the same.
                self._remember(data)
                self.terraform.apply(plan, secrets=hidden)
            else:
                self.tell(NOTHING_TO_DO)
                self._remember(data)
        if passwords.made:
            self.tell(f"new passwords in Secrets Manager for {', '.join(passwords.made)}")

    def _passwords(self, facts: StateFacts, *, plan_only: bool, again: bool) -> Passwords:
        """The passwords. Secrets that wait for their deletion are a question of their own, before the plan.

        Terraform takes such a secret for one that is gone, and a password can be read only when it is back.
        """
        rotate = () if again else self.rotate

        def collect() -> Passwords:
            return secrets.collect(
                self.aws, self.deployment, managed=facts.secrets, written=facts.secrets_version, rotate=rotate
            )

        passwords = collect()
        if not passwords.dying or plan_only:
            return passwords
        back = [name for name in passwords.dying if name in facts.secrets]
        gone = [name for name in passwords.dying if name not in facts.secrets]
        lines = ["secrets that are scheduled for deletion stand in the way, before anything else can be planned:"]
        lines += [f"{', '.join(back)}: to be restored, Terraform's state has them"] if back else []
        lines += [f"{', '.join(gone)}: to be deleted now and for good, no state has them"] if gone else []
        if not (again or self.agree("\n".join(lines))):
            raise DeploymentError("nothing was changed: you did not agree")
        secrets.revive(self.aws, self.deployment, passwords.dying, facts.secrets)
        return collect()

    def confirm(self) -> list[Line]:
        """Look at what AWS reports."""
        return confirm(
            self.aws,
            Expected.of(self.deployment, self.topology, self.terraform.outputs(), self.settings.effective, self.zips),
        )

    def _not_yet(self, facts: StateFacts) -> dict[str, str]:
        """That Lambda polled brokers which are gone holds no longer: new ones must be verified first."""
        if facts.resources or self.settings.given.get(MAPPINGS) != "true":
            return {}
        del self.settings.given[MAPPINGS]
        return {MAPPINGS: "false"}

    def _check_zips(self) -> None:
        lacking = [service for service in self.deployment.services if not (self.zips / f"{service}.zip").is_file()]
        if lacking:
            raise DeploymentError(
                f"{self.zips} has no zip of {', '.join(lacking)}: build them with scripts/build_all_zips.sh"
            )

    def _remember(self, plan: Mapping[str, Any]) -> None:
        self.settings.given.update(self.variables)
        values = {name: each.get("value") for name, each in plan.get("variables", {}).items()}
        self.settings.effective = {name: values[name] for name in _EFFECTIVE if name in values}
        self.settings.write()

    def _summary(self, plan: Mapping[str, Any]) -> str:
        count = changes(plan)
        lines = [
            f"account {self.deployment.account}, region {self.deployment.region}, deployment {self.deployment.name}",
            f"{count.create} resources to create, {count.change} to change, {count.destroy} to destroy",
            f"the whole then costs {price(plan)}, without data, requests and logs",
        ]
        if self.ansible:
            lines.append("then Ansible makes a cluster of the hosts, and Lambda begins to poll it")
        return "\n".join(lines)

"""Takes a deployment down, in an order that does not hang, and can be called again wherever it was interrupted.

Why `terraform destroy` is not enough. Lambda makes network interfaces for the functions and for the pollers of event
source mappings. They stay in use 20 to 40 minutes after both are gone, and hold the security group, the subnets and
the VPC; Lambda gives them back with the rights of the functions' roles. Terraform would delete the functions, then wait
at the security group until a time limit of the provider ends it, with nothing to be seen meanwhile. So mappings and
functions are deleted here first, through Lambda's own interface: what is to go is found by its tags, whatever Terraform
calls it, and its state is not needed for it. Then the interfaces are waited for, with progress, while the roles are
still there. Terraform finds on its refresh that functions and mappings are gone, and destroys the rest without waiting.

No step needs anything that an earlier one found: each asks AWS anew what is there. So a second call does again what is
already done, finds nothing, and goes on.

    1 preflight    Terraform and its state are there, of this account, region and deployment, and know its network
    2 mappings     event source mappings: disabled, deleted, gone
    3 functions    deleted; their roles stay
    4 interfaces   Lambda has given back its network interfaces
    5 buckets      every version and marker deleted
    6 terraform    `terraform destroy -auto-approve`
    7 log groups   those that a function made anew after Terraform had deleted them
    8 authority    the key of the brokers' authority, which Terraform does not know
    9 leftovers    a list of what is still there, asked of each service
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from shopstream.aws import authority, buckets, interfaces, leftovers, living, mappings, secrets
from shopstream.aws.account import code_of, pages
from shopstream.aws.leftovers.functions import owned_functions, owned_log_groups
from shopstream.aws.leftovers.listing import owned_networks
from shopstream.aws.settings import stand_ins
from shopstream.aws.statefile import StateFacts, read_state
from shopstream.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shopstream.aws.account import Aws
    from shopstream.aws.leftovers import Inventory
    from shopstream.aws.ownership import Deployment

STEPS = (
    "preflight",
    "mappings",
    "functions",
    "interfaces",
    "buckets",
    "terraform",
    "log groups",
    "authority",
    "leftovers",
)


class Destroys(Protocol):
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
        """Show what would be destroyed."""

    def destroy(self, *, variables: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        """Destroy what the state knows."""


@dataclass
class Destroyer:
    """Takes one deployment down.

    Attributes:
        aws: The account.
        deployment: What to take down.
        terraform: Terraform on the deployment's state.
        tell: Gets a line about each thing that is done.
        backend: `-backend-config` values for `terraform init`.
        variables: Terraform variables, for example the topology.
        interface_limit_s: How long to wait for Lambda's network interfaces.
        mapping_limit_s: How long to wait for the mappings.
        poll_s: How long between two looks, after the first ones.
        before_step: Gets the name of each step before it begins; a test may raise here.
    """

    aws: Aws
    deployment: Deployment
    terraform: Destroys
    tell: Callable[[str], None]
    backend: Sequence[str] = ()
    variables: Mapping[str, str] | None = None
    interface_limit_s: float = interfaces.LIMIT_S
    mapping_limit_s: float = 900.0
    poll_s: float = 10.0
    before_step: Callable[[str], None] = lambda _: None

    def run(self) -> Inventory:
        """Take it down, and list what is still there.

        Raises:
            ShopstreamError: A step could not be done. What was done so far stays done; a second call goes on.
        """
        facts = self._preflight()
        if facts.resources:
            self._functions_first(facts)
            self._step("terraform", f"terraform destroys the {facts.resources} resources in its state")
            self._terraform_destroy()
        elif self._is_anothers():
            self.tell("Terraform's state is empty, and AWS has a deployment of this name: nothing is touched")
            return self._leftovers(facts)
        self._step("log groups", "log groups that functions have made anew")
        for name in owned_log_groups(self.aws, self.deployment):
            self._quietly(self.aws.client("logs").delete_log_group, logGroupName=name)
            self.tell(f"log group {name} deleted")
        self._step("authority", "the key of the brokers' authority")
        if authority.remove(self.aws, self.deployment):
            self.tell(f"secret {self.deployment.ca_key_secret} deleted")
        return self._leftovers(facts)

    def dry_run(self) -> Inventory:
        """Show what would be destroyed, and list what is there. Changes nothing."""
        facts = self._preflight()
        if facts.resources:
            self.tell(f"terraform would destroy the {facts.resources} resources in its state:")
            with tempfile.TemporaryDirectory(prefix="shopstream-destroy-") as folder:
                self.terraform.plan(Path(folder) / "destroy.tfplan", destroy=True, **self._variables(Path(folder)))
        else:
            self.tell("Terraform's state is empty: terraform would destroy nothing")
        return self._leftovers(facts)

    def _step(self, name: str, line: str) -> None:
        self.before_step(name)
        self.tell(f"[{STEPS.index(name) + 1}/{len(STEPS)}] {line}")

    def _preflight(self) -> StateFacts:
        self._step("preflight", f"is this the state of {self.deployment.name} in {self.deployment.account}?")
        self.terraform.check()
        self.terraform.init(self.backend)
        facts = read_state(self.terraform.state_data())
        facts.check(self.deployment)
        living.check_destroy(self.aws, self.deployment, facts)
        return facts

    def _functions_first(self, facts: StateFacts) -> None:
        self._step("mappings", "event source mappings: disable, delete, wait until they are gone")
        count = mappings.remove(
            self.aws, self.deployment, tell=self.tell, limit_s=self.mapping_limit_s, poll_s=self.poll_s
        )
        self.tell(f"{count} event source mappings deleted" if count else "there are none")
        self._step("functions", "functions; their roles stay, because Lambda still needs them")
        client = self.aws.client("lambda")
        for name in owned_functions(self.aws, self.deployment):
            self._quietly(client.delete_function, FunctionName=name)
            self.tell(f"function {name} deleted")
        self._step("interfaces", "network interfaces that Lambda made")
        vpcs = facts.vpcs | owned_networks(self.aws, self.deployment)
        interfaces.wait_until_gone(
            self.aws,
            vpcs,
            tell=self.tell,
            group=self.deployment.lambdas_group,
            limit_s=self.interface_limit_s,
            poll_s=self.poll_s,
        )
        self._step("buckets", "buckets: delete every version")
        for bucket in buckets.owned(self.aws, self.deployment):
            count = buckets.empty(self.aws, bucket, self.tell)
            self.tell(f"{bucket} is empty" + (f", {count} versions deleted" if count else ""))

    def _terraform_destroy(self) -> None:
        with tempfile.TemporaryDirectory(prefix="shopstream-destroy-") as folder:
            self.terraform.destroy(**self._variables(Path(folder)))

    def _variables(self, folder: Path) -> dict[str, Any]:
        """What Terraform wants for a destruction.

        It evaluates the whole configuration once more before it destroys anything, and would stop at a zip that this
        machine has not built. Empty ones do: nothing is uploaded.
        """
        for service in self.deployment.services:
            (folder / f"{service}.zip").touch()
        passwords = secrets.placeholders(self.deployment)
        return {
            "variables": {
                "name": self.deployment.name,
                "region": self.deployment.region,
                **(self.variables or {}),
                "zips_dir": str(folder),
            },
            "secrets": {**stand_ins(), **passwords.variables()},
        }

    def _is_anothers(self) -> bool:
        """Whether AWS has what only Terraform makes, though the state here knows of nothing."""
        return bool(owned_networks(self.aws, self.deployment) or owned_functions(self.aws, self.deployment))

    def _leftovers(self, facts: StateFacts) -> Inventory:
        self._step("leftovers", "what is still there? Each service is asked")
        return leftovers.find(self.aws, self.deployment, vpcs=self._existing(facts.vpcs))

    def _existing(self, vpcs: frozenset[str]) -> frozenset[str]:
        try:
            there = {item["VpcId"] for item in pages(self.aws.client("ec2"), "describe_vpcs", "Vpcs")}
        except ClientError:
            return vpcs  # the search itself names what cannot be asked
        return vpcs & there

    @staticmethod
    def _quietly(call: Callable[..., Any], **arguments: Any) -> None:
        """Delete; that it has gone already is as good."""
        try:
            call(**arguments)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise


def explain(inventory: Inventory) -> str:
    """The last line of a destruction.

    Raises:
        DeploymentError: Something is left, or it is not certain that nothing is.
    """
    if inventory.clean:
        return "nothing is left"
    parts = []
    if inventory.left:
        parts.append(f"still there, and listed above: {len(inventory.left)}. Delete it, or call destroy again")
    if inventory.unasked:
        count = len(inventory.unasked)
        parts.append(f"{count} kinds could not be asked (listed above), so nobody knows: allow it, and call again")
    raise DeploymentError("; ".join(parts))

"""`python -m shopstream.aws`: deploy, confirm, verify, inventory, clients, leftovers, destroy. scripts/ calls it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from shopstream import interrupts
from shopstream.cli.common import examples
from shopstream.errors import DeploymentError, ShopstreamError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.aws.assembly import Assembly

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_HELP = {"help_option_names": ["-h", "--help"]}


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command has."""
    for option in reversed(
        (
            click.option("--name", default="shopstream", envvar="TF_VAR_name", show_default=True,
                         help="The deployment's name. An account and region can have one deployment."),
            click.option("--region", default="us-east-1", envvar="TF_VAR_region", show_default=True,
                         help="The AWS region."),
            click.option("--topology", "topology_file", metavar="FILE", help="Instead of the project's topology.yaml."),
            click.option("--directory", metavar="DIR", help="Terraform's root module, instead of infra/terraform."),
            click.option("--state", metavar="FILE", help="Terraform's local state, instead of DIR/terraform.tfstate."),
            click.option("--backend-config", "backend", multiple=True, metavar="KEY=VALUE",
                         help="For terraform init, where the state lies in a bucket; repeatable."),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; the rest goes to stderr."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(
    context_settings=_HELP,
    epilog=examples(
        "scripts/deploy_all.sh --admin-cidr 203.0.113.7/32 --ssh-public-key ~/.ssh/id_ed25519.pub",
        "python -m shopstream.aws confirm",
        "scripts/destroy_all.sh",
    ),
)
def cli() -> None:
    """The deployment on AWS: bring it up, look at it, take it down."""


@cli.command(
    context_settings=_HELP,
    epilog=examples(
        "python -m shopstream.aws deploy --admin-cidr 203.0.113.7/32 --ssh-public-key key.pub",
        "python -m shopstream.aws deploy --plan-only",
        "python -m shopstream.aws deploy --rotate payment_processor",
    ),
)
@_common
@click.option("--admin-cidr", metavar="CIDR", help="The network that SSH is open to. Needed the first time.")
@click.option("--ssh-public-key", metavar="FILE", help="The public key that logs in. Needed the first time.")
@click.option("--ssh-private-key", metavar="FILE", help="The key that Ansible logs in with; first the public key's path without .pub.")  # fmt: skip  # noqa: E501
@click.option("--access", type=click.Choice(["public", "bastion"]), help="How hosts are reached; first public.")
@click.option(
    "--enable-mappings/--disable-mappings",
    "mappings",
    default=None,
    help="Whether Lambda polls Kafka; by default it begins to when Ansible has verified the brokers.",
)
@click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="Any other Terraform variable; repeatable.")
@click.option("--rotate", multiple=True, metavar="USER|all", help="Give a Kafka user, or an account of the hosts, a new password; repeatable.")  # fmt: skip  # noqa: E501
@click.option("--zips", metavar="DIR", help="Where the functions' zips are, instead of build/lambdas.")
@click.option("--skip-zips", is_flag=True, help="Do not build the zips; take those that are there.")
@click.option("--infrastructure-only", is_flag=True, help="Stop before Ansible: bare hosts, and nobody polls.")
@click.option("--ansible-variables", metavar="FILE", help="More variables for Ansible, YAML or JSON: where mirrors are, for example.")  # fmt: skip  # noqa: E501
@click.option("--plan-only", is_flag=True, help="Show what would be done and what it costs; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def deploy(
    admin_cidr: str | None, ssh_public_key: str | None, ssh_private_key: str | None, access: str | None,
    mappings: bool | None, pairs: tuple[str, ...], rotate: tuple[str, ...], zips: str | None, skip_zips: bool,
    infrastructure_only: bool, ansible_variables: str | None, plan_only: bool, yes: bool, as_json: bool, **where: Any,
) -> None:  # fmt: skip
    """Bring it up, or bring it to what has changed, and check what AWS reports.

    Options are remembered: a second call needs none. Exit 1 when something is missing or different.
    """
    from shopstream.aws import assembly, showing
    from shopstream.aws.settings import parse_variables

    given = parse_variables(pairs)
    if admin_cidr:
        given["admin_cidr"] = admin_cidr
    if ssh_public_key:
        given["ssh_public_key"] = assembly.read_public_key(ssh_public_key)
    if access:
        given["access"] = access
    if mappings is not None:
        given["event_source_mappings_enabled"] = "true" if mappings else "false"
    if not (yes or plan_only or _terminal()):
        raise UsageError("this spends money: say --yes, or call it on a terminal, where it asks")
    private_key = assembly.find_private_key(ssh_private_key, ssh_public_key)
    more = assembly.read_ansible_variables(ansible_variables)
    with assembly.gather(**where, zips=zips, given=given, tell=_tell) as parts:
        parts.settings.private_key = private_key or parts.settings.private_key
        ansible = None
        if not (infrastructure_only or plan_only):
            ansible = parts.ansible(more)
            ansible.check()
            assembly.build_wheel(_tell)
        if not skip_zips:
            assembly.build_zips(_tell)
        deployer = parts.deployer(agree=lambda text: _agree(text, yes), variables=given, rotate=rotate, ansible=ansible)
        lines = deployer.run(plan_only=plan_only)
    if plan_only:
        return
    if as_json:
        _json({"ok": all(line.ok for line in lines), "checks": [line._asdict() for line in lines]})
    else:
        _say(showing.checklist(lines))
    _fail_unless(all(line.ok for line in lines), "AWS does not report what was deployed: see the lines above")


@cli.command(
    context_settings=_HELP,
    epilog=examples(
        "python -m shopstream.aws confirm",
        "python -m shopstream.aws confirm --name team1 --region eu-central-1",
    ),
)
@_common
@click.option("--zips", metavar="DIR", help="Where the functions' zips are, instead of build/lambdas.")
def confirm(zips: str | None, as_json: bool, **where: Any) -> None:
    """Check what is there, as AWS itself reports it. Exit 1 when something is missing or different."""
    from shopstream.aws import assembly, showing

    with assembly.gather(**where, zips=zips, tell=_tell) as parts:
        lines = parts.confirm()
    if as_json:
        _json({"ok": all(line.ok for line in lines), "checks": [line._asdict() for line in lines]})
    else:
        _say(showing.checklist(lines))
    _fail_unless(all(line.ok for line in lines), "AWS does not report what was deployed: see the lines above")


@cli.command(
    context_settings=_HELP,
    epilog=examples(
        "python -m shopstream.aws verify",
        "python -m shopstream.aws verify --wait-seconds 300 --json",
    ),
)
@_common
@click.option("--wait-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True, help="How long to look again while orders are on their way.")  # fmt: skip  # noqa: E501
@click.option("--patience", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS", help="How long an order may be without news before what it lacks is an anomaly.")  # fmt: skip  # noqa: E501
@click.option("--ansible-variables", metavar="FILE", help="More variables for Ansible, YAML or JSON.")
def verify(wait_seconds: float, patience: float, ansible_variables: str | None, as_json: bool, **where: Any) -> None:
    """Judge the shop that runs there: the auditor on the monitoring host, the functions' logs, what the monitors see.

    Exit 1 when something is missing or different.
    """
    from shopstream.aws import assembly, showing

    more = assembly.read_ansible_variables(ansible_variables)
    with assembly.gather(**where, tell=_tell) as parts:
        found = parts.verify(wait_s=wait_seconds, patience_s=patience, variables=more)
    if as_json:
        _json(found.to_data())
    else:
        _say(showing.checklist(found.lines))
    _fail_unless(found.ok, "the shop is not as it shall be: see the lines above")


@cli.command(
    context_settings=_HELP,
    epilog=examples(
        "python -m shopstream.aws leftovers",
        "python -m shopstream.aws leftovers --json",
    ),
)
@_common
def leftovers(as_json: bool, **where: Any) -> None:
    """List everything of a deployment that is there, without Terraform. Exit 1 when there is something."""
    from shopstream.aws import assembly
    from shopstream.aws.leftovers import find

    with assembly.gather(**where, tell=_tell) as parts:
        found = find(parts.aws, parts.deployment)
    _show_inventory(found, as_json, parts)
    if found.left:
        raise DeploymentError(f"there, and listed above: {len(found.left)}")
    if found.unasked:
        raise DeploymentError(f"{len(found.unasked)} kinds could not be asked, so nobody knows")


@cli.command(
    context_settings=_HELP,
    epilog=examples(
        "python -m shopstream.aws destroy --dry-run",
        "python -m shopstream.aws destroy",
    ),
)
@_common
@click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="Any Terraform variable; repeatable.")
@click.option(
    "--wait-minutes",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="How long to wait for the network interfaces that Lambda made.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be destroyed and what is there; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(pairs: tuple[str, ...], wait_minutes: float, dry_run: bool, yes: bool, as_json: bool, **where: Any) -> None:
    """Take everything down, and list what is still there. Exit 1 when something is.

    Interrupted at any point, a second call goes on.
    """
    from shopstream.aws import assembly
    from shopstream.aws.destroy import explain
    from shopstream.aws.settings import parse_variables

    variables = parse_variables(pairs)
    if not (yes or dry_run or _terminal()):
        raise UsageError("this destroys a deployment: say --yes, or call it on a terminal, where it asks")
    with assembly.gather(**where, tell=_tell, existing_state=True) as parts:
        if not (yes or dry_run):
            deployment = parts.deployment
            _tell(f"account {deployment.account}, region {deployment.region}: destroys {deployment.name} and its data")
            if click.prompt("type the deployment's name to go on", err=True, default="", show_default=False) != (
                deployment.name
            ):
                raise DeploymentError("nothing was destroyed: that was not the name")
        destroyer = parts.destroyer(variables=variables, wait_s=wait_minutes * 60)
        found = destroyer.dry_run() if dry_run else destroyer.run()
        _show_inventory(found, as_json, parts)
        if dry_run:
            _fail_unless(not found.unasked, f"{len(found.unasked)} kinds could not be asked")
            return
        _tell(explain(found))
        parts.settings.forget()


@cli.command(
    context_settings=_HELP, epilog=examples("python -m shopstream.aws inventory --output infra/ansible/inventory.ini")
)
@_common
@click.option("--outputs", metavar="FILE|-", help="What `terraform output -json` printed, instead of asking Terraform.")
@click.option("--output", metavar="FILE", help="Write it there instead of to standard output.")
@click.option("--ssh-private-key", metavar="FILE", help="The key that logs in; by default SSH finds one itself.")
def inventory(
    outputs: str | None, output: str | None, ssh_private_key: str | None, as_json: bool, **where: Any
) -> None:
    """Write Ansible's inventory from Terraform's outputs."""
    from shopstream.aws.inventory import parse, render

    if as_json:
        raise UsageError("an inventory is no JSON: `terraform output -json` prints what it is made from")
    if outputs:
        found = parse(_read(outputs), outputs)
    else:
        from shopstream.aws import assembly

        with assembly.gather(**where, tell=_tell) as parts:
            found = parts.outputs()
            ssh_private_key = ssh_private_key or parts.settings.private_key
    text = render(found, private_key=Path(ssh_private_key).expanduser().absolute() if ssh_private_key else None)
    if output:
        _write(Path(output), text)
    else:
        click.echo(text, nl=False)


@cli.command(context_settings=_HELP, epilog=examples("python -m shopstream.aws clients ~/shop-clients"))
@_common
@click.option("--outputs", metavar="FILE|-", help="What `terraform output -json` printed, instead of asking Terraform.")
@click.argument("directory_", metavar="DIR")
def clients(directory_: str, outputs: str | None, as_json: bool, **where: Any) -> None:
    """Write a client properties file for each Kafka user into DIR, with the passwords of Secrets Manager.

    `shopstream audit --cluster DIR/auditor.properties`, and any other Kafka tool, can then connect from where the
    brokers' private addresses can be reached.
    """
    from shopstream.aws import assembly, clients
    from shopstream.aws.inventory import parse

    given = parse(_read(outputs), outputs) if outputs else None
    with assembly.gather(**where, tell=_tell) as parts:
        found = parts.outputs() if given is None else given
        files = clients.write(parts.aws, parts.deployment, parts.topology, found, Path(directory_))
    if as_json:
        _json({user: str(file) for user, file in files.items()})
    else:
        _say(f"{user}  {file}" for user, file in files.items())


def _read(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source} cannot be read ({error}): name a readable file, or - for standard input") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another file") from error


def _show_inventory(found: Any, as_json: bool, parts: Assembly) -> None:
    from shopstream.aws import showing

    if as_json:
        deployment = parts.deployment
        _json({"deployment": deployment.name, "account": deployment.account, "region": deployment.region,
               **found.as_dict()})  # fmt: skip
    else:
        _say(showing.inventory(found))


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _say(lines: Any) -> None:
    for line in lines:
        click.echo(line)


def _json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agree(text: str, yes: bool) -> bool:
    _tell(text)
    return yes or click.confirm("go on?", err=True)


def _fail_unless(ok: bool, text: str) -> None:
    if not ok:
        raise DeploymentError(text)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 good, 1 the check or the work failed, 2 wrong use, 130 interrupted."""
    interrupts.take()
    code: Any = 0
    try:
        code = cli.main(args=arguments, prog_name="shopstream.aws", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ShopstreamError as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except (ClientError, BotoCoreError) as error:
        click.echo(f"error: AWS: {error}: what was done stays done, call again to go on", err=True)
        code = 1
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: what was done stays done, call again to go on", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Terraform, if it ran, has ended before anything was printed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()

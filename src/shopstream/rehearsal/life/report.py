"""What a rehearsal says at its end, for the terminal; and what both forms of the report have in common. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shopstream.rehearsal.life.phases import NAMES, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shopstream.rehearsal.life.record import Record, Result

STOOD_IN = (
    ("AWS's API", "moto with additions of this project, on loopback; an account of its own, empty at first"),
    (
        "EC2 instances",
        "Debian 12 booted by systemd-nspawn, with the addresses that the account says and the type's memory",
    ),
    ("the VPC", "a bridge in a network namespace; the security groups as nftables rules on it"),
    (
        "Lambda",
        "this project's host: the very zips on CPython 3.13 with AWS's runtime client, with an address of their subnet",
    ),
    ("Lambda's Kafka pollers", "this project's, as the account's event source mappings say, as the functions' users"),
    ("EventBridge", "a clock that reads the rules from the account"),
    (
        "Debian's, Apache's and PyPI's servers",
        "files on the bridge: Debian's packages, Kafka's archive put together from its Maven artifacts, wheels",
    ),
    (
        "Confluent Control Center and Grafana",
        "packages with the same unit, user and files, which refuse settings they do not know; they show no pages",
    ),
    ("Confluent's metrics reporter", "a class of this project under the same name"),
)
"""What is no production part, and what stands in for it."""

NOT_SHOWN = (
    "IAM: the stand-in allows everything; whether roles and policies suffice, only AWS tells.",
    "AWS's own Kafka poller, and Lambda's network interfaces: checked against our own reading of AWS's documentation.",
    "Route tables, network ACLs, endpoints, name resolution: the security groups alone decide who reaches whom.",
    "A loss of power: a crashed machine keeps what the kernel has in its page cache.",
    "Speed: processors are shared, and are not those of the instance types.",
    "Quotas, throttling, eventual consistency, prices, which image a parameter names on the day.",
    "Control Center's and Grafana's own pages.",
    "Other settings than the defaults: a bastion, provisioned pollers, arm64.",
)
"""What nobody may conclude from it."""


def total(record: Record) -> float:
    """The seconds of all phases."""
    return sum(result.seconds for result in record.results.values())


def ordered(record: Record) -> list[Result]:
    """The results in the order of the phases. Of a kept rehearsal there may be some that an older version had."""
    known = (result for result in record.results.values() if result.name in NAMES)
    return sorted(known, key=lambda result: NAMES.index(result.name))


def begins(result: Result) -> str:
    """The line for a phase that begins."""
    return f"{NAMES.index(result.name) + 1:>2}/{len(NAMES)}  {result.name:<14}  {named(result.name).about}"


def ends(result: Result) -> Iterator[str]:
    """The lines for a phase that has ended."""
    mark = "ok" if result.ok else "FAILED"
    yield f"       {mark} after {result.seconds:.1f} s"
    for label, value in result.counts.items():
        yield f"       {label}: {value}"
    if not result.ok:
        yield from (f"       {line}" for line in result.error.splitlines())
        yield f"       the whole text: {result.log}"


def summary(record: Record) -> Iterator[str]:
    """The last lines: time by phase, what was run of what is declared, and what it does not show."""
    results = ordered(record)
    yield ""
    longest = max((result.seconds for result in results), default=1.0) or 1.0
    for result in results:
        bar = "#" * max(1, round(30 * result.seconds / longest))
        yield f"{result.name:<14}  {result.seconds:7.1f} s  {bar}" + ("" if result.ok else "  FAILED")
    yield f"{'in all':<14}  {total(record):7.1f} s"
    yield ""
    yield from unchanged(record)
    yield "stood in for: " + ", ".join(what for what, _ in STOOD_IN)
    yield "not shown: " + " ".join(line.partition(":")[0].rstrip(".") + ";" for line in NOT_SHOWN).rstrip(";")


def unchanged(record: Record) -> Iterator[str]:
    """What of production ran as it is, counted."""
    if found := record.data("infrastructure").get("resources"):
        whole = ", and planned once more there is nothing to do: 100 % of what this configuration means"
        yield f"Terraform: {_share(found)} resource blocks applied, {found['instances']} resources" + (
            whole if "change" in record.done else ""
        )
    if found := record.data("configure").get("files"):
        yield f"files of infra/ and topology.yaml: {found['line']}"
    if found := record.data("configure").get("tasks"):
        yield f"Ansible: {_share(found)} tasks run of those declared; for each other one the report has the reason"
    if found := record.data("zips").get("zips"):
        yield f"Lambda: {len(found)} zips; what ran had the hashes of what was built" + (
            "" if "judge" in record.done else " (not compared: judge has not succeeded)"
        )


def _share(found: Mapping[str, object]) -> str:
    run, declared = found["run"], found["declared"]
    assert isinstance(run, list | tuple)  # noqa: S101 - of our own making
    assert isinstance(declared, list | tuple)  # noqa: S101
    return f"{len(run)} of {len(declared)}"

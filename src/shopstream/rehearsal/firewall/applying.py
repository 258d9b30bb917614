"""Puts the firewall into a namespace, takes it away, and asks what it has blocked."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.firewall import ruleset

if TYPE_CHECKING:
    from shopstream.rehearsal.firewall.ruleset import Blocked
    from shopstream.rehearsal.firewall.site import Site
    from shopstream.rehearsal.hosts.namespace import Namespace


def apply(namespace: Namespace, site: Site) -> None:
    """Make exactly this firewall, in one step; what an earlier one has counted is forgotten.

    Args:
        namespace: Where the bridge is.
        site: Who is there and what the groups say.

    Raises:
        RehearsalError: nftables refuses.
    """
    namespace.run(["nft", "-f", "-"], "apply the security groups", text=ruleset.ruleset(site))


def remove(namespace: Namespace) -> None:
    """Take the firewall away, whether it is there or not.

    Raises:
        RehearsalError: nftables refuses.
    """
    namespace.run(["nft", "-f", "-"], "remove the security groups", text=ruleset.removal())


def blocked(namespace: Namespace, site: Site | None = None) -> list[Blocked]:
    """What has been blocked since `apply`.

    Args:
        namespace: Where the bridge is.
        site: For names in place of addresses.

    Raises:
        RehearsalError: There is no firewall.
    """
    command = namespace.entering(["nft", "-j", "list", "table", "bridge", ruleset.TABLE])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RehearsalError(
            f"the security groups are not applied in {namespace.name}: apply them first ({done.stderr.strip()})"
        )
    return ruleset.blocked_in(done.stdout, site)

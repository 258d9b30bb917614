"""Each user's password lives in one place: its own client properties file, which nobody else may read."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from shopstream.cluster.home import write_private
from shopstream.errors import SettingsError
from shopstream.settings import ClientSettings, Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shopstream.cluster.home import Home
    from shopstream.cluster.layout import Layout


def collect(home: Home, layout: Layout, users: Iterable[str]) -> tuple[dict[str, ClientSettings], frozenset[str]]:
    """How each user connects: with the password of its file, or with a new one where there is no usable file.

    Args:
        home: Where the files lie.
        layout: The cluster to connect to.
        users: All users.

    Returns:
        The settings of all, and the users with a new password, which the cluster does not know yet.
    """
    known = {user: _password(home, user) for user in users}
    settings = {
        user: ClientSettings(
            bootstrap_servers=layout.bootstrap_servers,
            username=user,
            password=password or Secret(secrets.token_urlsafe(24)),
            ca=home.ca,
        )
        for user, password in known.items()
    }
    return settings, frozenset(user for user, password in known.items() if password is None)


def save(home: Home, settings: Mapping[str, ClientSettings]) -> None:
    """Write the client properties files that are not up to date.

    Do so only once the cluster knows the passwords: a new one that was never set must not be taken for the right one.
    """
    for user, wanted in settings.items():
        path, text = home.properties(user), wanted.to_properties()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_private(path, text)


def _password(home: Home, user: str) -> Secret | None:
    try:
        return ClientSettings.from_properties(home.properties(user)).password
    except SettingsError:
        return None

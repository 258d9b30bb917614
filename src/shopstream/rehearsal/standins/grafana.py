"""A stand-in for Grafana; it is not Grafana, and draws nothing.

It reads grafana.ini, the provisioned data sources and dashboards, and answers Grafana's HTTP API where it reads:
/api/health, /api/datasources, /api/search, /api/dashboards/uid/UID, and /api/datasources/proxy/uid/UID/..., which asks
the data source. As with the real one, the administrator's password counts when the database is made, and after that
only `grafana-cli admin reset-admin-password` changes it.
"""

from __future__ import annotations

import configparser
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .httpd import Reply, server


class Grafana:
    """What is provisioned, read anew with each request.

    Args:
        ini: grafana.ini.
        data: Where the database would lie.
        provisioning: The directory of `datasources` and `dashboards`.
    """

    def __init__(self, ini: Path, data: Path, provisioning: Path) -> None:
        self._config = configparser.ConfigParser(interpolation=None)
        with ini.open(encoding="utf-8") as file:
            self._config.read_file(file)
        self._database = data / "stand-in.json"
        self._provisioning = provisioning

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen."""
        return self._config.get("server", "http_addr", fallback=""), self._config.getint(
            "server", "http_port", fallback=3000
        )

    def initialise(self) -> None:
        """Make the database from grafana.ini when there is none."""
        if not self._database.exists():
            self.reset(self._config.get("security", "admin_password", fallback="admin"))

    def reset(self, password: str) -> None:
        """Set the administrator's password."""
        self._database.touch(mode=0o600)
        user = self._config.get("security", "admin_user", fallback="admin")
        self._database.write_text(json.dumps({user: password}), encoding="utf-8")

    def accounts(self, target: str) -> dict[str, str] | None:
        """Who may ask for a path."""
        if urlsplit(target).path == "/api/health":
            return None
        found: dict[str, str] = json.loads(self._database.read_text(encoding="utf-8"))
        return found

    def sources(self) -> list[dict[str, Any]]:
        """The provisioned data sources."""
        return [source for file in self._files("datasources") for source in file.get("datasources") or []]

    def dashboards(self) -> dict[str, dict[str, Any]]:
        """The provisioned dashboards by uid."""
        found = {}
        for file in self._files("dashboards"):
            for provider in file.get("providers") or []:
                for path in sorted(Path(provider["options"]["path"]).rglob("*.json")):
                    dashboard = json.loads(path.read_text(encoding="utf-8"))
                    found[dashboard["uid"]] = dashboard
        return found

    def _files(self, kind: str) -> list[dict[str, Any]]:
        paths = [*(self._provisioning / kind).glob("*.yaml"), *(self._provisioning / kind).glob("*.yml")]
        return [yaml.safe_load(path.read_text(encoding="utf-8")) or {} for path in sorted(paths)]

    def reply(self, target: str) -> Reply:
        """The answer to a request."""
        url = urlsplit(target)
        if url.path == "/api/health":
            return Reply(200, {"database": "ok", "version": "11.6.0", "standIn": True})
        if url.path == "/api/datasources":
            return Reply(200, self.sources())
        if url.path == "/api/search":
            found = self.dashboards().values()
            return Reply(200, [{"uid": one["uid"], "title": one["title"], "type": "dash-db"} for one in found])
        if url.path.startswith("/api/dashboards/uid/"):
            dashboard = self.dashboards().get(url.path.rpartition("/")[2])
            return Reply(200, {"dashboard": dashboard, "meta": {"provisioned": True}}) if dashboard else _missing()
        if url.path.startswith("/api/datasources/proxy/uid/"):
            uid, _, rest = url.path.removeprefix("/api/datasources/proxy/uid/").partition("/")
            return self._ask(uid, f"/{rest}" + (f"?{url.query}" if url.query else ""))
        return _missing()

    def _ask(self, uid: str, rest: str) -> Reply:
        source = next((source for source in self.sources() if source.get("uid") == uid), None)
        if source is None or urlsplit(source["url"]).scheme not in {"http", "https"}:
            return _missing()
        try:
            with urllib.request.urlopen(source["url"].rstrip("/") + rest, timeout=30) as answer:  # noqa: S310 - above
                return Reply(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            return Reply(error.code, error.read())
        except OSError as error:
            return Reply(502, {"message": f"the data source {uid} does not answer: {error}"})


def _missing() -> Reply:
    return Reply(404, {"message": "Not found"})


def main() -> None:
    """`grafana` serves; `grafana reset` takes the administrator's new password from its standard input."""
    try:
        grafana = Grafana(Path("/etc/grafana/grafana.ini"), Path("/var/lib/grafana"), Path("/etc/grafana/provisioning"))
        if sys.argv[1:] == ["reset"]:
            grafana.reset(sys.stdin.read().strip())
            return
        grafana.initialise()
        server(grafana.address, grafana.reply, grafana.accounts, "Grafana").serve_forever()
    except (OSError, configparser.Error) as error:
        sys.exit(f"stand-in for Grafana: {error}")


if __name__ == "__main__":
    main()

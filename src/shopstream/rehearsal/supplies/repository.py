"""Signed apt repositories, flat or with suites and components, written without a tool but dpkg-deb and gpg."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.rehearsal.supplies.building import run

if TYPE_CHECKING:
    from pathlib import Path

_GPG_REMEDY = "install gnupg, and see that the cache directory's path is no longer than about 80 characters"
_THREADS = 4


@dataclass(frozen=True)
class Signer:
    """A throw-away key: only the guests trust it, and only as long as the cache lives.

    Attributes:
        home: gpg's directory.
    """

    home: Path

    @classmethod
    def of(cls, cache: Path) -> Signer:
        """The key of a cache; made when there is none."""
        home = cache / "signing"
        if not (home / "public.asc").is_file():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(mode=0o700, parents=True)
            signer = cls(home)
            user = "shopstream rehearsal"
            signer._gpg("--passphrase", "", "--quick-generate-key", user, "ed25519", "sign", "never")
            exported = signer._gpg("--armor", "--export")
            (home / "public.asc").write_text(exported, encoding="ascii")
        return cls(home)

    @property
    def public(self) -> str:
        """The public key, as text."""
        return (self.home / "public.asc").read_text(encoding="ascii")

    def clearsign(self, source: Path, target: Path) -> None:
        """Write a signed copy of a text file."""
        self._gpg("--digest-algo", "SHA512", "--output", str(target), "--clearsign", str(source))

    def _gpg(self, *arguments: str) -> str:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--pinentry-mode", "loopback", *arguments]
        try:
            return run(command, "the rehearsal's repositories cannot be signed", _GPG_REMEDY)
        finally:
            # gpg leaves an agent behind; nothing of the rehearsal may stay.
            run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], "gpg's agent cannot be ended", _GPG_REMEDY)


def flat(root: Path, signer: Signer) -> None:
    """Make a directory of packages a repository without suites: `deb [...] <address> ./`."""
    (root / "Packages").write_text(_packages(root, root), encoding="utf-8")
    _release(root, signer, suite="./", component="")


def suited(root: Path, signer: Signer, suite: str, component: str, key: str) -> None:
    """Make a directory whose packages lie in `pool` a repository: `deb [...] <address> <suite> <component>`.

    Args:
        root: The directory.
        signer: Whose key signs it.
        suite: For example stable.
        component: For example main.
        key: The name of the file that the public key is served as.
    """
    dists = root / "dists" / suite
    for architecture in ("amd64", "all"):
        index = dists / component / f"binary-{architecture}"
        index.mkdir(parents=True)
        text = _packages(root, root / "pool") if architecture == "amd64" else ""
        (index / "Packages").write_text(text, encoding="utf-8")
    _release(dists, signer, suite=suite, component=component)
    (root / key).write_text(signer.public, encoding="ascii")


def _packages(root: Path, pool: Path) -> str:
    debs = sorted(pool.rglob("*.deb"))
    with ThreadPoolExecutor(_THREADS) as threads:
        return "".join(threads.map(lambda deb: _stanza(root, deb), debs))


def _stanza(root: Path, deb: Path) -> str:
    control = run(["dpkg-deb", "--field", deb], f"{deb.name} cannot be read", "delete it and start again").rstrip("\n")
    with deb.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{control}\nFilename: ./{deb.relative_to(root)}\nSize: {deb.stat().st_size}\nSHA256: {sha256}\n\n"


def _release(directory: Path, signer: Signer, *, suite: str, component: str) -> None:
    indexes = sorted(directory.rglob("Packages"))
    for index in list(indexes):
        packed = index.with_suffix(".gz")
        packed.write_bytes(gzip.compress(index.read_bytes(), mtime=0))
        indexes.append(packed)
    now = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    fields = {
        "Origin": "shopstream rehearsal",
        "Label": "shopstream rehearsal",
        "Suite": suite,
        "Codename": suite,
        "Date": now,
        "Architectures": "amd64 all",
        **({"Components": component} if component else {}),
    }
    sums = "".join(
        f" {hashlib.sha256(index.read_bytes()).hexdigest()} {index.stat().st_size} {index.relative_to(directory)}\n"
        for index in sorted(indexes)
    )
    release = directory / "Release"
    release.write_text("".join(f"{name}: {value}\n" for name, value in fields.items()) + f"SHA256:\n{sums}")
    signer.clearsign(release, directory / "InRelease")

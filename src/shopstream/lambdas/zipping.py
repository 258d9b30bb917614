"""What goes into a Lambda zip, and how it gets there so that the same sources give the same bytes.

A zip holds what the service's handler can import and nothing else: the modules of this project that it reaches, its
data files, topology.yaml, and the wheels that it needs.

In whatever order, at whatever time and by whomever it is built, it is the same: names are sorted, times, modes and
compression fixed, and nothing is compiled. Only zlib is left to the machine: two versions of it may compress the same
content to different bytes.

Bytecode would save part of the init time (bench/lambda_init.py measures how much), but only CPython 3.13 can make
Lambda's, so the zips would depend on the machine that builds. AWS advises against it as well ("Working with .zip file
archives for Python Lambda functions", on __pycache__ folders).
"""

from __future__ import annotations

import ast
import importlib.util
import io
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from shopstream.errors import PackagingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# Parts of the wheels that no handler reaches. Each is large or a test; the rest is not worth a line.
_UNUSED = (
    "confluent_kafka/avro/",
    "confluent_kafka/kafkatest/",
    "confluent_kafka/schema_registry/",
    "yaml/_yaml.",  # libyaml's binding: PyYAML does without it, and shopstream.topology never asks for it
)
_TYPING_ONLY = (".pyi", "/py.typed")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
_MODE = 0o100644


class Reach(NamedTuple):
    """What a module imports, directly or through others.

    Attributes:
        modules: The project's own modules, by dotted name.
        foreign: Top-level names of everything else that is not in the standard library.
    """

    modules: Mapping[str, Path]
    foreign: frozenset[str]


def reachable(entries: Sequence[str], roots: Sequence[Path]) -> Reach:
    """Follow every import of modules, those inside functions too; `if TYPE_CHECKING:` is left out.

    A module that is imported by a computed name is not found, unless something else imports it.

    Raises:
        PackagingError: One of the modules themselves does not exist.
    """
    modules: dict[str, Path] = {}
    foreign: set[str] = set()
    for entry in entries:
        if _source(entry, roots) is None:
            raise PackagingError(f"there is no module {entry} under {' or '.join(map(str, roots))}")
    waiting = [*entries]
    while waiting:
        name = waiting.pop()
        if name in modules:
            continue
        path = _source(name, roots)
        if path is None:
            top = name.partition(".")[0]
            if _source(top, roots) is None and top not in sys.stdlib_module_names:
                foreign.add(top)
            continue
        modules[name] = path
        waiting += [name.rpartition(".")[0]] if "." in name else []
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imports(ast.parse(path.read_bytes(), str(path)), package)
    return Reach(dict(sorted(modules.items())), frozenset(foreign))


def _source(name: str, roots: Sequence[Path]) -> Path | None:
    parts = name.split(".")
    candidates = (root.joinpath(*parts) for root in roots)
    files = (file for path in candidates for file in (path / "__init__.py", path.with_name(f"{path.name}.py")))
    return next((file for file in files if file.is_file()), None)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """The absolute names that a tree imports; of `from a import b` both `a` and `a.b`, whichever is a module."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
        children: Sequence[ast.AST] = node.orelse
    else:
        children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)
    for child in children:
        yield from _imports(child, package)


def own_files(service: str, reach: Reach, root: Path) -> dict[str, bytes]:
    """The project's own files of a zip, by their names in it: sources, the service's data, and the topology.

    `root` is the directory that holds services/ and topology.yaml.
    """
    files = {}
    for name, path in reach.modules.items():
        stem = name.replace(".", "/")
        files[f"{stem}/__init__.py" if path.name == "__init__.py" else f"{stem}.py"] = path.read_bytes()
    folder = root / "services" / service
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith("."):
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    if "shopstream.topology" in reach.modules:
        files["shopstream/topology.yaml"] = (root / "topology.yaml").read_bytes()
    return files


def wheel_files(wheels: Sequence[Path]) -> dict[str, bytes]:
    """What wheels install into site-packages, without what no handler needs, by name.

    Raises:
        PackagingError: A wheel wants files elsewhere, which a zip for Lambda cannot give it.
    """
    files = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                name = _installed(entry.filename, wheel)
                if not entry.is_dir() and _is_needed(name):
                    files[name] = archive.read(entry)
    return files


def _installed(name: str, wheel: Path) -> str:
    """Where an entry of a wheel is installed, below site-packages ("Binary distribution format", PyPA)."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    scheme, _, rest = rest.partition("/")
    if scheme not in {"purelib", "platlib"}:
        raise PackagingError(f"{wheel.name} holds {name}, which belongs outside the zip: leave that package out")
    return rest


def _is_needed(name: str) -> bool:
    if name.startswith(_UNUSED) or name.endswith(_TYPING_ONLY):
        return False
    parts = PurePosixPath(name).parts
    if parts[0].endswith(".dist-info"):  # for `importlib.metadata`, and because licences go with what they license
        return parts[1] == "METADATA" or "licen" in name.lower()
    return not {"tests", "test", "__pycache__"} & set(parts)


def pack(files: Mapping[str, bytes], base: bytes = b"") -> bytes:
    """A zip of files by their names; `base` is a zip that it continues. Equal arguments give equal bytes."""
    buffer = io.BytesIO()
    buffer.write(base)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, wherever this runs: the mode is one of its own
            entry.external_attr = _MODE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return buffer.getvalue()

"""Each layer imports only what lies below it, and importing any module touches neither network nor environment."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THE_CORE = {"shopstream.events", "shopstream.errors"}

# What the modules of a layer may import beyond the standard library and themselves. The first name that fits counts.
LAYERS = {
    "services": THE_CORE,
    "shopstream.errors": set(),
    "shopstream.events": {"shopstream.errors", "msgspec"},
    "shopstream.topology": THE_CORE | {"yaml"},
    "shopstream.settings": {"shopstream.errors"},
}
# What a layer must never import, directly or inside a function.
FORBIDDEN = {"shopstream.audit": {"services", "shopstream.runtime"}}


def sources():
    """Every module of the project by its dotted name."""
    for base, package in ((ROOT, "services"), (ROOT / "src", "shopstream")):
        for path in sorted((base / package).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path.read_text(encoding="utf-8")


MODULES = dict(sources())


def within(name, package):
    return name == package or name.startswith(f"{package}.")


def imports(source, module, scope=""):
    """Each import of a module: the function that it stands in ('' for none), and what it imports.

    `from package import name` counts as `package.name` when that is a module of the project. A relative import is
    given with its dots.
    """

    def visit(node, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((function, alias.name) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = "." * child.level + (child.module or "")
                for alias in child.names:
                    full = f"{base}.{alias.name}"
                    yield function, full if full in MODULES else base
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from visit(child, function or child.name)
            else:
                yield from visit(child, function)

    return set(visit(ast.parse(source, module), scope))


def is_standard(name):
    return name.partition(".")[0] in sys.stdlib_module_names


def violations(module, source):
    """What a module imports and must not."""
    layer = next((package for package in LAYERS if within(module, package)), None)
    banned = {name for package, names in FORBIDDEN.items() if within(module, package) for name in names}
    found = []
    for function, name in sorted(imports(source, module)):
        place = f"{module}:{function or 'module level'} imports {name}"
        if any(within(name, each) for each in banned):
            found.append(place)
        if layer is None or is_standard(name):
            continue
        itself = layer if layer != "services" else module
        allowed = {*LAYERS[layer], itself}
        if layer == "services" and function == "handler":
            allowed = {"shopstream.runtime"}
        if not any(within(name, each) for each in allowed):
            found.append(place)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module):
    assert violations(module, MODULES[module]) == []


def test_there_is_something_to_check():
    assert all(any(within(module, layer) for module in MODULES) for layer in LAYERS)
    assert sum(within(module, "services") and module.count(".") == 2 for module in MODULES) == 6


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.a.a", "import msgspec"),
        ("services.a.a", "import shopstream.settings"),
        ("services.a.a", "from shopstream import topology"),
        ("services.a.a", "from services.b import b"),
        ("services.a.a", "from . import b"),
        ("services.a.a", "from shopstream.runtime import esm"),
        ("services.a.a", "def react():\n    from shopstream.runtime import esm"),
        ("services.a.a", "def handler():\n    import confluent_kafka"),
        ("services.a.a", "def handler():\n    from shopstream.cluster import home"),
        ("services.a.a", "if TYPE_CHECKING:\n    from shopstream.topology import Topology"),
        ("shopstream.errors", "import shopstream.events"),
        ("shopstream.events.x", "from shopstream.topology import load"),
        ("shopstream.events.x", "def f():\n    import services"),
        ("shopstream.topology.x", "from shopstream.settings import Secret"),
        ("shopstream.audit.x", "from services.payment_processor import payment_processor"),
        ("shopstream.audit.x", "try:\n    def f():\n        import shopstream.runtime.esm\nfinally:\n    pass"),
        ("shopstream.audit", "from shopstream.runtime import esm"),
    ],
)
def test_the_check_finds_a_planted_violation(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.a.a", "import json, os.path\nfrom shopstream.events import derive\nimport shopstream.errors"),
        ("services.a.a", "def handler():\n    from shopstream.runtime import esm\n    import json"),
        ("shopstream.events.x", "from shopstream.events.identity import event_id\nimport msgspec"),
        ("shopstream.audit.x", "from shopstream.events import encode\nimport rich"),
    ],
)
def test_the_check_lets_the_rest_pass(module, source):
    assert violations(module, source) == []


# Imports modules, given as source folder and name, and prints what their own code asks of the environment, and whatever
# anybody asks of the network. What a library asks on its own account (click asks for the language when an option is
# declared) is its own; the modules through which one reads the environment are looked through.
GUARD = """
import importlib, os, psutil, sys

folders, names = zip(*(argument.split("=") for argument in sys.argv[1:]))
library = os.path.dirname(os.__file__)
# pathlib is a module in Python 3.11, and a package since.
THROUGH = tuple(os.path.join(library, name) for name in ("os.py", "posixpath.py", "_collections_abc.py", "pathlib"))
THROUGH += ("<frozen os>", "<frozen posixpath>", "<frozen _collections_abc>")
ours = tuple({os.path.join(folder, name.partition(".")[0]) for folder, name in zip(folders, names)})

def asked_by_project():
    frame = sys._getframe(2)
    while frame.f_code.co_filename.startswith(THROUGH):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(ours)

def guarded(name):
    original = getattr(os._Environ, name)
    def guard(self, *arguments):
        if asked_by_project():
            print(f"{module} reads the environment: {arguments}")
        return original(self, *arguments)
    setattr(os._Environ, name, guard)

for name in ("__getitem__", "__iter__", "__len__", "__setitem__"):
    guarded(name)

def audit(event, arguments):
    if event.startswith("socket.") and event not in {"socket.__new__", "socket.gethostname"}:
        print(f"{module} uses the network: {event}")
    if event == "subprocess.Popen":
        print(f"{module} starts a process")

# It asks once, when it is first imported, whether the kernel has IPv6, with a socket that it binds and closes.
import urllib3.util.connection

sys.addaudithook(audit)
sys.path[:0] = dict.fromkeys(folders)
for module in names:
    importlib.import_module(module)

process = psutil.Process()
if process.num_threads() > 1:
    print("afterwards a thread is running")
if process.net_connections(kind="all"):
    print("afterwards a socket is open")
"""


def import_under_guard(folder_of):
    """What the guard prints about modules, given by name with the folder to import each from."""
    arguments = [f"{folder}={name}" for name, folder in folder_of.items()]
    guarded = [sys.executable, "-W", "error", "-c", GUARD, *arguments]
    result = subprocess.run(guarded, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_importing_any_module_opens_no_connection_and_reads_no_environment():
    folders = {"services": ROOT, "shopstream": ROOT / "src"}
    modules = [module for module in MODULES if not module.endswith("__main__")]
    assert import_under_guard({module: folders[module.partition(".")[0]] for module in modules}) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("import os; HOME = os.environ['HOME']", "planted reads the environment"),
        ("import os; HOME = os.environ.get('HOME')", "planted reads the environment"),
        ("import os; HOME = os.getenv('HOME')", "planted reads the environment"),
        ("import os; HAS = 'HOME' in os.environ", "planted reads the environment"),
        ("import os; COPY = dict(os.environ)", "planted reads the environment"),
        ("import pathlib; HOME = pathlib.Path.home()", "planted reads the environment"),
        ("import socket; PAIR = socket.socketpair()", "afterwards a socket is open"),
        ("import socket; socket.getaddrinfo('127.0.0.1', 80)", "planted uses the network"),
        (
            """
            import socket
            try:
                socket.create_connection(("127.0.0.1", 9), timeout=0.1)
            except OSError:
                pass
            """,
            "planted uses the network",
        ),
        ("import subprocess; subprocess.run(['true'])", "planted starts a process"),
        (
            "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "afterwards a thread is running",
        ),
    ],
)
def test_the_guard_notices_a_planted_offence(tmp_path, source, complaint):
    (tmp_path / "planted.py").write_text(textwrap.dedent(source), encoding="utf-8")
    complaints = import_under_guard({"planted": tmp_path})
    assert any(line.startswith(complaint) for line in complaints)

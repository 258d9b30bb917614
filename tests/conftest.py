"""What holds for every test."""

import sys
from pathlib import Path

import pytest

import services

SHOP = Path(services.__file__).parent


@pytest.fixture(autouse=True)
def _no_other_services_stay(monkeypatch):
    """A service that a test lets be found beside a topology of its own is forgotten afterwards, imported or not."""
    monkeypatch.setattr(services, "__path__", list(services.__path__))
    yield
    for name in [name for name, module in sys.modules.items() if name.startswith("services.") and _strange(module)]:
        del sys.modules[name]
        package, _, attribute = name.rpartition(".")
        vars(sys.modules.get(package, services)).pop(attribute, None)


def _strange(module):
    origin = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
    return not Path(origin).is_relative_to(SHOP)

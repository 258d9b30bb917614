"""What is generated from the code is what is committed."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "generate.py"


def rendered():
    spec = importlib.util.spec_from_file_location("generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.render()


@pytest.mark.parametrize(("path", "text"), [pytest.param(*item, id=item[0].name) for item in rendered().items()])
def test_a_generated_file_is_up_to_date(path, text):
    assert path.read_text(encoding="utf-8") == text, "run `python scripts/generate.py` and look at what changed"

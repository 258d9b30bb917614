"""The documentation's site shows what pages lead to, and is not built when one of them leads nowhere.

The real pages are built by `make check`; here it is a site of two pages, with the same settings.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".venv-docs" / "bin" / "python"
CONF = ROOT / "scripts" / "docs_site" / "conf.py"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make docs` installs Sphinx")

START = """# Start

[page](docs/page.md#a-place) [script](scripts/run.py) [no lexer](LICENSE) [about it](docs/it) [only named](scripts)

```mermaid
flowchart LR
  a --> b
```
"""
PAGE = """# Page

## A place

- [x] [back](../README.md) [here](#a-place) [the script](../scripts/run.py) `--json`: done -- really
"""


@pytest.fixture
def site(tmp_path):
    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    write("README.md", START)
    write("docs/page.md", PAGE)
    write("docs/it/README.md", "# It\n")
    write("scripts/run.py", "print('<hello>')\n")
    write("LICENSE", "Do as you like.\n")
    settings(tmp_path, "docs/page", "docs/it/README")
    return tmp_path


def settings(site, *pages):
    changed = f"\nnavigation = {{'All': {pages!r}}}\nhtml_static_path = html_css_files = []\n"
    (site / "conf.py").write_text(CONF.read_text(encoding="utf-8") + changed, encoding="utf-8")


def build(site):
    """Build it as scripts/build_docs.sh does."""
    return subprocess.run(
        [PYTHON, "-m", "sphinx", "--quiet", "--fail-on-warning", "--doctree-dir", site / "build" / "read", site,
         site / "build" / "docs"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_site_shows_what_its_pages_lead_to(site):
    done = build(site)
    assert (done.stderr, done.returncode) == ("", 0)
    made = site / "build" / "docs"
    start = (made / "index.html").read_text(encoding="utf-8")
    page = (made / "docs" / "page.html").read_text(encoding="utf-8")
    for target in (
        "docs/page.html#a-place",
        "source/scripts/run.py.html",
        "source/LICENSE.html",
        "docs/it/README.html",
    ):
        assert f'href="{target}"' in start
    assert 'href="scripts' not in start
    assert 'class="mermaid"' in start
    assert (made / "_static" / "mermaid" / "mermaid.min.js").is_file()
    assert 'href="../source/scripts/run.py.html"' in page
    assert 'type="checkbox"' in page
    assert "done -- really" in page
    assert "&lt;hello&gt;" in (made / "source" / "scripts" / "run.py.html").read_text(encoding="utf-8")
    assert (made / "source" / "scripts" / "run.py").read_bytes() == (site / "scripts" / "run.py").read_bytes()


def test_what_leads_nowhere_is_an_error(site):
    settings(site, "docs/page", "docs/gone")
    (site / "docs" / "page.md").write_text(
        PAGE + "\n[1](no.md) [2](../no.py) [3](../README.md#no) [4](#nothing)\n\n```nonsense\nx\n```\n",
        encoding="utf-8",
    )
    done = build(site)
    assert done.returncode == 1
    for complaint in (
        "page.md:7: WARNING: 'myst' cross-reference target not found: 'no.md'",
        "page.md:7: WARNING: 'myst' cross-reference target not found: '../no.py'",
        "page.md:7: WARNING: local id not found in doc 'README': 'no'",
        "page.md:7: WARNING: 'myst' cross-reference target not found: 'nothing'",
        "page.md:9: WARNING: Pygments lexer name 'nonsense' is not known",
        "README.md: WARNING: document isn't included in any toctree",
        "toctree contains reference to nonexisting document 'docs/gone'",
    ):
        assert complaint in done.stderr

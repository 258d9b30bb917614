"""The documentation as a site: Sphinx's configuration, for scripts/build_docs.sh.

The pages are written for GitHub and stay as they are. What a site needs besides is added here: an order, diagrams, and
pages for the files of the repository that they link to. The site's folders are the repository's, so links fit both.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from pygments.lexers import find_lexer_class_for_filename
from sphinx import addnodes
from sphinx_immaterial.mermaid_diagrams import MermaidDirective

if TYPE_CHECKING:
    from collections.abc import Iterator

project = "shopstream"
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "infra/**.md"]
exclude_patterns = ["**/.*", ".*", "build"]

# Every page but the first. Sphinx refuses a page that does not stand here.
navigation = {
    "The shop": ["docs/architecture", "docs/guarantees", "docs/adding-a-service", "docs/decisions/README"],
    "As functions": ["docs/local-lambda", "docs/lambda-console"],
    "On AWS": [
        "docs/aws",
        "docs/cost",
        "docs/monitoring",
        "infra/README",
        "infra/terraform/README",
        "infra/ansible/README",
    ],
    "Rehearsal": ["docs/rehearsal", "docs/rehearsal-hosts"],
    "Reference": ["docs/reference/cli", "docs/reference/topology", "docs/reference/events", "docs/reference/errors"],
    "The project": ["docs/checklist", "CONTRIBUTING", "docs/continuous-integration", "CHANGELOG"],
}

extensions = ["myst_parser", "sphinx_immaterial"]
# What GitHub makes of Markdown, too: ticks, diagrams, an anchor for each heading.
myst_enable_extensions = ["tasklist"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 6
smartquotes = False  # it would make a dash of `--`

html_theme = "sphinx_immaterial"
html_title = "shopstream"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_use_index = False
html_theme_options = {
    "font": False,  # it would come from somebody else's server
    "features": ["navigation.sections", "navigation.top", "content.code.copy", "search.highlight", "toc.follow"],
    "palette": [
        {
            "media": f"(prefers-color-scheme: {name})",
            "scheme": scheme,
            "toggle": {"icon": f"material/{icon}", "name": f"Show it {other}"},
        }
        for name, scheme, icon, other in (
            ("light", "default", "weather-night", "dark"),
            ("dark", "slate", "weather-sunny", "light"),
        )
    ],
}

SOURCES = "source"
"""The site's folder for files of the repository that are no pages."""
_linked: set[str] = set()


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.add_config_value("navigation", {}, "env")
    app.add_directive("mermaid", MermaidDirective)
    app.connect("source-read", _append_navigation)
    app.connect("doctree-read", _lead_to_sources, priority=100)  # before Sphinx copies what it takes for downloads
    app.connect("html-collect-pages", _source_pages)
    app.connect("build-finished", _make_start_page)


def _append_navigation(app: Any, page: str, text: list[str]) -> None:
    """Put the order of the pages behind the first one, where only Sphinx sees it."""
    if page == app.config.root_doc:
        for caption, pages in app.config.navigation.items():
            listed = "\n".join(f"/{name}" for name in pages)
            text[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n"


def _lead_to_sources(app: Any, doctree: Any) -> None:
    """Let links to other files lead to a page that shows the file, and those to folders to the page about the folder.

    A folder without a page is only named. What is not there stays as it is: MyST warns of it.
    """
    root, page = Path(app.srcdir), app.env.docname
    here = (root / page).parent
    for link in list(doctree.findall(addnodes.download_reference)):
        name = (here / link["reftarget"]).resolve().relative_to(root).as_posix()
        _linked.add(name)
        uri = app.builder.get_relative_uri(page, f"{SOURCES}/{name}")
        link.replace_self(nodes.reference("", "", *link.children, refuri=uri, internal=True))
    for link in list(doctree.findall(addnodes.pending_xref)):
        folder = here / link["reftarget"]
        if link["reftype"] != "myst" or link["refdomain"] == "doc" or not folder.is_dir():
            continue
        about = (folder.resolve() / "README").relative_to(root).as_posix()
        if about in app.env.found_docs:
            link["refdomain"], link["reftarget"], link["reftargetid"] = "doc", about, None
        else:
            link.replace_self(link.children)


def _source_pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages that show files, each with the file itself beside it."""
    for name in sorted(_linked):
        file, copy = Path(app.srcdir, name), Path(app.outdir, SOURCES, name)
        lexer = find_lexer_class_for_filename(name)
        code = app.builder.highlighter.highlight_block(
            file.read_text(encoding="utf-8"), lexer.aliases[0] if lexer else "text", force=True
        )
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        body = f'<h1>{name}</h1>\n<p><a href="{file.name}">The file itself</a></p>\n{code}'
        yield f"{SOURCES}/{name}", {"title": name, "body": body, "meta": {"hide-toc": ""}}, "page.html"


def _make_start_page(app: Any, error: Exception | None) -> None:
    """Show the first page where a browser looks for it."""
    if error is None:
        shutil.copyfile(Path(app.outdir, f"{app.config.root_doc}.html"), Path(app.outdir, "index.html"))

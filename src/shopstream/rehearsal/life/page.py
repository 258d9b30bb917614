"""The report as one HTML page that needs nothing beside itself. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

from shopstream.rehearsal.life import report
from shopstream.rehearsal.life.phases import NAMES, named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shopstream.rehearsal.life.record import Record, Result

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2e7d32; --bad: #c62828; --bar: #5c7cfa }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top;
  padding: .25rem .75rem .25rem 0; border-top: 1px solid var(--line) }
.time td { border: 0; padding: .1rem .5rem .1rem 0; white-space: nowrap } .time td:last-child { width: 100% }
.bar { position: relative; height: 1rem; min-width: 3px; border-radius: 2px; background: var(--bar) }
.bar.bad { background: var(--bad) } .good { color: var(--good) } .bad { color: var(--bad) } .bar.bad { color: inherit }
code, pre { font: 13px/1.4 ui-monospace, monospace } pre { overflow-x: auto; white-space: pre-wrap }
summary { cursor: pointer } .num { text-align: right }
"""


def render(record: Record, *, version: str) -> str:
    """The page.

    Args:
        record: The rehearsal.
        version: Of this project.
    """
    results = report.ordered(record)
    complete = len(results) == len(NAMES) and all(each.ok for each in results)
    failed = [each.name for each in results if not each.ok]
    headline = (
        "failed: " + ", ".join(failed) if failed else "all phases succeeded" if complete else "so far all is well"
    )
    began = min((each.began for each in results), default=0.0)
    when = datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [
        f"<h1>Rehearsal of the deployment: <span class={'bad' if failed else 'good'}>{escape(headline)}</span></h1>",
        f"<p>shopstream {escape(version)}, {when}, {_duration(report.total(record))} in {len(results)} phases.</p>",
        "<h2>Timeline</h2>",
        _timeline(results),
        "<h2>Run unchanged</h2>",
        "".join(f"<p>{escape(line)}</p>" for line in report.unchanged(record)),
        *_counted(record),
        _zips(record),
        *(_phase(each) for each in results),
        "<h2>What was stood in for</h2>",
        _table(("part of production", "here"), report.STOOD_IN),
        "<h2>What it does not show</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report.NOT_SHOWN) + "</ul>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Rehearsal</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>\n'
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _timeline(results: list[Result]) -> str:
    """One bar for each phase, where it lies between the first one's beginning and the last one's end."""
    if not results:
        return "<p>nothing was run</p>"
    first = min(each.began for each in results)
    last = max(each.began + each.seconds for each in results)
    whole = max(last - first, 0.1)
    rows = []
    for each in results:
        left, width = 100 * (each.began - first) / whole, 100 * each.seconds / whole
        bad = "" if each.ok else " bad"
        rows.append(
            f"<tr><td><a href='#{each.name}'>{each.name}</a></td><td class=num>{_duration(each.seconds)}</td>"
            f"<td><div class='bar{bad}' style='margin-left:{left:.2f}%;width:{width:.2f}%'></div></td></tr>"
        )
    return f"<table class=time>{''.join(rows)}</table>"


def _phase(result: Result) -> str:
    mark = "<span class=good>ok</span>" if result.ok else "<span class=bad>failed</span>"
    parts = [
        f"<h2 id='{result.name}'>{result.name} <small>{mark}, {_duration(result.seconds)}</small></h2>",
        f"<p>{escape(named(result.name).about)}</p>",
    ]
    if result.error:
        parts.append(f"<pre class=bad>{escape(result.error)}</pre>")
    if result.counts:
        parts.append(_table(None, result.counts.items()))
    if checks := result.data.get("checks"):
        rows = [("ok" if each["ok"] else "not ok", each["what"], each["found"]) for each in checks]
        parts.append(_details(f"{len(rows)} things looked at", _table(("", "what", "found"), rows)))
    if blocked := result.data.get("blocked"):
        listed = _table(None, [(each,) for each in blocked])
        parts.append(_details(f"{len(blocked)} attempts that the security groups have blocked", listed))
    return "\n".join(parts)


def _counted(record: Record) -> Iterator[str]:
    for phase, key in (("infrastructure", "resources"), ("configure", "tasks")):
        found: Mapping[str, Any] | None = record.data(phase).get(key)
        if found and found["reasons"]:
            rows = [(name, reason or "unknown") for name, reason in found["reasons"].items()]
            yield _details(f"{len(rows)} {key} that are declared and were not run", _table(("which", "why"), rows))


def _zips(record: Record) -> str:
    hashes: Mapping[str, str] = record.data("zips").get("zips") or {}
    if not hashes:
        return ""
    head = "CodeSha256, built and run" if "judge" in record.done else "CodeSha256, as built"
    return _details(f"{len(hashes)} zips", _table(("zip", head), hashes.items()))


def _table(head: Iterable[str] | None, rows: Iterable[Iterable[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{escape(each)}</th>' for each in head)}</tr>" if head else ""
    body = "".join(f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _details(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60} s"

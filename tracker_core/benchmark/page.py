"""A self-contained HTML page: one file that needs no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence as List

from tracker_core.benchmark.moments import jpeg
from tracker_core.tracker import Image

_STYLE = """
:root { color-scheme: light dark;
  --ink:#1d2329; --soft:#5c6670; --line:#e3e7ea; --paper:#ffffff; --wash:#f5f7f8; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink:#e4e8eb; --soft:#9aa5ae; --line:#333b42; --paper:#1c2126; --wash:#14181b; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--wash);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 36px 24px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 20px; margin: 44px 0 4px; }
p { margin: 4px 0 12px; max-width: 78ch; }
.soft, figcaption, .note { color: var(--soft); }
.lead { font-size: 18px; max-width: 70ch; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 14px 16px; margin: 12px 0; overflow-x: auto; }
.grid { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(430px, 100%), 1fr)); }
.grid .card { margin: 0; }
svg { display: block; width: 100%; height: auto; }
svg.spark { height: 44px; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 10px; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; }
th.left, td.left { text-align: left; }
th.wide { min-width: 260px; width: 38%; }
tbody tr:hover { background: var(--wash); }
.dot { display: inline-block; width: .75em; height: .75em; border-radius: 50%;
  margin-right: .5em; }
.best { font-weight: 700; }
.cell { border-radius: 4px; padding: 2px 7px; margin-right: -7px; }
figure { margin: 0; }
figure img { width: 100%; display: block; border-radius: 6px; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
figcaption { font-size: 13px; padding-top: 6px; }
figcaption b { color: var(--ink); font-weight: 600; }
.warning { border-left: 3px solid #e69f00; padding-left: 10px; }
footer { margin-top: 50px; font-size: 13px; color: var(--soft); }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""

#: Classes of columns that hold no numbers, by their heading.
_CLASSES = {'Overlap over time': 'left wide', 'Source': 'left', 'Measure': 'left'}


def escape(text: str) -> str:
    """Text for HTML."""
    return html.escape(text)


def document(title: str, body: List[str]) -> str:
    """The whole page."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{_STYLE}</style></head>\n'
        f'<body><main>\n' + '\n'.join(body) + '\n</main></body></html>\n'
    )


def section(title: str, note: str, *content: str) -> str:
    """A heading, a sentence below it (HTML), and content."""
    return f'<h2>{escape(title)}</h2><p class="note">{note}</p>' + ''.join(content)


def card(content: str) -> str:
    """A white box."""
    return f'<div class="card">{content}</div>'


def grid(items: List[str]) -> str:
    """White boxes beside each other as far as there is room."""
    return f'<div class="grid">{"".join(map(card, items))}</div>'


def table(header: List[str], rows: List[List[str]]) -> str:
    """A table; headings and cells are HTML already."""
    kinds = [f' class="{_CLASSES[cell]}"' if cell in _CLASSES else '' for cell in header]
    head = _row('th', header, kinds)
    body = ''.join(_row('td', row, kinds) for row in rows)
    return f'<table><thead>{head}</thead><tbody>{body}</tbody></table>'


def _row(tag: str, cells: List[str], kinds: List[str]) -> str:
    pairs = zip(cells, kinds, strict=True)
    return '<tr>' + ''.join(f'<{tag}{kind}>{cell}</{tag}>' for cell, kind in pairs) + '</tr>'


def dot(color: str, text: str) -> str:
    """A name with the colour of its curves."""
    return f'<span class="dot" style="background:{color}"></span>{escape(text)}'


def strong(text: str) -> str:
    """The best of a column."""
    return f'<span class="best">{escape(text)}</span>'


def shaded(value: float, text: str, *, best: bool = False) -> str:
    """A number on a background from white (0) to green (1)."""
    strength = min(max(value, 0.0), 1.0) * 0.55
    kind = 'cell best' if best else 'cell'
    return f'<span class="{kind}" style="background:rgba(0,158,115,{strength:.2f})">{text}</span>'


def pair(first: Image, second: Image, caption: str, alternatives: tuple[str, str]) -> str:
    """Two RGB pictures beside each other; the caption is HTML.

    alternatives: what each picture shows, in words.
    """
    pictures = ''.join(
        f'<img alt="{escape(text)}" '
        f'src="data:image/jpeg;base64,{base64.b64encode(jpeg(each)).decode()}">'
        for each, text in zip((first, second), alternatives, strict=True)
    )
    return f'<figure><div class="pair">{pictures}</div><figcaption>{caption}</figcaption></figure>'

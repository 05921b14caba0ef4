"""Pieces of a self-contained web page: tables, figures and images as HTML that loads nothing."""

import base64
import io
import os
import re
from html import escape
from importlib import resources
from typing import NamedTuple

import matplotlib
from matplotlib.figure import Figure

from msvi.report.tables import DIVERGED, MISSING, Table

# Text stays text, in the colours of the page; ids depend on the content alone.
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "msvi"}
_MEDIA = {".png": "image/png", ".gif": "image/gif"}


class Section(NamedTuple):
    """A part of the page: a name for links, a title, what it holds as HTML, and the sections below it."""

    name: str
    title: str
    body: str
    parts: tuple["Section", ...] = ()


def page(title: str, lead: str, sections: list[Section]) -> str:
    """The whole page.

    Args:
      title: plain text.
      lead: what stands below the title, HTML.
      sections: in their order; those without body and parts are left out.
    """
    sections = [section for section in sections if section.body or section.parts]
    style = resources.files("msvi.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the results</a>
<header>
<h1>{escape(title)}</h1>
{lead}
</header>
<nav aria-label="Contents">
<details open>
<summary>Contents</summary>
{_contents(sections)}
</details>
</nav>
<main id="main">
{"".join(_section(section, 2) for section in sections)}</main>
</body>
</html>
"""


def table_html(table: Table, caption: str) -> str:
    """The table in a box of its own that scrolls; nothing if it has no rows. The first cell of each row is its head."""
    if not table.rows:
        return ""
    align = [' class="text"' if _is_text(cells) else "" for cells in zip(*table.rows, strict=True)]
    head = [f'<th scope="col"{a}>{escape(name)}</th>' for a, name in zip(align, table.columns, strict=True)]
    lines = []
    for first, *rest in table.rows:
        cells = []
        for a, name, cell in zip(align[1:], table.columns[1:], map(escape, rest), strict=True):
            cells.append(f"<td{a}>{f'<strong>{cell}</strong>' if name == table.strong else cell}</td>")
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>\n')
    return (
        f'<div class="scroll" role="region" aria-label="{escape(caption)}" tabindex="0">\n<table>\n'
        f"<caption><span>{escape(caption)}</span></caption>\n<thead><tr>{''.join(head)}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n"
        "</table>\n</div>\n"
    )


def figure_html(figure: Figure, description: str, caption: str) -> str:
    """A figure drawn into the page, in the colours of its scheme.

    Args:
      figure: its black becomes the colour of the text.
      description: what is seen, for those who do not see it.
      caption: plain text.
    """
    text = io.StringIO()
    with matplotlib.rc_context(_SVG):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", text.getvalue(), flags=re.DOTALL)
    body = re.search(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)[1]
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # the same in every figure, and nothing refers to them
    # Figures of equal content have equal ids; those below make them this figure's own.
    salt = re.sub(r"\W+", "-", description.lower())
    body = re.sub(r'( id="|url\(#|xlink:href="#)', lambda match: f"{match[1]}{salt}-", body)
    body = body.replace("xlink:href", "href").replace("#000000", "currentColor")
    box = re.search(r'viewBox="[^"]*"', svg)[0]
    drawing = f'<svg role="img" aria-label="{escape(description)}" {box}>{body}</svg>'
    return f'<figure class="drawn">\n{drawing}\n<figcaption>{escape(caption)}</figcaption>\n</figure>\n'


def image_html(path: str, description: str, caption: str) -> str:
    """A PNG or GIF held in the page; nothing if there is no such file. An animation can be folded away."""
    if not os.path.exists(path):
        return ""
    kind = os.path.splitext(path)[1]
    with open(path, "rb") as file:
        content = base64.b64encode(file.read()).decode()
    image = f'<img src="data:{_MEDIA[kind]};base64,{content}" alt="{escape(description)}">'
    if kind == ".gif":
        image = f"<details open>\n<summary>Animation</summary>\n{image}\n</details>"
    else:
        image = f'<div class="pan" role="region" aria-label="{escape(caption)}" tabindex="0">{image}</div>'
    return f'<figure class="image">\n{image}\n<figcaption>{escape(caption)}</figcaption>\n</figure>\n'


def _is_text(cells: tuple[str, ...]) -> bool:
    """Whether a column holds words, which stand to the left, rather than numbers."""
    filled = [cell for cell in cells if cell not in ("", MISSING)]
    return bool(filled) and all(cell[0].isalpha() and cell != DIVERGED for cell in filled)


def _contents(sections: list[Section] | tuple[Section, ...]) -> str:
    items = []
    for section in sections:
        below = _contents(section.parts) if section.parts else ""
        items.append(f'<li><a href="#{escape(section.name)}">{escape(section.title)}</a>{below}</li>\n')
    return f"<ul>\n{''.join(items)}</ul>\n"


def _section(section: Section, level: int) -> str:
    parts = "".join(_section(part, level + 1) for part in section.parts)
    return (
        f'<section id="{escape(section.name)}">\n<h{level}>{escape(section.title)}</h{level}>\n'
        f"{section.body}{parts}</section>\n"
    )

"""Pieces of a self-contained web page: tables, figures and images as HTML that loads nothing.

The HTML is in `templates/`, which escape whatever is put into them.
"""

import base64
import io
import os
import re
from typing import Any, NamedTuple

import jinja2
import matplotlib
from matplotlib.figure import Figure

from msvi.report.tables import DIVERGED, MISSING, Table

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("msvi.report"),
    autoescape=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)
# Text stays text, in the colours of the page; ids depend on the content alone.
_SVG: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "msvi"}
# Pictures that a page can hold, the first that is there.
_MEDIA = {".png": "image/png", ".svg": "image/svg+xml", ".gif": "image/gif"}


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
    return _TEMPLATES.get_template("page.html").render(title=title, lead=lead, sections=sections) + "\n"


def methods_html() -> str:
    """What the scores are."""
    return _TEMPLATES.get_template("methods.html").render()


def table_html(table: Table, caption: str) -> str:
    """The table in a box of its own that scrolls; nothing if it has no rows. The first cell of each row is its head."""
    if not table.rows:
        return ""
    return _piece("table", table, [_is_text(cells) for cells in zip(*table.rows, strict=True)], caption)


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
    (body,) = re.findall(r"<svg[^>]*>(.*)</svg>", svg, re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body)  # the same in every figure, and nothing refers to them
    # Figures of equal content have equal ids; those below make them this figure's own.
    salt = re.sub(r"\W+", "-", description.lower())
    body = re.sub(r'( id="|url\(#|xlink:href="#)', lambda match: f"{match[1]}{salt}-", body)
    body = body.replace("xlink:href", "href").replace("#000000", "currentColor")
    return _piece("drawing", body, re.findall(r'viewBox="([^"]*)"', svg)[0], description, caption)


def image_html(path: str, description: str, caption: str) -> str:
    """A picture or animation held in the page; nothing if there is no such file, or none that a page can show."""
    kind = os.path.splitext(path)[1]
    if kind not in _MEDIA or not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        content = base64.b64encode(file.read()).decode()
    return _piece("image", f"data:{_MEDIA[kind]};base64,{content}", kind == ".gif", description, caption)


def missing_html(what: str, command: str) -> str:
    """A line that says what result files lack and which command adds it."""
    return _piece("missing", what, command)


def paragraph_html(text: str) -> str:
    """A paragraph of plain text; nothing if there is none."""
    return _piece("paragraph", text) if text else ""


def figures_html(figures: list[str]) -> str:
    """Figures side by side where there is room."""
    return f'<div class="figures">\n{"".join(figures)}</div>\n'


def _piece(name: str, *values) -> str:
    return str(getattr(_TEMPLATES.get_template("pieces.html").module, name)(*values)).lstrip("\n")


def _is_text(cells: tuple[str, ...]) -> bool:
    """Whether a column holds words, which stand to the left, rather than numbers."""
    filled = [cell for cell in cells if cell not in ("", MISSING)]
    return bool(filled) and all(cell[0].isalpha() and cell != DIVERGED for cell in filled)

"""Hooks of the documentation's build: pictures of figures/, which lie beside docs/, and formulas as MathML.

Browsers draw MathML by themselves, so that the pages need no network.
"""

import html
import pathlib
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PICTURES = {".png", ".gif"}
# What the Markdown extension arithmatex leaves of a formula, in a line and on lines of its own.
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pictures under the path that they have in the repository."""
    root = pathlib.Path(config.config_file_path).parent
    for path in sorted((root / "figures").rglob("*")):
        if path.suffix in _PICTURES:
            name = path.relative_to(root).as_posix()
            files.append(File(name, str(root), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    """Pages say `../figures/`, as is right where they are read in the repository."""
    return markdown.replace("](../figures/", "](figures/")


def on_page_content(content: str, **_) -> str:
    """Formulas become MathML."""
    return _FORMULA.sub(_to_mathml, content)


def _to_mathml(found: re.Match[str]) -> str:
    display = "block" if found[1] == "div" else "inline"
    return f'<{found[1]} class="formula">{convert(html.unescape(found[2]), display=display)}</{found[1]}>'

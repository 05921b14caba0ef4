"""Hooks of the documentation's build: the pictures of figures/, which lie beside docs/, become part of the site."""

import pathlib

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_PICTURES = {".png", ".gif"}


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

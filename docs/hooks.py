"""Turns this repository into a site: pages outside docs/, notebook, links, Python reference.

The pages are written to be read in the repository: links are paths relative to their file. Some
pages are not in docs/ (README.md), one is a notebook, and those of the Python reference only name
what MkDocs is to document.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

ELSEWHERE = {
    "README.md": "index.md",
    "datasets/README.md": "datasets.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docs/tutorial.ipynb": "tutorial.md",
}
"""File in the repository → page of the site, where it is not docs/NAME.md → NAME.md."""

SOURCES = {page: source for source, page in ELSEWHERE.items()}

LINK = re.compile(r"(?P<text>!?\[[^]]*\])\((?P<target>[^)\s]+)\)")
ROLE = re.compile(r":[a-z]+:`(?P<short>~?)(?P<name>[\w.]+)`")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not Markdown files in docs/."""
    for source, page in ELSEWHERE.items():
        text = (ROOT / source).read_text()
        if source.endswith(".ipynb"):
            text = "\n\n".join(notebook_parts(json.loads(text), files, config))
        files.append(File.generated(config, page, content=text))
    for page in re.findall(r"api/[\w.]+\.md", str(config.nav)):
        package = PurePosixPath(page).stem
        functions = [
            f"::: {name}\n    options: {{show_root_heading: true}}"
            for name in hidden_functions(package)
        ]
        content = "\n\n".join([f"# {package}", f"::: {package}", *functions])
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to pages of the site; links to other files of the repository become text."""
    source = PurePosixPath(SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def pointed(link: re.Match[str]) -> str:
        parts = urlsplit(link["target"])
        if parts.scheme or not parts.path:
            return link[0]
        path = os.path.normpath(source.parent / parts.path)
        if not (ROOT / path).exists():
            return link[0]  # MkDocs reports it
        uri = ELSEWHERE.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(uri) is None:
            return link["text"][1:-1]
        anchor = f"#{parts.fragment}" if parts.fragment else ""
        relative = os.path.relpath(uri, PurePosixPath(page.file.src_uri).parent)
        return f"{link['text']}({relative}{anchor})"

    return LINK.sub(pointed, markdown)


def hidden_functions(package: str) -> list[str]:
    """Return the functions of a package that are named like their module: ``easnn.engine.launch``.

    MkDocs takes such a name for the module and leaves it out.
    """
    source = (ROOT / package.replace(".", "/") / "__init__.py").read_text()
    found = re.findall(rf"^from {re.escape(package)}\.(\w+) import (.*)$", source, re.M)
    return [
        f"{package}.{module}.{module}" for module, names in found if module in names.split(", ")
    ]


def notebook_parts(notebook: dict[str, Any], files: Files, config: MkDocsConfig) -> Iterator[str]:
    """Yield the cells of a notebook as Markdown; its pictures become files of the site."""
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield source
            continue
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"images/tutorial_{number}.png"
                picture = base64.b64decode("".join(data["image/png"]))
                files.append(File.generated(config, name, content=picture))
                yield f"![Output of the cell above]({name})"
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                yield f"```text\n{text.rstrip()}\n```"


class SphinxRoles(griffe.Extension):
    """Turns Sphinx roles in docstrings, such as ``:class:`~easnn.exp.EventExp` ``, into links."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            text = obj.docstring.value.replace("::\n\n", ":\n\n")
            obj.docstring.value = ROLE.sub(_reference, text)


def _reference(role: re.Match[str]) -> str:
    shown = role["name"].rsplit(".", 1)[-1] if role["short"] else role["name"]
    return f'<autoref identifier="{role["name"]}" optional><code>{shown}</code></autoref>'

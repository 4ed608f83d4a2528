"""The page's files as files: nothing from elsewhere, nothing inline, nothing that makes markup out of text."""

import re
from pathlib import Path

import pytest

import clearing

WEB = Path(clearing.__file__).parent / "console" / "web"
OWN = [path for path in sorted(WEB.rglob("*.js")) if "vendor" not in path.parts]
MODULES = [*OWN, *sorted((WEB / "vendor").glob("*.js"))]
IMPORTS = re.compile(r"""^(?:import|export)\b[^;]*?from\s*["']([^"']+)["']""", re.MULTILINE)
MARKUP = (
    "innerHTML",
    "outerHTML",
    "insertAdjacent",
    "document.write",
    "dangerously",
    "eval(",
    "new Function",
)


def test_there_are_pages() -> None:
    assert len(OWN) > 30


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(WEB).as_posix())
def test_no_module_makes_markup_of_text(path: Path) -> None:
    """What a bank wrote stays text; each file can be read in one go."""
    text = path.read_text()
    assert [word for word in MARKUP if word in text] == []
    assert len(text.splitlines()) < 300


def test_every_import_is_a_file_of_the_page() -> None:
    found = [(path, name) for path in MODULES for name in IMPORTS.findall(path.read_text())]
    assert len(found) > 100
    lost = [
        f"{path}: {name}" for path, name in found if not (path.parent / name).resolve().is_file()
    ]
    assert lost == []


def test_the_first_page_holds_nothing_inline() -> None:
    """The content security policy forbids it: scripts and styles are files of this server."""
    text = (WEB / "index.html").read_text()
    assert re.findall(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", text) == []
    for name in re.findall(r'(?:href|src)="([^"]+)"', text):
        assert name.startswith("web/"), name
        assert (WEB / name.removeprefix("web/")).is_file()


def test_styles_ask_nobody_else() -> None:
    for path in WEB.rglob("*.css"):
        assert re.findall(r"@import|url\(", path.read_text()) == [], path


def test_what_is_vendored_says_what_it_is() -> None:
    """Package, version and licence in the first line; the table beside it says the same."""
    table = (WEB / "vendor" / "README.md").read_text()
    for path in (WEB / "vendor").glob("*.js"):
        first = path.read_text().splitlines()[0]
        said = re.match(r"/\* (\w+)(?: hooks)? ([\d.]+), .*?(LICENSE-\w+\.txt)", first)
        assert said is not None, first
        assert f"{said[1].lower()} {said[2]}" in table.lower()
        assert (WEB / "vendor" / said[3]).is_file()

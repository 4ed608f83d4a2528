"""The help card: keys, and what the signs mean."""

from rich.text import Text

from clearing.top.pages import PAGES
from clearing.top.sheet import GLYPHS, STYLES, UNKNOWN, Tone

_KEYS = (
    (" ".join(page.key for page in PAGES), "the pages, as they are named above"),
    ("↑ ↓ ← →", "move; Page up, Page down, Home, End; Tab: the next table"),
    ("Enter", "everything about the row, also what was too long for it"),
    ("/", "filter as you type; Enter keeps it, Esc shows all again"),
    ("s S", "sort by the next column, or the one before"),
    ("r", "turn the order round (without a column: most urgent first)"),
    ("p", "pause: hold on to what is shown, and go on"),
    ("q", "quit (Ctrl-C too)"),
)
_SIGNS: tuple[tuple[Tone, str], ...] = (
    ("good", "as it should be: on time, OK, settled, final, ready"),
    ("warn", "look at it: at risk, slow, in progress, 80 % of a cap used"),
    ("bad", "act: will miss, stalled, failed, late, a cap used up, a halt"),
    ("", "neither: open, no cut-off"),
)


def _help() -> Text:
    text = Text("clearing top shows what the console shows. It looks and never acts.\n\n")
    for keys, meaning in _KEYS:
        text.append(f"{keys:>13}  ", "bold")
        text.append(f"{meaning}\n")
    text.append("\n")
    for tone, meaning in _SIGNS:
        text.append(f"{GLYPHS[tone]:>13}  ", STYLES[tone] or "bold")
        text.append(f"{meaning}\n")
    text.append(f"{UNKNOWN:>13}  ", "bold")
    text.append("not known (never zero)\n\nTimes of day are UTC. Esc: back")
    return text


HELP = _help()

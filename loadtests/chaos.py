"""`python -m loadtests.chaos` (`make chaos`): the fault tests in their long form, and the table of what was seen.

Runs tests/faults with so many rounds, then writes the matrix of loadtests.matrix; nothing is written when a test
fails or a fault of the list was not injected.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from cyclopts import App
from rich.console import Console

from clearing.failures import ExitCode
from loadtests.matrix import Incomplete, markdown, read, rows

ROOT = Path(__file__).parents[1]

app = App(name="python -m loadtests.chaos", help_format="markdown")


@app.default
def chaos(
    *,
    rounds: int = 10,
    output: Path = Path("ops/proof/faults.md"),
    observations: Path | None = None,
) -> ExitCode:
    """Inject every fault many times on real Kafka, PostgreSQL and services, and write down what happened.

        make chaos
        python -m loadtests.chaos --rounds 50

    Parameters
    ----------
    rounds
        How often to inject each fault, compared with `make test`.
    output
        The table, as Markdown.
    observations
        Make the table of this file, without running anything: what `pytest tests/faults --observations` wrote.
    """
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        seen = observations or Path(folder) / "observations.jsonl"
        if observations is None and (code := _inject(rounds, seen)):
            console.print(f"pytest ended with {code}: no table is written", style="red")
            return ExitCode.FAILED
        try:
            table = rows(read(seen))
        except (OSError, Incomplete) as error:
            console.print(f"no table is written: {error}", style="red", markup=False)
            return ExitCode.FAILED
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(markdown(table, f"python -m loadtests.chaos --rounds {rounds}"))
    console.print(f"{output}: {sum(table.values()):,} faults in {len(table)} rows", markup=False)
    return ExitCode.OK


def _inject(rounds: int, seen: Path) -> int:
    """Run the tests; pytest's exit code."""
    options = ["-n", "0", "--rounds", str(rounds), "--observations", str(seen.absolute())]
    # Many rounds may take longer than a test that hangs.
    options += ["-o", "faulthandler_timeout=0"]
    program = [sys.executable, "-m", "pytest", "tests/faults", *options]
    return subprocess.run(program, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(app(result_action="return_value"))

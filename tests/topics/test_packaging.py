"""The contract travels with the software: in a checkout at the top, in an installed wheel inside the package."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from clearing.topics.contract import contract_folder

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_it_at_the_top() -> None:
    assert contract_folder() == ROOT / "topics"


def test_a_wheel_has_it_inside(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    installed = tmp_path / "installed" / "clearing"
    packed = {file.relative_to(installed).as_posix() for file in installed.rglob("*.*")}
    wanted = {
        file.relative_to(ROOT / "topics").as_posix() for file in (ROOT / "topics").rglob("*.*")
    }
    assert {f"topics/contract/{name}" for name in wanted} <= packed
    assert "dev/demo.toml" in packed
    code = (
        "from clearing.topics.contract import contract_folder, read_contract\n"
        "print(contract_folder(), len(read_contract().topics))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert shown.stdout.split() == [str(installed / "topics" / "contract"), "20"]

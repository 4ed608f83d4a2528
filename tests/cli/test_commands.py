"""The command line without servers: help, settings, files that are checked, errors in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import clearing
from clearing import __version__
from clearing.cli import _COMMANDS
from clearing.failures import ExitCode
from tests.cli.run import Runner

PAYMENT: dict[str, object] = {
    "type": "payment",
    "id": "3f2b8c1a-7d44-4c6e-9a51-0d2f6b7c8e90",
    "debtor": "ALPHA",
    "creditor": "BRAVO",
    "asset": "HKD",
    "amount": "1.00",
    "value_date": "2026-01-05",
    "end_to_end_id": "E1",
}
CLEARING = Path(clearing.__file__).parent
NAMES = [name for _, name, _ in _COMMANDS]


def test_help_names_every_command_and_what_it_is_for() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "clearing", "--help"], capture_output=True, timeout=60, check=True
    ).stdout.decode()
    for name in NAMES:
        line = next((line for line in shown.splitlines() if line.startswith(f"│ {name} ")), "")
        assert len(line.removeprefix(f"│ {name}").strip(" │")) > 20, name
    assert "clearing demo" in shown
    assert "Exit codes" in shown


def test_help_imports_none_of_what_the_commands_work_with() -> None:
    """That is what keeps it quick; a clock would measure the machine instead."""
    code = (
        "import sys; sys.argv = ['clearing', '--help']\n"
        "from clearing.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'pyarrow', 'aiokafka', 'asyncpg', 'uvloop', 'structlog', 'asyncio.base_events'}\n"
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True
    )
    assert ended.stderr.decode().split() in ([], ["asyncio.base_events"])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_the_global_options(run: Runner, name: str) -> None:
    ended = run(name, "--help")
    assert ended.code == ExitCode.OK
    assert f"Usage: clearing {name}" in ended.out
    assert "--bootstrap" in ended.out
    assert len(ended.out.splitlines()) > 15


def test_version(run: Runner) -> None:
    assert run("--version").out.strip() == __version__


def test_completion_is_made_for_every_command(run: Runner, tmp_path: Path) -> None:
    script = tmp_path / "clearing.bash"
    ended = run(
        "--install-completion", "--shell", "bash", "--output", script, "--no-add-to-startup"
    )
    if ended.code:  # an older cyclopts has no such flag
        ended = run("--install-completion", "--shell", "bash", "--output", script)
    assert ended.code == ExitCode.OK
    text = script.read_text()
    for name in NAMES:
        assert name in text


@pytest.mark.parametrize("arguments", [["nonsense"], ["verify", "--nonsense"], ["command", "fund"]])
def test_wrong_usage(run: Runner, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.code == ExitCode.USAGE
    assert "Error" in ended.err + ended.out


# Settings


def test_settings_say_where_they_come_from(
    run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Flags go before environment, environment before file, file before default."""
    (tmp_path / "clearing.toml").write_text(
        'bootstrap = "file:1"\ntopic_prefix = "file-"\nlog_level = "debug"\n'
    )
    monkeypatch.setenv("CLEARING_BOOTSTRAP", "environment:1")
    monkeypatch.setenv("CLEARING_TOPIC_PREFIX", "environment-")
    ended = run("config", "show", "--json", "--bootstrap", "flag:1")
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(ended.out)}
    assert rows["bootstrap"] == ("flag:1", "--bootstrap")
    assert rows["topic_prefix"] == ("environment-", "CLEARING_TOPIC_PREFIX")
    assert rows["log_level"] == ("debug", "clearing.toml")
    assert rows["log_format"] == ("auto", "default")


def test_global_options_may_stand_before_the_command(run: Runner) -> None:
    ended = run("--bootstrap", "flag:1", "--json", "config", "show")
    assert {row["setting"]: row["value"] for row in json.loads(ended.out)}["bootstrap"] == "flag:1"


def test_a_password_is_not_shown(run: Runner) -> None:
    ended = run("config", "show", "--dsn", "postgresql://user:geheim@host/ledger")
    assert "geheim" not in ended.out
    assert "user:***@host" in ended.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("bootstrap = 1 = 2", "clearing.toml: "),
        ("nonsense = 1", "unknown field `nonsense`"),
        ('metrics_port = "x"', "metrics_port"),
    ],
)
def test_a_settings_file_that_cannot_be_used(
    run: Runner, tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "clearing.toml").write_text(content)
    ended = run("config", "show")
    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert "next:" in ended.err


def test_a_settings_file_that_is_not_there(run: Runner) -> None:
    ended = run("config", "show", "--config", "elsewhere.toml")
    assert ended.code == ExitCode.USAGE
    assert "elsewhere.toml: No such file or directory" in ended.err


# Errors


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["verify"],
        ["replay"],
        ["follow", "events"],
        ["command", "close-window"],
        ["topics", "plan"],
    ],
)
def test_kafka_that_is_not_there(run: Runner, arguments: list[str]) -> None:
    ended = run("--bootstrap", "127.0.0.1:1", *arguments)
    assert ended.code == ExitCode.UNREACHABLE
    first, second = ended.err.strip().splitlines()[-2:]
    assert first == "clearing: cannot reach Kafka at 127.0.0.1:1"
    assert second.startswith("next:     clearing dev up")
    assert "Traceback" not in ended.err


def test_debug_shows_the_traceback(run: Runner) -> None:
    ended = run("--bootstrap", "127.0.0.1:1", "--debug", "status")
    assert ended.code == ExitCode.UNREACHABLE
    assert "Traceback" in ended.err


def test_a_file_name_cannot_steer_the_terminal(run: Runner) -> None:
    ended = run("scheme", "check", "\x1b[2Jevil\n[red]x")
    assert ended.code == ExitCode.USAGE
    assert "\x1b" not in ended.err
    assert "[red]x" in ended.err


# Schemes and payments in files


def test_a_scheme_is_checked_with_line_and_reason(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "scheme.toml"
    file.write_text('name = "x"\n[netting_sets.hk]\n[assets.HKD]\nnetting_set = "hkk"\n')
    ended = run("scheme", "check", file)
    assert ended.code == ExitCode.USAGE
    assert f"{file}:line 4" in ended.out
    problems = json.loads(run("scheme", "check", file, "--json").out)
    assert problems["ok"] is False
    assert {problem["line"] for problem in problems["problems"]} >= {4}


def test_a_scheme_is_shown_as_the_commands_it_stands_for(run: Runner) -> None:
    scheme = Path(__file__).parents[2] / "clearing" / "dev" / "demo.toml"
    assert run("scheme", "check", scheme).code == ExitCode.OK
    commands = json.loads(run("scheme", "show", scheme, "--json", "--on", "2026-01-05").out)
    kinds = {one["command"]["type"] for one in commands}
    assert kinds >= {"register_asset", "register_participant", "open_account", "set_calendar"}
    again = run("scheme", "show", scheme, "--json", "--on", "2026-01-05").out
    assert json.loads(again) == commands


def test_the_list_of_topics_needs_no_cluster(run: Runner) -> None:
    topics = json.loads(run("topics", "list", "--json").out)
    assert {"log", "outcomes", "settlements", "journal"} <= topics.keys()


def payments_file(tmp_path: Path, *orders: dict[str, object] | str) -> Path:
    file = tmp_path / "payments.jsonl"
    lines = [order if isinstance(order, str) else json.dumps(order) for order in orders]
    file.write_text("\n".join(lines))
    return file


def test_every_bad_line_is_shown_with_its_reason_and_nothing_is_published(
    run: Runner, tmp_path: Path
) -> None:
    """Kafka is not even asked: nothing leaves before all of it is sound."""
    file = payments_file(
        tmp_path, PAYMENT, PAYMENT | {"amount": "1e2"}, "", "{", PAYMENT | {"id": "x"}
    )
    ended = run("publish", file)
    assert ended.code == ExitCode.USAGE
    lines = ended.out.strip().splitlines()
    assert [line.split(" ")[:2] for line in lines] == [
        [f"{file}:2:", "AM12"],
        [f"{file}:4:", "XSYN"],
        [f"{file}:5:", "XUID"],
    ]
    assert "nothing was published: 3 of 4 lines are bad" in ended.err


def test_bad_lines_as_data(run: Runner, tmp_path: Path) -> None:
    file = payments_file(tmp_path, PAYMENT, PAYMENT | {"amount": "-1"})
    report = json.loads(run("publish", file, "--json").out)
    assert (report["lines"], report["published"]) == (2, 0)
    assert [(bad["line"], bad["reason"]) for bad in report["bad"]] == [(2, "AM12")]


def test_a_dry_run_publishes_nothing(run: Runner, tmp_path: Path) -> None:
    ended = run(
        "--bootstrap", "127.0.0.1:1", "publish", payments_file(tmp_path, PAYMENT), "--dry-run"
    )
    assert ended.code == ExitCode.OK
    assert "1 lines are sound" in ended.err


def test_csv_has_the_fields_in_its_first_line(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    header = "id,debtor,creditor,asset,amount,value_date,end_to_end_id,window,chain_reference"
    row = "3f2b8c1a-7d44-4c6e-9a51-0d2f6b7c8e90,ALPHA,BRAVO,HKD,1.00,2026-01-05,E1"
    file.write_text(f"{header}\n{row},,\n{row},3,\n{row},,eip155:1:0xabc:0\n{row},x,\n")
    report = json.loads(run("publish", file, "--dry-run", "--skip-bad", "--json").out)
    assert report["lines"] == 4
    assert [(bad["line"], bad["reason"]) for bad in report["bad"]] == [(5, "XFLD")]


def test_csv_with_a_cell_too_many_or_too_few(run: Runner, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    for row in ("1,2,3", "1"):
        file.write_text(f"id,debtor\n{row}\n")
        ended = run("publish", file)
        assert ended.code == ExitCode.USAGE
        assert f"{file}:2: not as many cells" in ended.err


def test_a_file_of_several_chunks(run: Runner, tmp_path: Path) -> None:
    """Line numbers go on from chunk to chunk."""
    file = tmp_path / "payments.jsonl"
    text = json.dumps(PAYMENT)
    file.write_text("\n".join([*[text] * 12_345, "{", text]))
    report = json.loads(run("publish", file, "--dry-run", "--skip-bad", "--json").out)
    assert report["lines"] == 12_347
    assert [bad["line"] for bad in report["bad"]] == [12_346]


def test_compile_leaves_nothing_to_compile() -> None:
    """What `make` has done: the machine code is there, and a second time there is nothing to do."""
    command = [sys.executable, "-m", "clearing", "compile", "--json"]

    def compiled() -> int:
        return json.loads(
            subprocess.run(command, capture_output=True, timeout=300, check=True).stdout
        )["compiled"]

    compiled()
    kept = {path.name.partition(".")[0] for path in CLEARING.rglob("*.nbc")}
    assert kept >= {"grammar", "records", "checks", "id_slots", "xxh3", "kernel"}
    assert compiled() == 0

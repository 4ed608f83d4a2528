"""The pages as text: what is worst comes first, nothing unknown is zero, nothing read steers a terminal."""

import io
from dataclasses import replace as with_

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from clearing.observe.outlook import worst
from clearing.top.look import look, look_text
from clearing.top.pages import NAMES, PAGES
from clearing.top.sheet import GLYPHS, ROWS_MOST, Cell, Column, Row, Section, Sorting, arranged
from clearing.views.model import LAG_KEY, LagSample
from tests.top.values import (
    BATCH,
    BEAT,
    ENTRY,
    HALT,
    HOSTILE,
    NOW_MS,
    OUTLOOK,
    POSITION,
    SENTENCE,
    TOPICS,
    WINDOW,
    Town,
    busy,
    reject,
    sample,
)


def lines(town: Town, page: str = "overview", needle: str = "", width: int = 160) -> list[str]:
    """As `clearing top PAGE --once` prints them, single-spaced."""
    out = Console(file=io.StringIO(), width=width)
    out.print(look_text(look(town.scene(), page, needle, is_reading=town.is_reading)))
    assert isinstance(out.file, io.StringIO)
    return [" ".join(line.split()) for line in out.file.getvalue().splitlines()]


# --- the answer ------------------------------------------------------------------------------------------------


def test_the_first_line_is_the_worst_outlooks_sentence() -> None:
    town = busy()
    missed = replace(OUTLOOK, asset="USD", verdict="WILL_MISS", sentence="USD misses it.")
    town.put(TOPICS.view("lag"), sample(NOW_MS - 500, OUTLOOK, missed), LAG_KEY)
    expected = worst([OUTLOOK, missed])
    assert expected is missed
    assert lines(town)[0] == f"{GLYPHS['bad']} {missed.sentence}"
    assert lines(town)[1] == "hk · data 0.5 s old · live · round trip 45 ms"


def test_what_stands_still_comes_before_every_outlook() -> None:
    town = busy()
    town.put(TOPICS.halts, HALT)
    for page in NAMES:
        assert lines(town, page)[0] == f"✗ hk sink-hkma stands still: {HALT.reason}"


def test_an_old_answer_says_so_first_and_is_never_good() -> None:
    town = busy()
    town.now_ms += 45_000
    seen = look(town.scene(), "overview").headline
    assert (seen.is_stale, seen.tone) == (True, "warn")
    assert lines(town)[0] == f"▲ STALE, of 46 s ago: {SENTENCE}"
    assert "STALE" in lines(town)[1]
    assert any("the views have said nothing for" in line for line in lines(town))


def test_without_kafka_the_last_known_is_stale_at_once() -> None:
    town = busy()
    town.stale = True
    assert lines(town)[0].startswith("▲ STALE, of 0.8 s ago: ")
    assert "! Kafka cannot be read: this is what was known last" in lines(town)


def test_without_views_it_says_what_to_run() -> None:
    town = Town()
    assert lines(town)[0] == (
        "▲ No views: run clearing views. Without them nobody knows whether the cut-offs are made."
    )
    assert "data –" in lines(town)[1]
    assert "! the views have never run here: clearing views" in lines(town)
    assert "hk – – – – – – –" in lines(town), "what views would count is unknown, not none"
    assert "not known: the views tell it (clearing views)" in lines(town, "rejected")


def test_while_it_reads_it_knows_nothing_yet() -> None:
    town = Town()
    town.is_reading = True
    assert lines(town)[0] == "▲ Nothing is known yet: reading."


def test_without_a_netting_set_the_next_command_is_told() -> None:
    town = Town()
    town.board.directory.clear()
    assert "clearing scheme load SCHEME" in lines(town)[0]


# --- the pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_sections_with_and_without_values(page: object) -> None:
    assert isinstance(page, tuple)
    for town in (Town(), busy()):
        sections = page.build(town.scene(), 10)  # pyright: ignore[reportAttributeAccessIssue]
        assert len(sections) == page.sections  # pyright: ignore[reportAttributeAccessIssue]
        for section in sections:
            assert all(len(row.cells) == len(section.columns) for row in section.rows)
            assert section.empty


def test_overview_tells_each_stage_and_unknown_is_no_zero() -> None:
    told = lines(busy())
    assert "● ON_TIME hk HKD 1,412 4 min 10 s HKD 1.2 bn 38 s" in told
    assert "hk 48,211 12 3 HKD 250 2 1 1" in told
    assert "intake hk ● OK – – – – –" in told
    assert "engine hk ● OK 12 0.4 s HKD 1,200 830 0.1 s" in told
    assert "dispatch hk ✗ HUNG_TXN 12 0.4 s HKD 1,200 830 0.1 s" in told


def test_windows_count_down_and_say_finality_of_every_ledger() -> None:
    town = busy()
    town.put(TOPICS.view("windows"), replace(WINDOW, asset="USD", cutoff_ms=NOW_MS - 1), b"usd")
    town.put(TOPICS.view("windows"), replace(WINDOW, asset="EUR", cutoff_ms=None), b"eur")
    told = lines(town, "windows")
    at = told.index("○ OPEN hk USD 1,412 due – – –")
    assert told[at + 1 : at + 4] == [
        "○ OPEN hk HKD 1,412 4 min 10 s – – –",
        "○ OPEN hk EUR 1,412 by command – – –",
        "● SETTLED hk HKD 1,411 – 812 99 m ▲ chain POSTED 1/2, ● hkma FINAL",
    ]


def test_positions_are_bars_with_their_level_by_glyph_the_fullest_first() -> None:
    told = lines(busy(), "positions")
    at = told.index("CEDRHKHH HKD hk ✗ ████████ 120 % −1,200 −200 0")
    assert told[at + 1 : at + 4] == [
        "BAMBHKHH HKD hk ▲ ██████▊· 85 % −850 150 3",
        "AURAHKHH HKD hk ● ███▋···· 45 % −450 550 0",
        "DUSKHKHH HKD hk – no cap −1 550 0",
    ]


def test_queues_say_who_waits_and_what_he_lacks() -> None:
    told = lines(busy(), "queues")
    assert "HKD hk 3 250 1" in told
    assert "BAMBHKHH HKD hk 3 250 ████████ 100 % 150 100" in told
    town = Town()
    town.put(TOPICS.positions, POSITION)
    assert "nothing waits for liquidity" in lines(town, "queues")


def test_rejected_are_told_with_reasons() -> None:
    told = lines(busy(), "rejected")
    assert "AM04 9 ██████·· 75 %" in told
    assert "FF01 1 Invalid file format AURAHKHH 16:29:30" in told
    assert "16:29:30 hk AURAHKHH FF01 Invalid file format unexpected end of JSON" in told
    section = look(busy().scene(), "rejected").sections[-1]
    redrive = "clearing command redrive AURAHKHH 1001 --netting-set hk --propose"
    assert section.rows[0].details["redrive"] == redrive


def test_services_are_told_by_the_age_of_their_heartbeats_the_late_first() -> None:
    told = lines(busy(), "services")
    at = told.index("sink a ✗ late 45 s 2 h 5 min hk epoch 3 at 4,711 node-1:17 0.1.0")
    assert told[at + 1] == "engine a ● ready 0.9 s 2 h 5 min hk epoch 3 at 4,711 node-1:17 0.1.0"


def test_halts_say_what_to_do_next() -> None:
    town = busy()
    assert "nothing stands still" in lines(town, "halts")
    town.put(TOPICS.halts, HALT)
    said = (
        "✗ HALTED hk sink-hkma bug 2 min 2 batch 87 does not sum to zero clearing explain batch 87"
    )
    assert said in lines(town, "halts")


def test_batches_that_are_not_final_come_first_and_say_how_long_the_ledger_took() -> None:
    told = lines(busy(), "batches")
    at = told.index("▲ PENDING hk 86 HKD 1,411 812 99 m 16:20:00 – hkma")
    assert told[at + 1] == "● FINAL hk 85 HKD 1,411 812 99 m 16:20:00 0.2 s hkma"


def test_participants_are_told_by_their_fullest_account() -> None:
    told = lines(busy(), "participants")
    assert told.index("CEDRHKHH hk 1 ✗ ████████ 120 % HKD 0 nothing") < told.index(
        "BAMBHKHH hk 1 ▲ ██████▊· 85 % HKD 3 HKD 250"
    )


def test_audit_says_what_waits_for_a_second_person_first() -> None:
    told = lines(busy(), "audit")
    waiting = next(n for n, line in enumerate(told) if "set_cap: participant BAMBHKHH" in line)
    entry = next(n for n, line in enumerate(told) if "it is suspended already" in line)
    assert waiting < entry
    (proposal,) = look(busy().scene(), "audit").sections[0].rows
    assert proposal.details["approve"].startswith("clearing command approve p-1 --hash")


# --- whoever wrote it ------------------------------------------------------------------------------------------


def hostile() -> Town:
    """Every text that somebody else writes is one that would steer a terminal, or be markup."""
    town = Town()
    town.put(TOPICS.halts, replace(HALT, reason=HOSTILE, next_command=HOSTILE, owner=HOSTILE))
    town.put(TOPICS.heartbeats, replace(BEAT, instance=HOSTILE, host=HOSTILE, version=HOSTILE))
    town.put(TOPICS.view("rejects"), reject(1, HOSTILE))
    town.put(TOPICS.view("windows"), replace(WINDOW, asset=HOSTILE, reason=HOSTILE))
    town.put(TOPICS.view("batches"), replace(BATCH, asset=HOSTILE, reason=HOSTILE))
    town.put(TOPICS.view("audit"), replace(ENTRY, by=HOSTILE, reason=HOSTILE))
    queued = replace(POSITION, participant=HOSTILE, asset=HOSTILE, queued="1", queued_payments=1)
    town.put(TOPICS.positions, queued)
    town.put(TOPICS.view("lag"), sample(NOW_MS, replace(OUTLOOK, sentence=HOSTILE)), LAG_KEY)
    town.board.unreadable.append(HOSTILE)
    return town


@pytest.mark.parametrize("page", NAMES)
def test_what_others_wrote_is_shown_and_obeyed_nowhere(page: str) -> None:
    out = Console(file=io.StringIO(), width=400, force_terminal=True, color_system=None)
    out.print(look_text(look(hostile().scene(), page)))
    assert isinstance(out.file, io.StringIO)
    printed = out.file.getvalue()
    assert "]0;owned" in printed, "its letters are there"
    assert "[bold red]x[/] [@click=app.quit]y[/]" in printed, "markup is text"
    # Rich's own bold, dim and reset are all that may stand there.
    rest = printed.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert not {c for c in rest if not c.isprintable()} - {"\n"}


def test_an_amount_that_is_none_is_unknown_and_what_is_counted_with_it_fails_loudly() -> None:
    town = Town()
    ended = replace(WINDOW, state="SETTLED", gross="a lot", payments=1)
    town.put(TOPICS.view("windows"), ended)
    assert "● SETTLED hk HKD 1,412 – 1 – –" in lines(town, "windows")
    town.put(TOPICS.positions, replace(POSITION, position="a lot"))
    with pytest.raises(ArithmeticError):
        look(town.scene(), "positions")


# --- filter, order, bounds ---------------------------------------------------------------------------------------


def section(*values: float | None) -> Section:
    rows = [Row(str(at), [Cell(str(value), value)]) for at, value in enumerate(values)]
    return Section("", [Column("n", True)], rows, "none")


def keys(found: Section) -> list[str]:
    return [row.key for row in found.rows]


def test_unknown_values_are_sorted_last_whichever_way() -> None:
    given = section(2, None, 1, 3)
    assert keys(arranged(given)) == ["0", "1", "2", "3"]
    assert keys(arranged(given, sorting=Sorting(0))) == ["2", "0", "3", "1"]
    assert keys(arranged(given, sorting=Sorting(0, True))) == ["3", "0", "2", "1"]
    assert keys(arranged(given, sorting=Sorting(None, True))) == ["3", "2", "1", "0"]


def test_a_filter_finds_in_cells_and_details_in_whatever_case() -> None:
    assert "BAMBHKHH" in "".join(lines(busy(), "positions", "bamb"))
    assert "AURAHKHH" not in "".join(lines(busy(), "positions", "bamb"))
    assert "SETTLED" in "".join(lines(busy(), "windows", "b-1411"))
    assert "nothing with 'zzz'" in lines(busy(), "positions", "zzz")


def test_a_section_is_bounded_and_counts_the_rest() -> None:
    found = arranged(section(*map(float, range(ROWS_MOST + 7))))
    assert (len(found.rows), found.more) == (ROWS_MOST, 7)


def test_a_long_page_makes_the_rows_it_shows_unless_all_are_looked_through() -> None:
    town = busy()
    for number in range(30):
        row = replace(POSITION, participant=f"BANK{number:04}", queued="1.00", queued_payments=1)
        town.put(TOPICS.positions, row)
    for page, rows in (("positions", 34), ("queues", 31)):
        main = look(town.scene(), page, most=10).sections[-1]
        assert (len(main.rows), main.more) == (10, rows - 10)
        main = look(town.scene(), page, "BANK0029", most=10).sections[-1]
        assert [row.cells[0].text for row in main.rows] == ["BANK0029"]
        main = look(town.scene(), page, "", Sorting(0, True), most=10).sections[-1]
        assert (len(main.rows), main.more) == (10, rows - 10)
    assert look(town.scene(), "positions", "", Sorting(0), most=2).sections[-1].rows[0].key == (
        "hk|HKD|AURAHKHH"
    )


@pytest.mark.parametrize("page", NAMES)
def test_every_page_fits_80_columns(page: str) -> None:
    """The last column may be cut: Enter shows all of it."""
    for part in look(busy().scene(), page).sections:
        widths = [
            max([len(column.title), *(len(row.cells[at].text) for row in part.rows)]) + 2
            for at, column in enumerate(part.columns)
        ]
        assert sum(widths[:-1]) <= 78, (part.title, widths)


def test_a_look_is_one_json_document() -> None:
    told = msgspec.json.decode(msgspec.json.encode(look(busy().scene(), "positions")))
    assert told["headline"]["verdict"] == "ON_TIME"
    assert told["headline"]["sentence"] == SENTENCE
    assert told["sections"][0]["rows"][0]["cells"][3]["value"] == 1.2


def test_a_time_of_no_calendar_is_unknown() -> None:
    town = busy()
    town.put(TOPICS.view("windows"), replace(WINDOW, opened_at_ms=1 << 60), b"1412")
    scene = with_(town.scene(), lag=[LagSample(at_ms=NOW_MS, clock_skew_ms=None)])
    assert look(scene, "windows").sections[0].rows[0].details["opened"] == "–"

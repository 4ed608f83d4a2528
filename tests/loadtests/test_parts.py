"""Parts of intake and dispatch are measured without servers: each of every form, over the same payments."""

import pytest
from msgspec import json

from loadtests import parts


def test_every_part_of_every_form_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    parts.app(["--rows", "400", "--bulk", "20", "--stream", "50", "--repeats", "1", "--json"],
              result_action="return_value")  # fmt: skip
    found = json.decode(capsys.readouterr().out, type=list[parts.Part])
    assert len(found) == 3 * 5
    assert len({(each.form, each.part) for each in found}) == len(found)
    assert all(each.best_us >= 0 and each.median_us >= each.best_us for each in found)


def test_what_is_measured_is_the_same_again() -> None:
    [plain, bulk, stream] = parts.forms(20, 50)
    for form in (plain, bulk, stream):
        assert parts.published(form.mix, 400, 7) == parts.published(form.mix, 400, 7)
    assert len(parts.published(plain.mix, 400, 7)[0]) == 100
    assert len(parts.published(bulk.mix, 400, 7)[0]) == 5
    assert len(parts.published(stream.mix, 400, 7)[0]) == 2

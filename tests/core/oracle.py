"""The plain meaning of clearing, one payment at a time, in dicts and Python integers: the oracle of the core.

Written from RULES and reasons.Code, not from clearing.core: nothing of it is imported but the types of what goes
in. Slow and simple on purpose. It says what must come out: outcomes, batches (with hashes), windows, accounts.
"""

import hashlib

from clearing.core.commands import (
    CloseWindow,
    Command,
    Confirmation,
    Fund,
    OpenAccount,
    RegisterAsset,
    RegisterParticipant,
    SetCalendar,
    SetCap,
    SetCutoffs,
    SetStatus,
    SettleWindow,
)
from clearing.core.inputs import LogRecord
from clearing.core.reasons import Code
from tests.core.oracle_books import (
    FUNDING,
    Account,
    Batch,
    Cleared,
    Member,
    OpenWindow,
    Said,
    Waiting,
    content,
    link,
    minor,
    seal,
    takes_part,
)

DAY_MS = 86_400_000
MOST_AMOUNT, MOST_UNSETTLED, MOST_CONDITIONAL = 10**18 - 1, 2**61, 2**60


class Oracle:
    """State of one netting set after the records given to apply()."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.time_ms = self.date = 0
        self.marks: dict[tuple[str, int], int] = {}
        self.status: dict[str, str] = {}  # in order of registration
        self.assets: dict[str, Cleared] = {}
        self.accounts: dict[tuple[str, str], Account] = {}
        self.seen: dict[int, tuple[int, int, int]] = {}  # id → day, body, code
        self.retention = 3
        self.commands: dict[str, Command] = {}
        self.waiting: dict[str, Waiting] = {}
        self.calendar: list[tuple[int, int]] = []
        self.sequence, self.last_hash = 0, "0" * 64

    def apply(self, record: LogRecord) -> Said:
        said = Said()
        marks = [self.marks.get((s.topic, s.partition), 0) for s in record.sources]
        for span, mark in zip(record.sources, marks, strict=True):
            assert span.start <= mark, "a gap: the streams of these tests have none"
            self.marks[span.topic, span.partition] = max(mark, span.end)
        self._pass_time(record.time_ms)
        for name, asset in self.assets.items():
            if asset.window.cutoff_ms and asset.window.cutoff_ms <= self.time_ms:
                self._close(name, said)
        if record.payments is not None:
            self._payments(record, marks, said)
        for item in record.control:
            if item.offset < marks[item.source] or item.message is None:
                continue
            if isinstance(item.message, Confirmation):
                said.answers.append(self._confirm(item.message, said))
            else:
                said.answers.append(self._command(item.message, record.offset, said))
        return said

    def _pass_time(self, time_ms: int) -> None:
        self.time_ms = max(self.time_ms, time_ms)
        today = self.time_ms // DAY_MS
        if self.calendar:
            begun = [date for date, opens_ms in self.calendar if opens_ms <= self.time_ms]
            today = begun[-1] if begun else self.calendar[0][0]
        self.date = max(self.date, today)

    # --- payments ------------------------------------------------------------------------------------------------

    def _payments(self, record: LogRecord, marks: list[int], said: Said) -> None:
        rows = record.payments
        assert rows is not None
        gone = self.date - self.retention
        self.seen = {id_: seen for id_, seen in self.seen.items() if seen[0] >= gone}
        links: dict[str, list[Member]] = {}
        for i in range(len(rows)):
            source, body = int(rows.source[i]), int(rows.body_hash[i])
            id_ = int(rows.id[i, 0]) | int(rows.id[i, 1]) << 64
            owner = record.sources[source].topic.split(".")[-1]
            debtor, creditor = (
                rows.participants[int(at[i])] for at in (rows.debtor, rows.creditor)
            )
            asset = rows.assets[int(rows.asset[i])]
            repeat = False
            if int(rows.source_offset[i]) < marks[source]:
                code = int(Code.ALREADY_READ)
            elif rows.reject[i]:
                code = int(rows.reject[i])
                said.rejected += 1
            elif owner != debtor:
                code = int(Code.NOT_OWNER)
            elif id_ in self.seen:
                _, first_body, code = self.seen[id_]
                repeat = first_body == body
                code = code if repeat else int(Code.DUPLICATE_ID)
            else:
                units = int(rows.amount[i]) * 10 ** max(
                    self._scale(asset) - int(rows.decimals[i]), 0
                )
                code = int(
                    self._refusal(debtor, creditor, asset, units, i, record) or Code.ACCEPTED
                )
                self.seen[id_] = (self.date, body, code)
                if code == Code.ACCEPTED:
                    self.accounts[debtor, asset].position -= units
                    self.accounts[creditor, asset].position += units
                    links.setdefault(asset, []).append(Member(id_, debtor, creditor, units))
                    self.assets[asset].window.members.append(links[asset][-1])
            said.outcomes.append((code, repeat))
        for name, members in links.items():
            window = self.assets[name].window
            window.offsets.append(record.offset)
            window.root = link(window.root, members, list(self.status))
            said.open_windows[name] = window.number

    def _scale(self, asset: str) -> int:
        return self.assets[asset].spec.scale if asset in self.assets else 0

    def _refusal(
        self, debtor: str, creditor: str, asset: str, units: int, i: int, record: LogRecord
    ) -> Code | None:
        """The first reason that applies, in the order of the codes."""
        rows = record.payments
        assert rows is not None
        parties = {Code.UNKNOWN_DEBTOR: debtor, Code.UNKNOWN_CREDITOR: creditor}
        if unknown := [code for code, name in parties.items() if name not in self.status]:
            return unknown[0]
        if debtor == creditor:
            return Code.SAME_PARTY
        if asset not in self.assets:
            return Code.UNKNOWN_ASSET
        for word in ("CLOSED", "SUSPENDED"):
            for side, name in (("DEBTOR", debtor), ("CREDITOR", creditor)):
                if self.status[name] == word:
                    return Code[f"{side}_{word}"]
        for side, name in (("DEBTOR", debtor), ("CREDITOR", creditor)):
            if (name, asset) not in self.accounts:
                return Code[f"{side}_NO_ACCOUNT"]
        cleared = self.assets[asset]
        if int(rows.decimals[i]) > cleared.spec.scale:
            return Code.SCALE
        if units > cleared.maximum:
            return Code.OVER_MAXIMUM
        value_date = int(rows.value_date[i])
        business = not self.calendar or value_date in [date for date, _ in self.calendar]
        if not business or not 0 <= value_date - self.date <= cleared.spec.value_days_ahead:
            return Code.VALUE_DATE
        if int(rows.window[i]) not in (0, cleared.window.number):
            return Code.WINDOW_CLOSED
        if 0 != int(rows.expires_at_ms[i]) <= self.time_ms:
            return Code.EXPIRED
        if self.unsettled(asset) + units > MOST_UNSETTLED:
            return Code.POSITION_RANGE
        account = self.accounts[debtor, asset]
        if account.headroom < units:
            return Code.NET_DEBIT_CAP if account.cap > 0 else Code.LIQUIDITY
        return None

    def unsettled(self, asset: str) -> int:
        waiting = [
            item.members
            for item in self.waiting.values()
            if (item.batch["asset"], item.batch["kind"]) == (asset, "net")
        ]
        return sum(
            m.units for members in (*waiting, self.assets[asset].window.members) for m in members
        )

    # --- windows and batches -------------------------------------------------------------------------------------

    def _next_cutoff(self, asset: Cleared) -> int:
        if asset.spec.every_s:
            every_ms = asset.spec.every_s * 1000
            return self.time_ms - self.time_ms % every_ms + every_ms
        return min((at for at in asset.cutoffs if at > self.time_ms), default=0)

    def _reschedule(self, name: str, said: Said) -> None:
        window = self.assets[name].window
        before, window.cutoff_ms = window.cutoff_ms, self._next_cutoff(self.assets[name])
        if window.cutoff_ms != before:
            said.windows.append((name, window.number, 1, "OPEN"))

    def _open(self, name: str, number: int, said: Said) -> None:
        asset = self.assets[name]
        asset.window = OpenWindow(number, self.time_ms, self._next_cutoff(asset))
        said.windows.append((name, number, 1, "OPEN"))

    def _close(self, name: str, said: Said) -> None:
        asset, window = self.assets[name], self.assets[name].window
        if window.members:
            batch = self._batch(
                asset,
                window.members,
                what=f"{name}|{window.number}|1",
                window=window.number,
                opened_at_ms=window.opened_at_ms,
                log_first=window.offsets[0],
                log_last=window.offsets[-1],
                members_root=window.root,
            )
            self._send(batch, window.members, said)
        else:
            said.windows.append((name, window.number, 1, "SETTLED"))
        self._open(name, window.number + 1, said)

    def _batch(
        self, asset: Cleared, members: list[Member], *, what: str, **fields: str | int
    ) -> Batch:
        """R7: the next in the chain. `fields` as in the batch, where they are not version 1 of a net batch."""
        spec = asset.spec
        self.sequence += 1
        batch = {
            "id": hashlib.sha256(f"{self.name}|{what}".encode()).hexdigest()[:32],
            "kind": "net",
            "netting_set": self.name,
            "sequence": self.sequence,
            "asset": spec.id,
            "code": spec.code,
            "issuer": spec.issuer,
            "ledger": spec.ledger,
            "scale": spec.scale,
            "version": 1,
            "closed_at_ms": self.time_ms,
            "previous": self.last_hash,
        }
        batch = seal(batch | content(spec, members, list(self.status)) | fields)
        self.last_hash = batch["hash"]
        return batch

    def _send(self, batch: Batch, members: list[Member], said: Said) -> None:
        self.waiting[batch["id"]] = Waiting(batch, members)
        said.batches.append(batch)
        if batch["kind"] == "net":
            said.windows.append(
                (batch["asset"], batch["window"], batch["version"], "PENDING_SETTLEMENT")
            )

    def _confirm(self, answer: Confirmation, said: Said) -> str:
        waiting = self.waiting.get(answer.batch)
        if waiting is None:
            return "REPEATED"
        batch = waiting.batch
        if (batch["ledger"], batch["hash"]) != (answer.ledger, answer.hash):
            return "REFUSED"
        if waiting.failed:
            return "REPEATED" if answer.status == "REFUSED" else "REFUSED"
        net, asset = batch["kind"] == "net", batch["asset"]
        state = "SETTLED" if answer.status == "POSTED" else "FAILED"
        if net:
            said.windows.append((asset, batch["window"], batch["version"], state))
            waiting.failed = state == "FAILED"
        if not waiting.failed:
            del self.waiting[answer.batch]
        for m in waiting.members:
            for name, units in ((m.debtor, -m.units), (m.creditor, m.units)):
                if net and state == "SETTLED":
                    self.accounts[name, asset].held += units
                    self.accounts[name, asset].position -= units
                elif not net and state == "FAILED" and name != FUNDING:
                    self.accounts[name, asset].held -= units
        return "DONE"

    # --- commands: of the guards only those that the streams can run into ---------------------------------------

    def _command(self, command: Command, offset: int, said: Said) -> str:
        if command.id in self.commands:
            return "REPEATED" if self.commands[command.id] == command else "REFUSED"
        self.commands[command.id] = command
        return "DONE" if self._do(command, offset, said) else "REFUSED"

    def _do(self, command: Command, offset: int, said: Said) -> bool:
        match command:
            case RegisterAsset(asset=spec):
                known = self.assets.get(spec.id)
                most = minor(spec.max_amount, spec.scale) if spec.max_amount else MOST_AMOUNT
                self.retention = max(self.retention, spec.value_days_ahead)
                if known is None:
                    self.assets[spec.id] = Cleared(
                        spec, min(most, MOST_AMOUNT), OpenWindow(0, 0, 0)
                    )
                    self._open(spec.id, 1, said)
                else:
                    known.spec, known.maximum = spec, min(most, MOST_AMOUNT)
                    self._reschedule(spec.id, said)
            case RegisterParticipant(participant=name):
                self.status.setdefault(name, "ACTIVE")
            case OpenAccount(participant=name, asset=asset):
                scale = self.assets[asset].spec.scale
                self.accounts[name, asset] = Account(cap=minor(command.net_debit_cap, scale))
                self._fund(name, asset, minor(command.prefunded, scale), command.id, offset, said)
            case SetCap(participant=name, asset=asset):
                account = self.accounts[name, asset]
                cap = minor(command.net_debit_cap, self._scale(asset))
                if self._uncountable(asset, cap - account.cap):
                    return False
                account.cap = cap
            case Fund(participant=name, asset=asset):
                units = minor(command.amount, self._scale(asset))
                if self.accounts[name, asset].held + units < 0 > units:
                    return False
                if self._uncountable(asset, units):
                    return False
                self._fund(name, asset, units, command.id, offset, said)
            case SetStatus(participant=name, status=new):
                old = self.status[name]
                if old in ("CLOSED", new) or (new == "CLOSED" and self._busy(name)):
                    return False
                self.status[name] = new
            case SetCalendar(days=days):
                self.calendar = [(day.date, day.opens_at_ms) for day in days]
            case SetCutoffs(asset=asset, cutoffs_ms=cutoffs):
                self.assets[asset].cutoffs = cutoffs
                self._reschedule(asset, said)
            case CloseWindow(asset=asset):
                for name in [asset] if asset else list(self.assets):
                    self._close(name, said)
            case SettleWindow(asset=asset, window=number):
                return self._settle_again(asset, number, said)
            case _:
                raise AssertionError(f"the oracle does not know {command}")
        return True

    def _fund(self, name: str, asset: str, units: int, id_: str, offset: int, said: Said) -> None:
        if not units:
            return
        self.accounts[name, asset].held += units
        sides = (FUNDING, name) if units > 0 else (name, FUNDING)
        members = [Member(0, *sides, abs(units))]
        batch = self._batch(
            self.assets[asset],
            members,
            what=f"fund|{id_}",
            kind="funding",
            window=0,
            opened_at_ms=self.time_ms,
            log_first=offset,
            log_last=offset,
            members_root=hashlib.sha256(id_.encode()).hexdigest(),
        )
        self._send(batch, members, said)

    def _uncountable(self, asset: str, more: int) -> bool:
        """Caps and prefunding together are bounded: every headroom is to be an int64."""
        of_asset = [account for (_, name), account in self.accounts.items() if name == asset]
        return more > 0 and sum(a.cap + abs(a.held) for a in of_asset) + more > MOST_CONDITIONAL

    def _busy(self, name: str) -> bool:
        windows = [asset.window.members for asset in self.assets.values()]
        waiting = [item.members for item in self.waiting.values()]
        return any(takes_part(name, members) for members in (*windows, *waiting))

    def _settle_again(self, asset: str, number: int, said: Said) -> bool:
        for waiting in self.waiting.values():
            old = waiting.batch
            if waiting.failed and (old["asset"], old["window"]) == (asset, number):
                del self.waiting[old["id"]]
                version = old["version"] + 1
                same = ("window", "opened_at_ms", "log_first", "log_last", "members_root")
                batch = self._batch(
                    self.assets[asset],
                    waiting.members,
                    what=f"{asset}|{number}|{version}",
                    version=version,
                    **{name: old[name] for name in same},
                )
                self._send(batch, waiting.members, said)
                return True
        return False

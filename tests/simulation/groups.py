"""The simulated broker's group coordinator: members, generations, rebalances, static members, offsets.

As Kafka's coordinator serves the classic protocol (JoinGroup v5, SyncGroup v3, Heartbeat v1): what aiokafka speaks.
Answers that have to wait are given later, through the `answer` that came with the request.
"""

from collections.abc import Callable
from typing import Any

from aiokafka.errors import (
    IllegalGenerationError,
    MemberIdRequired,
    NotCoordinatorForGroupError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tests.simulation.membership import Group, Joined, Member, Phase, Protocols, Synced

Later = Callable[[float, Callable[[], None]], Any]
FENCED_INSTANCE_ID = 82  # aiokafka has no name for it


class Groups:
    """now_s, later: the broker's clock."""

    def __init__(self, now_s: Callable[[], float], later: Later) -> None:
        self.by_id: dict[str, Group] = {}
        self._now_s = now_s
        self._later = later
        self._serial = 0

    def group(self, identity: str) -> Group:
        return self.by_id.setdefault(identity, Group())

    # Joining

    def join(
        self, identity: str, asked: Any, client: str, answer: Callable[[Joined], None]
    ) -> None:
        """JoinGroup: answered when all members have joined, or the slow ones are dropped."""
        group = self.group(identity)
        instance: str | None = asked.group_instance_id
        if asked.member_id == "":
            if instance is None:
                group.pending.add(member_id := self._new_id(client))
                answer(Joined(MemberIdRequired.errno, member=member_id))
                return
            self._join_static(group, self._member(asked, self._new_id(instance)), answer)
            return
        if asked.member_id in group.pending:
            group.pending.discard(asked.member_id)
            self._join_new(group, self._member(asked, asked.member_id), answer)
            return
        member = group.members.get(asked.member_id)
        if member is None:
            answer(Joined(UnknownMemberIdError.errno, member=asked.member_id))
            return
        self._rejoin(group, member, list(asked.group_protocols), answer)

    def _new_id(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}-{self._serial}"

    def _member(self, asked: Any, member_id: str) -> Member:
        return Member(
            member_id,
            asked.group_instance_id,
            asked.session_timeout / 1000,
            asked.rebalance_timeout / 1000,
            list(asked.group_protocols),
        )

    def _join_static(self, group: Group, member: Member, answer: Callable[[Joined], None]) -> None:
        """A known instance takes the place of its former self, in a stable group without a rebalance."""
        assert member.instance is not None
        former = group.members.pop(group.instances.get(member.instance, ""), None)
        if former is None:
            self._join_new(group, member, answer)
            return
        if former.join is not None:
            former.join(Joined(FENCED_INSTANCE_ID))
        if former.sync is not None:
            former.sync(Synced(FENCED_INSTANCE_ID))
        member.assignment = former.assignment
        self._enter(group, member)
        leader = group.leader
        if group.leader == former.id:
            group.leader = member.id
        if group.phase is Phase.STABLE and former.protocols == member.protocols:
            # Named by its former id, a restarted leader follows: its assignment stands.
            answer(Joined(0, group.generation, group.protocol, leader, member.id))
            return
        member.join = answer
        self._prepare(group)

    def _join_new(self, group: Group, member: Member, answer: Callable[[Joined], None]) -> None:
        self._enter(group, member)
        member.join = answer
        self._prepare(group)

    def _enter(self, group: Group, member: Member) -> None:
        group.members[member.id] = member
        if member.instance is not None:
            group.instances[member.instance] = member.id
        self._seen(group, member)

    def _rejoin(
        self, group: Group, member: Member, protocols: Protocols, answer: Callable[[Joined], None]
    ) -> None:
        self._seen(group, member)
        changed = protocols != member.protocols
        member.protocols = protocols
        is_leader = member.id == group.leader
        if group.phase is Phase.COMPLETING and not changed:
            answer(self._joined(group, member))  # it did not hear the answer the first time
        elif group.phase is Phase.STABLE and not changed and not is_leader:
            answer(self._joined(group, member))
        else:
            member.join = answer
            self._prepare(group)

    def _prepare(self, group: Group) -> None:
        if group.phase is not Phase.PREPARING:
            for member in group.members.values():
                if member.sync is not None:
                    member.sync, answer = None, member.sync
                    answer(Synced(RebalanceInProgressError.errno))
            group.phase = Phase.PREPARING
            group.rebalance += 1
            number = group.rebalance
            wait_s = max((m.rebalance_s for m in group.members.values()), default=0.0)
            self._later(wait_s, lambda: self._overdue(group, number))
        self._complete_join(group)

    def _overdue(self, group: Group, number: int) -> None:
        """Who has not joined by the end of the rebalance timeout is out."""
        if group.phase is Phase.PREPARING and group.rebalance == number:
            for member in list(group.members.values()):
                if member.join is None:
                    self._drop(group, member)
            self._complete_join(group)

    def _complete_join(self, group: Group) -> None:
        if group.phase is not Phase.PREPARING:
            return
        if any(member.join is None for member in group.members.values()):
            return
        group.generation += 1
        if not group.members:
            group.phase, group.leader = Phase.EMPTY, ""
            return
        group.phase = Phase.COMPLETING
        if group.leader not in group.members:
            group.leader = next(iter(group.members))
        group.protocol = next(iter(group.members.values())).protocols[0][0]
        for member in group.members.values():
            member.join, answer = None, member.join
            member.assignment = b""
            self._seen(group, member)
            assert answer is not None
            answer(self._joined(group, member))

    def _joined(self, group: Group, member: Member) -> Joined:
        members: tuple[tuple[str, str | None, bytes], ...] = ()
        if member.id == group.leader:
            members = tuple(
                (m.id, m.instance, dict(m.protocols)[group.protocol])
                for m in group.members.values()
            )
        return Joined(0, group.generation, group.protocol, group.leader, member.id, members)

    # Being a member

    def sync(self, identity: str, asked: Any, answer: Callable[[Synced], None]) -> None:
        """SyncGroup: answered when the leader has said who gets what."""
        group = self.group(identity)
        member = group.members.get(asked.member_id)
        if member is None:
            answer(Synced(UnknownMemberIdError.errno))
        elif asked.generation_id != group.generation:
            answer(Synced(IllegalGenerationError.errno))
        elif group.phase is Phase.PREPARING:
            answer(Synced(RebalanceInProgressError.errno))
        elif group.phase is Phase.STABLE:
            answer(Synced(0, member.assignment))
        else:
            member.sync = answer
            self._seen(group, member)
            if member.id == group.leader:
                self._assign(group, dict(asked.group_assignment))

    def _assign(self, group: Group, assignments: dict[str, bytes]) -> None:
        group.phase = Phase.STABLE
        for member in group.members.values():
            member.assignment = bytes(assignments.get(member.id, b""))
            member.sync, answer = None, member.sync
            if answer is not None:
                answer(Synced(0, member.assignment))

    def heartbeat(self, identity: str, generation: int, member_id: str) -> int:
        """The error to answer with."""
        group = self.group(identity)
        member = group.members.get(member_id)
        if member is None:
            return UnknownMemberIdError.errno
        if generation != group.generation:
            return IllegalGenerationError.errno
        self._seen(group, member)
        return RebalanceInProgressError.errno if group.phase is Phase.PREPARING else 0

    def leave(self, identity: str, member_id: str) -> int:
        group = self.group(identity)
        group.pending.discard(member_id)
        if (member := group.members.get(member_id)) is None:
            return UnknownMemberIdError.errno
        self._remove(group, member)
        return 0

    def _seen(self, group: Group, member: Member) -> None:
        first = member.seen_s == 0.0
        member.seen_s = self._now_s()
        if first:
            self._later(member.session_s, lambda: self._check_session(group, member))

    def _check_session(self, group: Group, member: Member) -> None:
        """A member that nothing was heard of for its session timeout is out, static or not."""
        if group.members.get(member.id) is not member:
            return
        left_s = member.seen_s + member.session_s - self._now_s()
        if left_s <= 0 and not member.waits:
            self._remove(group, member)
        else:
            wait_s = left_s if left_s > 0 else member.session_s
            self._later(wait_s, lambda: self._check_session(group, member))

    def _remove(self, group: Group, member: Member) -> None:
        self._drop(group, member)
        if group.phase is Phase.PREPARING:
            self._complete_join(group)
        else:
            self._prepare(group)

    def _drop(self, group: Group, member: Member) -> None:
        del group.members[member.id]
        if member.instance is not None and group.instances.get(member.instance) == member.id:
            del group.instances[member.instance]

    def unload(self, identity: str) -> None:
        """Its coordinator moves: who waits is sent elsewhere, the generation that was stands."""
        group = self.group(identity)
        for member in group.members.values():
            join, sync = member.join, member.sync
            member.join = member.sync = None
            if join is not None:
                join(Joined(NotCoordinatorForGroupError.errno))
            if sync is not None:
                sync(Synced(NotCoordinatorForGroupError.errno))
        group.pending.clear()
        group.rebalance += 1
        if group.members:
            group.phase = Phase.STABLE

    # Offsets

    def may_commit(self, identity: str, generation: int, member_id: str) -> int:
        """The error that refuses a commit, 0: it is allowed."""
        group = self.group(identity)
        if generation < 0 and not group.members:
            return 0  # a simple consumer: nobody else is there
        member = group.members.get(member_id)
        if member is None:
            return UnknownMemberIdError.errno
        if generation != group.generation:
            return IllegalGenerationError.errno
        if group.phase is Phase.COMPLETING:
            return RebalanceInProgressError.errno
        self._seen(group, member)
        return 0

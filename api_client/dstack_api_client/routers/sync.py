"""Puts a router's list of workers and the jobs that dstack runs side by side, and judges.

Pure, and linear in the number of workers. Nothing is called in sync from an old look.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from dstack_api_client.model.placement import Drain
from dstack_api_client.model.replica import Replica, ReplicaKey
from dstack_api_client.model.roles import lacking
from dstack_api_client.model.router import RouterStatus, RouterView, Source, Sync, Worker
from dstack_api_client.routers import messages
from dstack_api_client.routers.expected import Expected
from dstack_api_client.routers.observation import Listed, Look, Outcome

#: Cycles of the server's sync after which what it does by itself should have been done.
_CYCLES = 2
#: How long probes may take to find a worker that has begun to run.
_PROBING = timedelta(seconds=60)
#: What is wrong with a worker, the greater the worse.
_FAILED, _MISSING, _DRIFT, _DUPLICATE, _NOT_READY = 100, 80, 70, 65, 60
_STALE, _DRAINED, _FOREIGN, _PROBES, _GOING, _WAITING = 50, 45, 40, 30, 5, 2


class Since(NamedTuple):
    """Since when something is so."""

    at: datetime
    at_least: bool
    """Whether it was so at the first look already, so that it may have begun earlier."""


@dataclass(frozen=True)
class Memory:
    """What is remembered from look to look.

    Attributes:
        since: By the key of a worker, the state it is in, and since when.
        listed: Jobs that the router listed at the last look.
        looked: Whether there was a look: what it showed for the first time began before it.
    """

    since: Mapping[str, tuple[object, Since]] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    looked: bool = False


@dataclass(frozen=True)
class Judged:
    """A view, and what the next one needs.

    Attributes:
        view: The view.
        memory: To be given to the next judgement.
        until: When the passing of time alone may change the view; None for never.
    """

    view: RouterView
    memory: Memory
    until: datetime | None


@dataclass(frozen=True)
class Case:
    """All that a judgement goes by.

    Attributes:
        run_id: The service.
        kind: `smg` or `dynamo`.
        router: The replica that routes; None when there is none.
        workers: The worker replicas that have not ended.
        look: The latest look that brought something.
        good_for: How long a look counts: three polls.
        blind: Why there is no newer look, and what to do.
        deletes_foreign: Whether the server deletes entries that it does not know (before 0.22.4).
        awaited: Whether the first look is still under way.
        roles: What the groups of the service do.
    """

    run_id: str
    kind: str
    router: Replica | None
    workers: Sequence[Expected]
    look: Look | None
    good_for: timedelta
    blind: str = ""
    deletes_foreign: bool = False
    awaited: bool = False
    roles: frozenset[str] = frozenset()


def judge(case: Case, memory: Memory, now: datetime) -> Judged:
    """Judges a router and its workers.

    Args:
        case: What is known.
        memory: What was remembered at the last judgement.
        now: The time.
    """
    return _Judgement(case, memory, now).judged()


class _Judgement:
    def __init__(self, case: Case, memory: Memory, now: datetime) -> None:
        self.case = case
        self.memory = memory
        self.now = now
        self.look = self._look_that_counts()
        interval = self.look.sync_interval if self.look is not None else 0.0
        self.patience = timedelta(seconds=_CYCLES * interval)
        self.since: dict[str, tuple[object, Since]] = {}
        self.listed: frozenset[str] = frozenset()
        self.looked = memory.looked
        self.named: Counter[str] = Counter()
        self.untils: list[datetime] = []
        self.told = self.look.told if self.look is not None else {}
        # Of several at one address, which is not to be, the first is meant.
        self.address = {
            worker.address: worker.job_id
            for worker in sorted(case.workers, key=_key, reverse=True)
            if worker.running and worker.address is not None
        }
        self.router_fleet = case.router.fleet_name if case.router is not None else None

    def _look_that_counts(self) -> Look | None:
        look = self.case.look
        if look is None or self.now - look.observed_at >= self.case.good_for:
            return None
        return look

    def judged(self) -> Judged:
        status, message = self._status()
        if self.look is not None:
            self.untils.append(self.look.observed_at + self.case.good_for)
        if self.look is not None and status in (RouterStatus.READY, RouterStatus.NOT_READY):
            workers = self._compared(self.look.workers)
        else:
            # What is not seen for a while is remembered as it was.
            self.since, self.listed = dict(self.memory.since), self.memory.listed
            workers = [self._unseen(worker, status) for worker in self.case.workers]
        workers.sort(key=_worst_first)
        last = self.case.look
        lacked = self._lacking(workers, status)
        if lacked and status in (RouterStatus.READY, RouterStatus.NOT_READY):
            message = messages.lacks(lacked, self.case.roles)
        view = RouterView(
            run_id=self.case.run_id,
            kind=self.case.kind,
            status=status,
            source=last.source if last is not None else Source.NONE,
            message=message,
            observed_at=last.observed_at if last is not None else None,
            last_sync_at=last.last_sync_at if last is not None else None,
            ready=sum(map(_serves, workers)),
            expected=sum(worker.running for worker in self.case.workers),
            workers=tuple(workers),
            awaited=self.case.awaited,
            lacking=lacked,
        )
        later = [until for until in self.untils if until > self.now]
        return Judged(view, Memory(self.since, self.listed, self.looked), min(later, default=None))

    # The router itself

    def _status(self) -> tuple[RouterStatus, str]:
        case, look = self.case, self.look
        if case.router is None or case.router.status != "running":
            return RouterStatus.DOWN, messages.router_does_not_run(case.router)
        if case.kind != "smg":
            return RouterStatus.NOT_MANAGED, messages.NOT_MANAGED
        if look is None:
            age = self.now - case.look.observed_at if case.look is not None else None
            return RouterStatus.UNKNOWN, messages.blind(case.blind, age)
        if look.outcome is Outcome.DOWN:
            return RouterStatus.DOWN, look.message or messages.NO_ANSWER
        if look.outcome is Outcome.REFUSED:
            return RouterStatus.REFUSES, messages.REFUSES
        if look.outcome is Outcome.NOT_MANAGED:
            return RouterStatus.NOT_MANAGED, messages.NOT_MANAGED
        if look.outcome is Outcome.UNKNOWN:
            return RouterStatus.UNKNOWN, messages.blind(look.message, None)
        ready = [worker for worker in look.workers if worker.health == "ready"]
        if look.ready is False or (look.ready is None and not ready):
            return RouterStatus.NOT_READY, messages.not_ready(look.workers)
        return RouterStatus.READY, messages.sync_is_late(look, self.now)

    def _lacking(self, workers: Sequence[Worker], status: RouterStatus) -> tuple[str, ...]:
        """The parts that no worker plays; a dead worker is in no list, its group is."""
        if status is RouterStatus.DOWN:
            return ()
        roles: dict[ReplicaKey | None, str | None] = {
            worker.key: worker.role for worker in self.case.workers
        }
        if status in (RouterStatus.READY, RouterStatus.NOT_READY):
            serving = [roles.get(row.replica) or row.role for row in workers if _serves(row)]
        else:
            serving = [worker.role for worker in self.case.workers if worker.running]
        return lacking(self.case.roles, {role for role in serving if role is not None})

    # Its workers

    def _compared(self, entries: Sequence[Listed]) -> list[Worker]:
        expected = {worker.job_id: worker for worker in self.case.workers}
        own = {
            job_id
            for job_id, worker in expected.items()
            if worker.running or worker.drain is not None
        }
        mine: dict[str, list[Listed]] = defaultdict(list)
        others: list[Listed] = []
        for entry in entries:
            job_id = entry.job_id or self.address.get(entry.address)
            if job_id in own:
                mine[job_id].append(entry)
            else:
                others.append(entry)
        self.listed, self.looked = frozenset(mine), True
        held = {entry.address for entry in others}
        workers = []
        for worker in self.case.workers:
            if worker.running:
                workers += self._of_job(worker, mine.get(worker.job_id, []), held)
            elif worker.drain is not None:
                workers.append(self._draining(worker, worker.drain, mine.get(worker.job_id, [])))
            elif worker.starting:
                workers.append(self._row(worker, Sync.PENDING, message=messages.NOT_YET))
        workers += [self._of_none(entry, expected) for entry in others]
        return _with_keys_of_their_own(workers)

    def _of_job(self, worker: Expected, entries: list[Listed], held: set[str]) -> list[Worker]:
        """The rows of a job that runs: one, and one more for each entry too many."""
        if not entries:
            return [self._unlisted(worker, held)]
        right = [entry for entry in entries if self._is_right(worker, entry)]
        # One that is listed by rank is one worker.
        ranks: dict[str, Listed] = {}
        for entry in sorted(right, key=lambda entry: entry.job_id is None):
            ranks.setdefault(entry.rank, entry)
        first = list(ranks.values())
        if not first:
            first = entries[:1]
        rest = [entry for entry in entries if not any(entry is each for each in first)]
        sync = Sync.IN_SYNC if right else Sync.DRIFT
        rows = [self._listed(worker, first, sync)]
        for entry in rest:
            message = messages.duplicate(entry, first[0])
            row = self._row(
                worker,
                Sync.DUPLICATE,
                [entry],
                key=f"{_key(worker)}+{entry.id}",
                message=message,
                wrong=_DUPLICATE,
            )
            rows.append(row)
        return rows

    def _is_right(self, worker: Expected, entry: Listed) -> bool:
        return worker.address is None or entry.address == worker.address

    def _listed(self, worker: Expected, entries: list[Listed], sync: Sync) -> Worker:
        health = _worst_health(entries)
        if sync is Sync.DRIFT:
            message, wrong = messages.drift(entries[0], worker), _DRIFT
        elif health == "draining":
            sync, message, wrong = Sync.DRAINING, messages.DRAINED, _DRAINED
        elif health == "failed":
            message, wrong = "", _FAILED
        elif health == "not ready":
            message, wrong = messages.NOT_READY_WORKER, _NOT_READY
        elif health not in _HEALTHS:
            message, wrong = messages.other_state(health), _WAITING
        elif health != "ready":
            message, wrong = messages.PENDING_IN_ROUTER, _WAITING
        elif self._probes(worker) is False:
            message, wrong = self._unproved(worker)
        else:
            message, wrong = "", 0
        row = self._row(worker, sync, entries, health=health, message=message, wrong=wrong)
        if sync is Sync.IN_SYNC and health == "failed":
            return replace(row, message=messages.failed(None if row.at_least else row.since))
        if sync is Sync.DRIFT and health == "failed":
            return replace(row, wrong=_FAILED)
        return row

    def _draining(self, worker: Expected, drain: Drain, entries: list[Listed]) -> Worker:
        """The row of a worker that the server has asked the router to let go."""
        message = messages.asked_to_drain(drain, self.now, listed=bool(entries))
        return self._row(worker, Sync.DRAINING, entries, message=message, wrong=_GOING)

    def _unproved(self, worker: Expected) -> tuple[str, int]:
        """What is wrong with a worker that the router calls ready and dstack's probes don't."""
        began = self._running_since(worker)
        if began is None or began + _PROBING <= self.now:
            return messages.PROBES_FAIL, _PROBES
        self.untils.append(began + _PROBING)
        return messages.PROBES_NOT_YET, _WAITING

    def _unlisted(self, worker: Expected, held: set[str]) -> Worker:
        gone, was_listed, lost = self._gone(worker)
        told = self._running_since(worker)
        # Not told since when it runs: then it counts from when it was first not seen.
        began = told or gone.at
        due = began + self.patience
        if due > self.now:
            self.untils.append(due)
            row = self._row(worker, Sync.PENDING, message=messages.PENDING, wrong=_WAITING)
        else:
            cause = messages.missing(
                worker,
                probes=self._probes(worker),
                held=worker.address in held,
                lost=lost,
                router_fleet=self.router_fleet,
            )
            row = self._row(worker, Sync.MISSING, message=cause, wrong=_MISSING)
        if was_listed or told is None:
            return replace(row, since=gone.at, at_least=gone.at_least)
        return replace(row, since=told, at_least=False)

    def _gone(self, worker: Expected) -> tuple[Since, bool, bool]:
        """Since when a worker is not in the list, whether it was, and whether it just fell out."""
        key = f"{_key(worker)}?"
        known = self.memory.since.get(key)
        if known is None or known[0] not in ((worker.job_id, True), (worker.job_id, False)):
            was_listed = worker.job_id in self.memory.listed
            known = ((worker.job_id, was_listed), Since(self.now, not self.memory.looked))
        self.since[key] = known
        again = known[1].at + self.patience
        was_listed = known[0] == (worker.job_id, True)
        lost = was_listed and again > self.now
        if lost:
            self.untils.append(again)
        return known[1], was_listed, lost

    def _of_none(self, entry: Listed, expected: Mapping[str, Expected]) -> Worker:
        """The row of an entry that is not a running job's."""
        worker = expected.get(entry.job_id or "")
        if entry.job_id is None:
            sync, wrong = Sync.FOREIGN, _FOREIGN
            message = messages.foreign(deleted=self.case.deletes_foreign)
        elif entry.health == "draining":
            sync, message, wrong = Sync.DRAINING, messages.DRAINING, _GOING
        else:
            sync, message, wrong = Sync.STALE, messages.STALE_SOON, _GOING
        row = Worker(
            key=f"{sync.name.lower()}:{entry.id}",
            sync=sync,
            router_health=entry.health,
            job_status=worker.job_status if worker is not None else None,
            role=entry.role,
            load=entry.load,
            model=entry.model,
            url=entry.url,
            replica=worker.key if worker is not None else None,
            group=worker.group if worker is not None else None,
            fleet=worker.fleet if worker is not None else None,
            message=message,
            wrong=wrong,
        )
        since = self._since(row.key, (sync, entry.health))
        row = replace(row, since=since.at, at_least=since.at_least)
        if sync is Sync.STALE:
            due = since.at + self.patience
            if due <= self.now:
                return replace(row, message=messages.STALE, wrong=_STALE)
            self.untils.append(due)
        return row

    def _unseen(self, worker: Expected, status: RouterStatus) -> Worker:
        """The row of a worker while the router's list is not known."""
        if status is RouterStatus.NOT_MANAGED or self.case.kind != "smg":
            message, wrong = messages.UNMANAGED_WORKER, 0
        else:
            message, wrong = messages.UNSEEN_WORKER, 1
        return self._row(worker, Sync.UNKNOWN, message=message, wrong=wrong)

    # What rows have in common

    def _row(
        self,
        worker: Expected,
        sync: Sync,
        entries: Sequence[Listed] = (),
        *,
        key: str = "",
        health: str | None = None,
        message: str = "",
        wrong: int = 0,
    ) -> Worker:
        told = self.told.get(worker.job_id)
        first = entries[0] if entries else None
        if first is not None and health is None:
            health = first.health
        loads = [entry.load for entry in entries if entry.load is not None]
        url = told.url if told is not None else None
        if url is None and worker.address is not None:
            url = f"{worker.scheme}://{worker.address}"
        role = worker.role or (told.role if told is not None else None)
        key = key or _key(worker)
        remembered = key if sync is not Sync.UNKNOWN else f"{key}~"
        since = self._since(remembered, (sync, health))
        if worker.starting and worker.starting_since is not None:
            # Each attempt is a job of its own, and between two of them there is none.
            since = Since(worker.starting_since, worker.starting_longer)
        return Worker(
            key=key,
            sync=sync,
            router_health=health,
            job_status=worker.job_status,
            role=first.role if first is not None else role,
            load=sum(loads) if loads else None,
            model=first.model if first is not None else None,
            url=first.url if first is not None else url,
            replica=worker.key,
            group=worker.group,
            fleet=worker.fleet,
            probes_passed=self._probes(worker),
            since=since.at,
            message=message,
            wrong=wrong,
            at_least=since.at_least,
        )

    def _probes(self, worker: Expected) -> bool | None:
        if worker.probes_passed is not None:
            return worker.probes_passed
        told = self.told.get(worker.job_id)
        return told.probes_passed if told is not None else None

    def _running_since(self, worker: Expected) -> datetime | None:
        told = self.told.get(worker.job_id)
        if told is not None and told.since is not None:
            return told.since
        return worker.running_since

    def _since(self, key: str, state: object) -> Since:
        """Since when something has been in a state, as far as it was looked at."""
        # Entries that a router names alike are remembered each for itself.
        self.named[key] += 1
        key = f"{key}#{self.named[key]}" if self.named[key] > 1 else key
        known = self.memory.since.get(key)
        if known is not None and known[0] == state:
            since = known[1]
        else:
            since = Since(self.now, known is None and not self.memory.looked)
        self.since[key] = (state, since)
        return since


def _serves(worker: Worker) -> bool:
    """Whether a row is a worker that dstack expects and the router calls ready.

    What is listed besides (stale, foreign, twice) is none.
    """
    return worker.router_health == "ready" and worker.sync in (Sync.IN_SYNC, Sync.DRIFT)


def _key(worker: Expected) -> str:
    return f"{worker.key.replica_num}.{worker.key.job_num}"


#: From the best to the worst.
_HEALTHS = ("ready", "pending", "draining", "not ready", "failed")


def _worst_health(entries: Sequence[Listed]) -> str:
    """The health of a worker that may be listed once per rank."""
    return max(
        (entry.health for entry in entries),
        key=lambda health: _HEALTHS.index(health) if health in _HEALTHS else 1,
    )


def _worst_first(worker: Worker) -> tuple[int, str, int, str]:
    number = worker.replica.replica_num if worker.replica is not None else -1
    return (-worker.wrong, worker.group or "\uffff", number, worker.key)


def _with_keys_of_their_own(workers: list[Worker]) -> list[Worker]:
    """The same rows, where a router that names two entries alike does not make two rows one."""
    seen: dict[str, int] = defaultdict(int)
    for position, worker in enumerate(workers):
        seen[worker.key] += 1
        if seen[worker.key] > 1:
            workers[position] = replace(worker, key=f"{worker.key}#{seen[worker.key]}")
    return workers

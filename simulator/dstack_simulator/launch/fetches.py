"""Looks for work that cost a server little while there is none.

At a quick pace each of dstack's pipelines asks the database about once a second whether it has
work, mostly to find none, and to put the question takes SQLAlchemy milliseconds of the server's
thread. Here the question is noted as SQLite got it. It is put again without SQLAlchemy, its times
moved on, and while nothing answers it, dstack's own look, which would find nothing either, is left
out.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import time
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

#: A time as SQLAlchemy writes it into SQLite.
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
#: The questions of the look that is under way.
_noted: ContextVar[list[Question] | None] = ContextVar("noted", default=None)


class Question:
    """What a look for work asks an SQLite database.

    Args:
        database: The file.
        statement: The text of it.
        parameters: Its values.
        asked_at: When it was asked, in seconds of the clock.
    """

    def __init__(
        self, database: str, statement: str, parameters: Sequence[Any], asked_at: float
    ) -> None:
        self._database = database
        self._statement = statement
        self._parameters = list(parameters)
        self._asked_at = asked_at
        self._times = {
            number: datetime.fromisoformat(value)
            for number, value in enumerate(parameters)
            if isinstance(value, str) and _TIME.fullmatch(value)
        }

    def has_answer(self, now: float) -> bool:
        """Whether a row of the database answers it now; True where that can't be found out."""
        later = timedelta(seconds=now - self._asked_at)
        for number, moment in self._times.items():
            self._parameters[number] = (moment + later).isoformat(" ", "microseconds")
        try:
            found = _connected(self._database).execute(self._statement, self._parameters)
            return found.fetchone() is not None
        except sqlite3.Error:
            return True


def spare(fetcher: Any) -> None:
    """Has a fetcher of dstack look for work only when its question has an answer."""
    look = fetcher.fetch
    question: Question | None = None

    @functools.wraps(look)
    async def fetch(limit: int) -> Any:
        nonlocal question
        if question is not None and not question.has_answer(time.time()):
            return []
        noted: list[Question] = []
        before = _noted.set(noted)
        try:
            return await look(limit=limit)
        finally:
            _noted.reset(before)
            question = noted[0] if noted else None

    fetcher.fetch = fetch


@functools.cache
def _connected(database: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{Path(database).as_uri()}?mode=ro", uri=True, timeout=0)


@event.listens_for(Engine, "before_cursor_execute")
def _note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
    noted = _noted.get()
    if noted is not None and connection.dialect.name == "sqlite":
        noted.append(Question(connection.engine.url.database, statement, parameters, time.time()))

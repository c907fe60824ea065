"""What changes something on a server: each request is sent once, and never in read-only mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from dstack_api_client import errors
from dstack_api_client.transport.transport import Transport


class ReadOnlyError(errors.ApiError):
    """Something was to be changed, and this client only reads."""


class UnansweredError(errors.ApiError):
    """A change was sent and no answer came: whether it was made is not known."""


class Writer(Transport):
    """Sends requests that change something, on top of what `Transport` does.

    Args:
        url: The server's address.
        token: The user's token.
        read_only: Whether every change is refused before anything is sent.
        options: What else `Transport` takes.

    Attributes:
        read_only: As given.
    """

    def __init__(self, url: str, token: str, *, read_only: bool = False, **options: Any) -> None:
        super().__init__(url, token, **options)
        self.read_only = read_only

    async def write(self, path: str, body: Mapping[str, Any], what: str) -> bytes:
        """Sends a request that changes something, once: it is never tried again.

        Every change goes through here.

        Args:
            path: Where to send it.
            body: What to send.
            what: What is changed, to be named in errors after "refused" or "change".

        Returns:
            The answer's body.

        Raises:
            ReadOnlyError: The client only reads; nothing was sent.
            UnansweredError: It was sent, and whether it was done is not known.
            UnauthorisedError, ForbiddenError, NotFoundError: The server says so; whether that is
                its answer to this request only a look at what is there can tell.
            ApiError: The server refused it, or it could not be sent; nothing was changed.
        """
        self.refuse_read_only()
        try:
            async with self._slots:
                return await self._send(path, body, what, None)
        except (errors.CannotConnectError, errors.ServerFailedError) as error:
            if error.unsent:
                raise
            raise _unanswered(error, what) from error
        except errors.ApiError as error:
            if error.unsent:
                raise
            # What is in front of a server may answer in its place when it has done its part.
            if not error.said_by_server:
                raise _unanswered(error, what) from error
            if isinstance(error, errors.ForbiddenError):
                forbidden = errors.ForbiddenError(
                    f"The server at {self.url} does not let this user change {what}.",
                    "Ask an administrator of the project for the role that may.",
                )
                forbidden.said_by_server, forbidden.status = True, error.status
                raise forbidden from error
            raise
        except httpx.HTTPError as error:  # an answer that can't be unpacked
            raise _unanswered(
                errors.WrongShapeError(f"The answer of {self.url} can't be read.", ""), what
            ) from error

    def refuse_read_only(self) -> None:
        """Makes sure that something may be changed.

        Raises:
            ReadOnlyError: The client only reads.
        """
        if self.read_only:
            raise ReadOnlyError(
                "Nothing is changed in read-only mode.",
                "Leave out --read-only, and see `read_only` in the settings file.",
            )

    async def _write_object(self, path: str, body: Mapping[str, Any], what: str) -> bytes:
        """Sends a change that is answered with an object; anything else is no answer."""
        answer = await self.write(path, body, what)
        try:
            if isinstance(msgspec.json.decode(answer), dict):
                return answer
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        raise _unanswered(
            errors.WrongShapeError(f"The answer of {self.url} is none of a dstack server's.", ""),
            what,
        )

    async def _write_nothing(self, path: str, body: Mapping[str, Any], what: str) -> None:
        """Sends a change that is answered with nothing; text is no answer."""
        answer = await self.write(path, body, what)
        if answer.strip() not in (b"", b"null"):
            raise _unanswered(
                errors.WrongShapeError(
                    f"The answer of {self.url} is none of a dstack server's.", ""
                ),
                what,
            )

    async def run_plan(
        self,
        project: str,
        spec: Mapping[str, Any],
        *,
        offers: int = 20,
        for_offers_only: bool = False,
    ) -> bytes:
        """The server's plan for a run's spec; changes nothing.

        Args:
            project: The project's name.
            spec: The whole spec.
            offers: Most offers wanted for each replica group.
            for_offers_only: Whether only offers are asked for, which older servers refuse.
        """
        body: dict[str, Any] = {"run_spec": spec, "max_offers": offers}
        if for_offers_only:
            body["for_offers_only"] = True
        return await self.read(_path(project, "runs/get_plan"), body, f"the plan for {_run(spec)}")

    async def apply_run(
        self, project: str, spec: Mapping[str, Any], current: Mapping[str, Any]
    ) -> bytes:
        """Updates a run in place, if it still is as the caller believes.

        Args:
            project: The project's name.
            spec: The whole new spec.
            current: The run as the server gave it; its jobs may be left out.
        """
        body = {"plan": {"run_spec": spec, "current_resource": current}, "force": False}
        what = f"the change of {_run(spec)}"
        return await self._write_object(_path(project, "runs/apply"), body, what)

    async def fleet_plan(self, project: str, spec: Mapping[str, Any]) -> bytes:
        """The server's plan for a fleet's spec; changes nothing."""
        what = f"the plan for fleet {_fleet(spec)}"
        return await self.read(_path(project, "fleets/get_plan"), {"spec": spec}, what)

    async def apply_fleet(
        self, project: str, spec: Mapping[str, Any], current: Mapping[str, Any] | None
    ) -> bytes:
        """Creates a fleet, or updates it in place if it still is as the caller believes.

        Args:
            project: The project's name.
            spec: The whole new spec.
            current: The fleet as the server gave it, its instances may be left out; None where
                there is none.
        """
        body = {"plan": {"spec": spec, "current_resource": current}, "force": False}
        what = f"the change of fleet {_fleet(spec)}"
        return await self._write_object(_path(project, "fleets/apply"), body, what)

    async def delete_fleet(self, project: str, name: str) -> None:
        """Deletes a fleet and terminates its instances; the caller has asked for confirmation."""
        body = {"names": [name]}
        what = f"the deletion of fleet {name}"
        await self._write_nothing(_path(project, "fleets/delete"), body, what)

    async def delete_instances(self, project: str, name: str, numbers: Sequence[int]) -> None:
        """Terminates instances of a fleet by their numbers; the caller has asked for confirmation.

        The server refuses when one of them is in use.
        """
        body = {"name": name, "instance_nums": list(numbers)}
        what = f"the deletion of instances of fleet {name}"
        await self._write_nothing(_path(project, "fleets/delete_instances"), body, what)

    async def rebalance(self, project: str, run_name: str) -> bytes:
        """Asks the placement add-on to move a service's replicas until lanes have their targets."""
        body = {"run_name": run_name}
        what = f"the rebalancing of {run_name}"
        return await self._write_object(_path(project, "placement/rebalance"), body, what)


def _path(project: str, path: str) -> str:
    return f"/api/project/{quote(project, safe='')}/{path}"


def _run(spec: Mapping[str, Any]) -> str:
    return f"run {spec.get('run_name')}"


def _fleet(spec: Mapping[str, Any]) -> str:
    return str((spec.get("configuration") or {}).get("name"))


def _unanswered(error: errors.ApiError, what: str) -> UnansweredError:
    return UnansweredError(
        f"{what[:1].upper()}{what[1:]} was sent, and no answer says whether it was made:"
        f" {error.message}",
        "Look at it again before you repeat anything.",
    )

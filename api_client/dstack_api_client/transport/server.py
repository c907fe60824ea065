"""What is asked of a server about itself, its projects and its users."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

from dstack_api_client import errors
from dstack_api_client.model.snapshot import ServerInfo
from dstack_api_client.text import one_line
from dstack_api_client.transport import wire
from dstack_api_client.transport.records import Records
from dstack_api_client.transport.requests import Resource

U = TypeVar("U", wire.User, wire.UserKey)


class Server(Resource):
    """The server itself."""

    async def info(self) -> ServerInfo:
        """The server's address and version; needs no token."""
        info = await self._requests.one(
            "/api/server/get_info", {}, wire.ServerInfo, "the server's version"
        )
        version = info.server_version
        return ServerInfo(self._requests.transport.url, one_line(version) if version else None)


class Projects(Resource):
    """The projects of a server."""

    async def list(self) -> Records[wire.Project]:
        """The projects that the user can see."""
        return await self._requests.all("/api/projects/list", {}, wire.Project, "the projects")

    async def get(self, name: str) -> wire.Project:
        """One project by its name.

        Raises:
            NoProjectError: It is not there or can't be seen; says which others can.
        """
        path, what = f"/api/projects/{quote(name, safe='')}/get", f"the project {name}"
        try:
            return await self._requests.one(path, {}, wire.Project, what)
        except (errors.NotFoundError, errors.ForbiddenError) as error:
            names = sorted(one_line(each.project_name) for each in await self.list())
            url = self._requests.transport.url
            raise errors.NoProjectError(
                f"There is no project {name} at {url}, or this user may not see it.",
                f"Choose one that this user can see: {', '.join(names)}."
                if names
                else "Ask an administrator to add this user: there is none that it can see.",
            ) from error


class Users(Resource):
    """The users of a server."""

    async def me(self, kind: type[U], what: str) -> U:
        """The user whose token it is.

        Args:
            kind: What is wanted of it.
            what: What that is called in errors.
        """
        return await self._requests.one("/api/users/get_my_user", {}, kind, what)

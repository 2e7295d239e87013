# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A client of the Docker engine's HTTP interface over its unix socket: just what is needed to watch containers."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

DEFAULT_HOST = "unix:///var/run/docker.sock"

# The newest interface version whose statistics are known here. An older engine is spoken to in its own version.
NEWEST_VERSION = (1, 51)

# An answer or one statistics frame is a few kilobytes; more is not an engine's.
LONGEST_LINE_BYTES = 1 << 20
LONGEST_BODY_BYTES = 16 << 20

START_HINT = (
    "install and start Docker (Debian, Ubuntu: apt-get install docker.io; then systemctl start docker, or dockerd), "
    "or name its socket by docker_host or DOCKER_HOST"
)


class EngineError(Exception):
    """The engine did not do what was asked; the message says what was asked, what it answered and what to do."""


class ContainerNotFound(EngineError):
    """The engine knows no container of this name."""


def socket_path(docker_host: str | None, environ: Mapping[str, str]) -> str:
    """The path of the engine's socket by the option, else by DOCKER_HOST, else Docker's default.

    Raises EngineError for an address that is not a unix socket: the counters of a remote engine's containers are not
    on this host.
    """
    host = docker_host or environ.get("DOCKER_HOST") or DEFAULT_HOST
    scheme, separator, path = host.partition("://")
    if scheme != "unix" or not separator or not path.startswith("/"):
        raise EngineError(
            f"the Docker address {host!r} is not a unix socket (unix:///path): run the task on the engine's own host"
        )
    return path


def negotiate(newest: str, oldest: str) -> str:
    """The interface version to speak with an engine that offers ``oldest`` to ``newest``.

    Raises EngineError where they are no versions, or all are newer than what is known here.
    """
    try:
        engine_newest, engine_oldest = (tuple(int(part) for part in text.split(".")) for text in (newest, oldest))
    except (ValueError, AttributeError) as error:
        raise EngineError(f"the Docker engine gave {newest!r} and {oldest!r} as its interface versions") from error
    if engine_oldest > NEWEST_VERSION:
        known = ".".join(str(part) for part in NEWEST_VERSION)
        raise EngineError(f"the Docker engine's oldest interface version {oldest} is newer than {known}, known here")
    return ".".join(str(part) for part in min(engine_newest, NEWEST_VERSION))


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("docker", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One Docker engine. ``timeout_seconds`` is the longest silence borne on a connection."""

    def __init__(self, path: str, timeout_seconds: float = 10.0) -> None:
        self._path = path
        self._timeout = timeout_seconds
        version = self._get_json("/version")
        self.version = str(version.get("Version"))
        self.api_version = negotiate(version.get("ApiVersion", ""), version.get("MinAPIVersion") or "1.12")

    def inspect(self, name: str) -> dict[str, Any]:
        """The engine's description of a container. Raises ContainerNotFound where it knows none of this name."""
        return self._get_json(f"/v{self.api_version}/containers/{quote(name, safe='')}/json")

    def running(self, name: str) -> dict[str, Any]:
        """``inspect`` of a container that runs. Raises EngineError where it does not, with the command to start it."""
        container = self.inspect(name)
        state = container.get("State") or {}
        if not state.get("Running") or state.get("Paused"):
            command = "unpause" if state.get("Paused") else "start"
            raise EngineError(
                f"container {name} does not run: it is {state.get('Status', 'in an unknown state')} "
                f"(exit code {state.get('ExitCode')}); docker {command} {name}"
            )
        return container

    def statistics(self, container_id: str) -> Iterator[dict[str, Any]]:
        """The container's statistics as they come, one frame a second, until the engine ends them."""
        target = f"/v{self.api_version}/containers/{quote(container_id, safe='')}/stats?stream=1"
        connection, response = self._get(target)
        try:
            while True:
                line = response.readline(LONGEST_LINE_BYTES)
                if not line:
                    return
                yield self._parse(line, target)
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"the Docker engine's statistics broke off ({target}): {error!r}") from error
        finally:
            connection.close()

    def _parse(self, body: bytes, target: str) -> dict[str, Any]:
        try:
            parsed = json.loads(body)
        except ValueError as error:
            raise EngineError(f"the Docker engine's answer to GET {target} is not JSON: {body[:200]!r}") from error
        if not isinstance(parsed, dict):
            raise EngineError(f"the Docker engine's answer to GET {target} is not an object: {body[:200]!r}")
        return parsed

    def _get(self, target: str) -> tuple[_UnixConnection, http.client.HTTPResponse]:
        connection = _UnixConnection(self._path, self._timeout)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            if response.status == http.client.OK:
                return connection, response
            body = response.read(LONGEST_LINE_BYTES)
        except PermissionError as error:
            connection.close()
            raise EngineError(
                f"this user may not open the Docker socket {self._path}: use become, or add the user to group docker"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise EngineError(f"no Docker engine answers at {self._path} ({error.strerror}): {START_HINT}") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineError(
                f"the Docker engine at {self._path} did not answer GET {target}: {error!r}; {START_HINT}"
            ) from error
        connection.close()
        message = _message(body)
        if response.status == http.client.NOT_FOUND and "container" in message.lower():
            raise ContainerNotFound(f"the Docker engine answers: {message}; docker ps -a lists those it knows")
        raise EngineError(f"the Docker engine answered GET {target} with status {response.status}: {message}")

    def _get_json(self, target: str) -> dict[str, Any]:
        connection, response = self._get(target)
        try:
            body = response.read(LONGEST_BODY_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"the Docker engine's answer to GET {target} broke off: {error!r}") from error
        finally:
            connection.close()
        return self._parse(body, target)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:500].decode(errors="replace")


def engine_from(docker_host: str | None) -> Engine:
    """The engine named by the option or this process's environment. Raises EngineError where none answers."""
    return Engine(socket_path(docker_host, os.environ))

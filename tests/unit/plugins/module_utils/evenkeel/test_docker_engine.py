# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.docker_engine, against a stand-in engine on a unix socket."""

from __future__ import annotations

import itertools
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from evenkeel import docker_engine
from evenkeel.docker_engine import ContainerNotFound, Engine, EngineError

from tests.standins.docker_engine import Container, StandinEngine, frames_from

FRAMES = frames_from(Path(__file__).parents[3] / "fixtures" / "docker" / "stats-v1.jsonl")


def test_the_address_is_the_option_then_the_environment_then_the_default() -> None:
    environ = {"DOCKER_HOST": "unix:///from/environment.sock"}
    assert docker_engine.socket_path("unix:///option.sock", environ) == "/option.sock"
    assert docker_engine.socket_path(None, environ) == "/from/environment.sock"
    assert docker_engine.socket_path(None, {}) == "/var/run/docker.sock"
    assert docker_engine.socket_path(None, {"DOCKER_HOST": ""}) == "/var/run/docker.sock"


@pytest.mark.parametrize("address", ["tcp://10.0.0.1:2375", "ssh://host", "unix://", "unix://relative", "/a.sock", "x"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(EngineError, match="is not a unix socket"):
        docker_engine.socket_path(address, {})


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.41", "1.12", "1.41"), ("1.24", "1.12", "1.24"), ("1.51", "1.24", "1.51"), ("1.99", "1.44", "1.51")],
)
def test_the_spoken_version_is_known_to_both(newest: str, oldest: str, spoken: str) -> None:
    assert docker_engine.negotiate(newest, oldest) == spoken


@pytest.mark.parametrize(("newest", "oldest"), [("", "1.12"), ("1.x", "1.12"), ("2.5", "2.0"), ("1.99", "1.90")])
def test_an_unknown_version_is_refused(newest: str, oldest: str) -> None:
    with pytest.raises(EngineError, match="version"):
        docker_engine.negotiate(newest, oldest)


def test_requests_carry_the_negotiated_version_and_the_quoted_name(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("a/b c", FRAMES)) as engine:
        client = Engine(str(tmp_path / "d.sock"))
        assert client.running("a/b c")["Name"] == "/a/b c"
        assert engine.targets == ["/version", "/v1.41/containers/a%2Fb%20c/json"]


def test_statistics_come_frame_by_frame(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("web", FRAMES, frame_seconds=0.01)):
        stream = Engine(str(tmp_path / "d.sock")).statistics("web")
        frames = list(itertools.islice(stream, 5))
    assert frames[: len(FRAMES)] == FRAMES


def test_an_unknown_container_is_said(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock"):
        client = Engine(str(tmp_path / "d.sock"))
        with pytest.raises(ContainerNotFound, match="No such container: nope"):
            client.running("nope")


@pytest.mark.parametrize(
    ("status", "message"),
    [("exited", r"it is exited \(exit code 137\); docker start web"), ("paused", "docker unpause")],
)
def test_a_container_that_does_not_run_is_refused(status: str, message: str, tmp_path: Path) -> None:
    with (
        StandinEngine(tmp_path / "d.sock", Container("web", FRAMES, status=status)),
        pytest.raises(EngineError, match=message),
    ):
        Engine(str(tmp_path / "d.sock")).running("web")


def test_no_engine_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no Docker engine answers .*apt-get install docker\.io"):
        Engine(str(tmp_path / "absent.sock"))
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "left.sock"))
    with pytest.raises(EngineError, match=r"Connection refused.*dockerd"):
        Engine(str(tmp_path / "left.sock"))
    (tmp_path / "file.sock").write_text("")
    with pytest.raises(EngineError, match="dockerd"):
        Engine(str(tmp_path / "file.sock"))


def test_a_forbidden_socket_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(docker_engine._UnixConnection, "connect", refuse)
    with pytest.raises(EngineError, match="group docker"):
        Engine(str(tmp_path / "d.sock"))


def test_a_silent_engine_is_left_in_time(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", silent=3):
        begin = time.monotonic()
        with pytest.raises(EngineError, match="did not answer GET /version"):
            Engine(str(tmp_path / "d.sock"), timeout_seconds=0.2)
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff\xfe", b"{"])
def test_an_answer_that_is_not_the_engines_is_refused(body: bytes, tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", version=body), pytest.raises(EngineError, match="GET /version is not"):
        Engine(str(tmp_path / "d.sock"))


@pytest.mark.parametrize("raw", [b"garbage\n", b'{"half": ', b"null\n", b"x" * (docker_engine.LONGEST_LINE_BYTES + 9)])
def test_garbled_statistics_are_refused(raw: bytes, tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("web", raw=raw)):
        stream = Engine(str(tmp_path / "d.sock"), timeout_seconds=2).statistics("web")
        with pytest.raises(EngineError):
            list(stream)


def test_a_stream_that_stalls_is_left_in_time(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("web", FRAMES, frame_seconds=5)):
        stream = Engine(str(tmp_path / "d.sock"), timeout_seconds=0.2).statistics("web")
        next(stream)
        with pytest.raises(EngineError, match="broke off"):
            next(stream)

# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/ec2_host_keys.py with a client that answers from a list."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.exceptions
import pytest

KIND = b"ssh-ed25519"
INSTANCE = "i-0123456789abcdef0"


def key(content: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(part)) + part for part in (KIND, content))).decode()


ED = key(b"a" * 32)
PRINTED = f"-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 {ED} root@ip\n-----END SSH HOST KEY KEYS-----\n"


def refusal(code: str) -> Exception:
    response: Any = {"Error": {"Code": code, "Message": "no"}}
    return botocore.exceptions.ClientError(response, "GetConsoleOutput")


class Client:
    """Stands for boto3's client: one answer a call, the last one again and again."""

    def __init__(self, *answers: str | Exception | None) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def get_console_output(self, **options: Any) -> dict[str, Any]:
        self.asked.append(options)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {} if answer is None else {"Output": answer}


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


@pytest.fixture
def run(
    load_module: Callable[[str], ModuleType],
    run_module: Callable[..., dict[str, Any]],
    known_hosts: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    module = load_module("ec2_host_keys")

    def asked(client: Client, check_mode: bool = False, **changed: Any) -> dict[str, Any]:
        monkeypatch.setattr(module.ec2_client, "connect", lambda _region: client)
        args = {"region": "us-east-1", "instance_id": INSTANCE, "known_hosts": str(known_hosts)}
        return run_module(module, {**args, "poll_seconds": 0.01, "deadline_seconds": 0.2, **changed}, check_mode)

    return asked


def test_the_keys_are_waited_for_and_then_kept(run: Run, known_hosts: Path) -> None:
    client = Client(None, "booting", PRINTED)
    done = run(client, deadline_seconds=30)
    assert (done["changed"], done["key_types"]) == (True, ["ssh-ed25519"])
    assert known_hosts.read_text() == f"{INSTANCE} ssh-ed25519 {ED}\n"
    assert client.asked == [{"InstanceId": INSTANCE, "Latest": True}] * 3
    # Known, they are not waited for: after its first boot an instance prints none.
    client = Client("booting")
    assert not run(client, deadline_seconds=30)["changed"] and len(client.asked) == 1


def test_where_there_is_no_latest_output_the_older_one_will_do(run: Run) -> None:
    client = Client(refusal("UnsupportedOperation"), PRINTED)
    assert run(client)["changed"]
    assert [asked.get("Latest") for asked in client.asked] == [True, None]


def test_a_console_without_keys_is_named_with_its_end(run: Run, known_hosts: Path) -> None:
    done = run(Client("x" * 1000 + "Kernel panic"))
    assert done["failed"] and "showed no SSH host keys within 0.2 s" in done["msg"]
    assert done["operation"] == "wait for host keys"
    assert done["msg"].endswith(f"ends with: {'x' * 388}Kernel panic")
    assert not known_hosts.exists()


def test_a_changed_key_is_refused_and_the_old_one_stays(run: Run, known_hosts: Path) -> None:
    run(Client(PRINTED))
    before = known_hosts.read_text()
    done = run(Client(PRINTED.replace(ED, key(b"x" * 32))))
    assert done["failed"] and f"The host key of {INSTANCE} has changed" in done["msg"]
    assert known_hosts.read_text() == before


def test_check_mode_neither_waits_nor_writes(run: Run, known_hosts: Path) -> None:
    client = Client("booting")
    done = run(client, check_mode=True, deadline_seconds=3600)
    assert not done["changed"] and len(client.asked) == 1
    assert run(Client(PRINTED), check_mode=True)["changed"]
    assert not known_hosts.exists()


def test_what_aws_refuses_has_its_code(run: Run) -> None:
    done = run(Client(refusal("UnauthorizedOperation")))
    assert done["failed"] and done["error"] == {"code": "UnauthorizedOperation"}


def test_a_file_that_cannot_be_kept_is_named(run: Run, known_hosts: Path) -> None:
    known_hosts.mkdir()
    done = run(Client(PRINTED))
    assert done["failed"] and f"{known_hosts} could not be kept" in done["msg"]

# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cifar_cnn.errors import SettingsError
from cifar_cnn.settings import parse_settings, read_settings
from hypothesis import given
from hypothesis import strategies as st


def test_reads_every_field(document: dict[str, Any]) -> None:
    text = json.dumps({**document, "compute_threads": None, "dropout": 0}).encode()
    settings = parse_settings(text, "service.json")
    assert settings.compute_threads is None
    assert settings.dropout == 0.0
    assert (settings.dataset, settings.epochs, settings.queue_limit) == ("synthetic", 1, 6)
    assert settings.sha256 == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("schema_version", 2, "1"),
        ("dataset", "mnist", "one of cifar10, digits, image_folder, synthetic"),
        ("dataset", ["digits"], "one of"),
        ("dataset_sha256", "ABC", "64 hexadecimal digits"),
        ("engine", "warp", "one of reference"),
        ("recipe", "quick", "one of study"),
        ("epochs", 0, "from 1 to 10000"),
        ("epochs", True, "from 1 to 10000"),
        ("epochs", 2.0, "from 1 to 10000"),
        ("batch_size", -1, "from 1"),
        ("dropout", 1, "from 0 to below 1"),
        ("dropout", float("nan"), "from 0 to below 1"),
        ("dropout", "0.2", "from 0 to below 1"),
        ("seed", -1, "from 0 to 4294967295"),
        ("start_with", "guess", "one of load, train"),
        ("request_threads", 2, "from 3"),
        ("compute_threads", 0, "null or a whole number"),
        ("queue_limit", 0, "from 1"),
        ("queue_limit", 7, "at most request_threads - 2 = 6"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_found(
    document: dict[str, Any], name: str, value: object, expected: str
) -> None:
    document[name] = value
    with pytest.raises(SettingsError) as error:
        parse_settings(json.dumps(document).encode(), "here/service.json")
    message = str(error.value)
    assert message.startswith(f"here/service.json: {name}: expected ")
    assert expected in message
    assert f"got {json.dumps(value)}" in message


def test_all_problems_are_named_at_once(document: dict[str, Any]) -> None:
    del document["seed"]
    document |= {"epochs": "many", "epoch": 3}
    with pytest.raises(SettingsError) as error:
        parse_settings(json.dumps(document).encode(), "service.json")
    assert str(error.value) == (
        'service.json: epochs: expected a whole number from 1 to 10000, got "many"; seed is missing; '
        "unknown key 'epoch'"
    )


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1]", b"null", b'{"seed": 1, "seed": 2}', b"[" * 100_000])
def test_what_is_not_one_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"^here "):
        parse_settings(text, "here")


@given(st.dictionaries(st.sampled_from(["epochs", "dropout", "engine", "x"]), st.none() | st.floats() | st.text()))
def test_any_json_object_gives_a_settings_error_or_settings(found: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="is missing"):
        parse_settings(json.dumps(found).encode(), "service.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file") as error:
        read_settings(tmp_path / "service.json")
    assert str(tmp_path) in str(error.value)


def test_what_the_server_imports_at_once_loads_nothing_heavy() -> None:
    code = (
        "import sys, cifar_cnn.answers, cifar_cnn.settings;"
        "print(sorted({'torch', 'numpy', 'PIL', 'torchvision', 'sklearn'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"[]\n", b"")

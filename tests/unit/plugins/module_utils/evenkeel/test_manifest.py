# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.manifest: what the toolkit made on a host."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from evenkeel import manifest

ENTRY = {"role": "r", "kind": "path", "name": "/a", "existed_before": False}


def test_it_survives_a_round_trip(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "manifest.json")
    assert manifest.load(path) == []
    manifest.save(path, [ENTRY])
    assert manifest.load(path) == [ENTRY]
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["manifest.json"]


def test_the_first_word_on_whether_it_was_there_stays() -> None:
    again = manifest.with_entries([ENTRY], [{**ENTRY, "existed_before": True}, {**ENTRY, "role": "other"}])
    assert again == [ENTRY, {**ENTRY, "role": "other"}]


def test_an_entry_named_twice_is_kept_once() -> None:
    assert manifest.with_entries([], [ENTRY, ENTRY]) == [ENTRY]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 2, "entries": []}', '{"schema_version": 1'])
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(manifest.ManifestError, match=r"manifest\.json"):
        manifest.load(str(path))


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "manifest.json")
    manifest.save(path, [ENTRY])

    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    with pytest.raises(OSError, match="No space"):
        manifest.save(path, [])
    assert manifest.load(path) == [ENTRY]
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]

# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cifar_cnn import calibration
from cifar_cnn.__main__ import main
from cifar_cnn.resources import granted_cpus


def test_prepare_reports_and_is_idempotent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prepare", "--dataset", "synthetic", "--options", '{"train": 20, "test": 12}', "--out", str(tmp_path)]
    reports = []
    for _ in range(2):
        assert main(command) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert [report.pop("changed") for report in reports] == [True, False]
    assert reports[0] == reports[1]
    assert set(reports[0]) == {"dataset", "sha256", "train", "test", "classes", "bytes"}
    assert (reports[0]["train"], reports[0]["test"], reports[0]["classes"]) == (20, 12, 10)
    assert reports[0]["bytes"] == 32 * (32 * 32 * 3 + 8)


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        ("digits", '{"train": 5}', "unknown option of data set digits: train (known: none)"),
        ("synthetic", '{"train": 5}', "option train of data set synthetic: expected a whole number from 10"),
        ("image_folder", '{"folder": "/no/such"}', "/no/such does not exist"),
        ("image_folder", "{}", "option folder of data set image_folder: expected the path of a folder, got None"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dataset: str, options: str, message: str
) -> None:
    assert main(["prepare", "--dataset", dataset, "--options", options, "--out", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("cifar_cnn prepare: ") and err.count("\n") == 1 and message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["prepare"],
        ["prepare", "--dataset", "mnist", "--out", "x"],
        ["prepare", "--dataset", "digits", "--out", "x", "--options", "{"],
        ["prepare", "--dataset", "digits", "--out", "x", "--options", "[]"],
    ],
)
def test_wrong_arguments_end_with_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_train_saves_and_reports(
    data_dir: Path, write_service: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_service()
    assert main(["train", "--service-dir", str(folder), "--data-dir", str(data_dir)]) == 0
    captured = capsys.readouterr()
    assert list(json.loads(captured.out)) == ["model_sha256"]
    assert captured.err.endswith("trained 3 of 3 batches\n")
    assert (folder / "model.pt.sha256").exists()


def test_train_without_data_says_so(
    tmp_path: Path, write_service: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--service-dir", str(write_service()), "--data-dir", str(tmp_path / "none")]) == 2
    assert "no prepared data set in" in capsys.readouterr().err


def test_calibrate_prints_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[int] = []
    monkeypatch.setattr(calibration, "calibrate", lambda threads: asked.append(threads) or {"threads": threads})
    assert main(["calibrate", "--threads", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == {"threads": 3}
    assert main(["calibrate"]) == 0
    assert asked == [3, granted_cpus()]


@pytest.mark.parametrize("threads", ["0", "-1", "two", ""])
def test_calibrate_needs_a_thread(threads: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", f"--threads={threads}"])
    assert ended.value.code == 2
    assert "expected a whole number of at least 1" in capsys.readouterr().err

# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from analysis import report
from analysis.__main__ import main
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record

OUTPUTS = ("run.json", "report.md", "report.html", "samples.csv", "metrics.prom")


def test_a_valid_run_ends_with_0_and_every_output(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run_folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"VALID {run_folder.name}"
    assert lines[0].startswith("Embedded: the function's process against the server's process on one machine")
    assert any(line.startswith("Mean response time (primary)") and " slower " in line for line in lines)
    assert all((run_folder / name).stat().st_size > 0 for name in OUTPUTS)
    assert (run_folder.parent / "latest").resolve() == run_folder.resolve()


def test_the_same_raw_files_give_the_same_bytes(run_folder: Path) -> None:
    main(["report", str(run_folder)])
    first = {name: (run_folder / name).read_bytes() for name in OUTPUTS}
    with (run_folder / "journal.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"event": "run_finished", "step": "run", "utc": "2026-11-25T00:00:00Z"}\n')
    main(["report", str(run_folder / ".." / run_folder.name)])
    assert {name: (run_folder / name).read_bytes() for name in OUTPUTS} == first


def test_an_invalid_run_ends_with_2_and_its_code(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_folder / "raw" / "b01-server-load.json").unlink()
    assert main(["report", str(run_folder)]) == 2
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"INVALID trial_missing {run_folder.name}"
    assert "slower" not in out
    assert json.loads((run_folder / "run.json").read_text("utf-8"))["valid"] is False
    assert not (run_folder.parent / "latest").is_symlink()


@pytest.mark.parametrize(("epochs", "code"), [(10, 0), (30, 3)])
def test_a_base_run_is_checked_before_the_run(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], epochs: int, code: int
) -> None:
    plan = json.loads((run_folder / "plan.json").read_text("utf-8"))
    plan["profile"]["service"]["epochs"] = epochs
    hosts = {"local": json.loads((run_folder / "raw" / "host-local.json").read_text("utf-8"))}
    asked = {"profile": plan["profile"], "arms": {"server": plan["arms"]["server"]}, "hosts": hosts}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
    assert main(["base", str(run_folder)]) == code
    assert ("profile.service.epochs is 30 here and 10 there" in capsys.readouterr().err) == (code == 3)
    assert not (run_folder / "run.json").exists()


def test_an_interrupted_run_says_how_to_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticRun(finished=False).write(tmp_path)
    for path in (folder / "raw").glob("b06-*"):
        path.unlink()
    assert main(["report", str(folder)]) == 2
    out = capsys.readouterr().out
    assert f"ansible-playbook benchmark.yml -e resume={folder.name}" in out.replace("\n", " ")
    assert out.splitlines()[-1].startswith("INVALID run_interrupted")


def test_one_arm_is_valid_without_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticRun(arms=("serverless",)).write(tmp_path)
    assert main(["report", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Only the serverless arm was measured: a valid run, without a verdict." in out
    assert not (tmp_path / "latest").is_symlink()


@pytest.mark.parametrize("arguments", [["report", "nowhere"], ["latest", "nowhere"]])
def test_a_wrong_folder_ends_with_3_and_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert "nowhere" in captured.err


@pytest.mark.parametrize("arguments", [[], ["report"], ["print", "x"], ["report", "x", "--fast"]])
def test_a_wrong_command_line_ends_with_3(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("usage: ") and "error: " in captured.err


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(13, "Permission denied", "raw/x")])
def test_a_failing_disk_ends_with_3_and_says_where(
    run_folder: Path, error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(folder: Path) -> None:
        raise error

    monkeypatch.setattr(report, "build", fail)
    assert main(["report", str(run_folder)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {run_folder} cannot be read or written: {error}\n"


def test_latest_names_the_run(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", str(run_folder)])
    capsys.readouterr()
    assert main(["latest", str(run_folder.parent)]) == 0
    assert capsys.readouterr().out == f"{run_folder}\n"


def test_a_run_that_became_invalid_is_no_longer_the_latest(run_folder: Path) -> None:
    main(["report", str(run_folder)])
    change_record(run_folder, "b01-server-load", {("ab_benchmark", "valid"): False})
    main(["report", str(run_folder)])
    assert not (run_folder.parent / "latest").exists()


def test_a_terminal_is_not_commanded_by_a_measured_text(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "wrong_answer: \x1b[2J\x1b]0;owned\x07"
    change_record(
        run_folder,
        "b01-server-load",
        {("ab_benchmark", "valid"): False, ("ab_benchmark", "invalid_reasons"): [hostile]},
    )
    assert main(["report", str(run_folder)]) == 2
    assert "\x1b" not in capsys.readouterr().out

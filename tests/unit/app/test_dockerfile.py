# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The server arm's image is built as the function's is, from the same layers."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SERVER = (ROOT / "app" / "Dockerfile").read_text()
FUNCTION = (ROOT / "function" / "template" / "python3-http-conda" / "Dockerfile").read_text()
LINE = "# " + "-" * 115 + "\n"


def instructions(dockerfile: str) -> list[str]:
    """The instructions of a Dockerfile, each on one line."""
    lines = [line for line in dockerfile.splitlines() if line.strip() and not line.startswith("#")]
    return [instruction.strip() for instruction in "\n".join(lines).replace("\\\n", " ").splitlines()]


def shared(dockerfile: str) -> str:
    before, common, after = dockerfile.split(LINE)
    assert before and after
    return common


def test_both_have_the_same_first_layers() -> None:
    """Every instruction of the last stage up to the second line of dashes, and the stage before it."""
    assert shared(SERVER) == shared(FUNCTION)
    assert instructions(shared(SERVER))[0] == "FROM ${CONDA_IMAGE} AS packages"
    assert any(instruction.startswith("COPY --from=packages") for instruction in instructions(shared(SERVER)))


def test_nothing_of_a_layer_stands_before_them() -> None:
    """A layer before the shared ones would make them two: only ARG, and the function's scratch stage, may."""
    before = [instruction.split()[0] for instruction in instructions(SERVER.split(LINE)[0])]
    assert before == ["ARG"]
    assert [line for line in instructions(FUNCTION.split(LINE)[0]) if not line.startswith("ARG ")] == [
        "FROM ${WATCHDOG_IMAGE} AS watchdog"
    ]


def test_both_default_to_the_same_base_image() -> None:
    bases = [
        [line for line in instructions(dockerfile) if line.startswith("ARG CONDA_IMAGE=")]
        for dockerfile in (SERVER, FUNCTION)
    ]
    assert bases[0] == bases[1] and len(bases[0]) == 1


def test_it_drops_root_and_listens_where_the_function_does() -> None:
    own = instructions(SERVER.split(LINE)[2])
    assert own.index("USER 10001") < next(n for n, line in enumerate(own) if line.startswith("CMD"))
    assert "EXPOSE 8080" in own
    assert any("EVENKEEL_PORT=8080" in line and "EVENKEEL_BIND=0.0.0.0" in line for line in own)


def test_neither_is_asked_by_the_engine() -> None:
    """A process every few seconds in one arm only would be measured with it."""
    for dockerfile in (SERVER, FUNCTION):
        assert not any(line.startswith("HEALTHCHECK") for line in instructions(dockerfile))

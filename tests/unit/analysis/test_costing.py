# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run's cost section says, from runs of known truth."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from analysis import report
from analysis.__main__ import main
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_plan, change_record, priced


def cost_of(folder: Path) -> dict[str, Any]:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    found: dict[str, Any] = run["cost"]
    return found


def cheaper(prices: dict[str, Any]) -> None:
    """A server whose break-even lies below its baseline, where its CPU has no part in it."""
    prices["prices"]["server_hour"]["value"] = 0.02


def section_of(folder: Path) -> str:
    text = markdown(document(evaluate(read_run(folder))))
    return text.split("## Cost\n")[1].split("\n## ")[0]


def test_every_figure_follows_from_the_run_and_the_prices(run_folder: Path) -> None:
    priced(run_folder, change=cheaper)
    cost = cost_of(run_folder)
    server, used, even = cost["server"], cost["pay_per_use"], cost["break_even"]
    assert (cost["state"], server["baseline_vcpus"], cost["prices"]["age_days"]) == ("priced", 0.4, 23)
    # 2 CPUs and no memory limit: 2 x 2048 MB; 0.45 s of it at 0.00001, and a fee of 0.2 a million.
    assert used["memory_bytes"] == 4 * 2**30
    assert used["usd_per_million"] == pytest.approx(0.2 + 4 * 0.45 * 0.00001 * 1e6)
    surplus = 0.05 * (server["capacity_rps"] * server["cpu_seconds_per_request"] - 0.4)
    assert server["usd_per_million_at_capacity"] == pytest.approx(
        (0.02 + surplus) / 3600 / server["capacity_rps"] * 1e6
    )
    # The CPU stays below the baseline: hourly price / what a request costs.
    assert even["rate_rps"] == pytest.approx(0.02 / 3600 / (used["usd_per_million"] / 1e6))
    assert (even["n"], even["beyond_capacity"]) == (6, False)


def test_the_interval_of_the_break_even_is_that_of_the_blocks(run_folder: Path) -> None:
    priced(run_folder, change=cheaper)
    for block in range(1, 7):
        seconds = 0.40 + 0.01 * block
        change_record(
            run_folder, f"b0{block}-serverless-start", {("service_startup", "evaluation", "wall_seconds"): seconds}
        )
    even = cost_of(run_folder)["break_even"]
    rates = [one["rate_rps"] for one in even["blocks"]]
    assert rates == sorted(rates, reverse=True)
    # With 6 blocks the 95 % interval is from the least to the most.
    assert (even["interval"]["low"], even["interval"]["high"]) == pytest.approx((rates[-1], rates[0]))
    assert even["interval"]["low"] < even["rate_rps"] < even["interval"]["high"]


def test_few_blocks_have_a_rate_and_no_interval(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=4).write(tmp_path)
    priced(folder)
    even = cost_of(folder)["break_even"]
    assert even["interval"] is None and even["rate_rps"] > 0
    assert "(no interval, 4 blocks)" in section_of(folder)


@pytest.mark.parametrize(
    ("limit", "memory", "source"),
    [
        (5 * 2**30, 5 * 2**30, "the arm's memory limit"),
        # The time was measured with 2 CPUs, and who asks for 1 GiB gets a fraction of one.
        (2**30, 4 * 2**30, "the memory that comes with the arm's 2 CPUs, more than its memory limit of 1024 MB"),
    ],
)
def test_what_is_paid_for_is_the_memory_limit_or_what_comes_with_the_cpus(
    run_folder: Path, limit: int, memory: int, source: str
) -> None:
    priced(run_folder)
    for block in range(1, 7):
        for arm in ("server", "serverless"):
            change_record(
                run_folder, f"b0{block}-{arm}-start", {("service_startup", "granted", "memory_limit_bytes"): limit}
            )
    for arm in ("server", "serverless"):
        change_record(run_folder, f"s01-{arm}-train", {("service_startup", "granted", "memory_limit_bytes"): limit})
    used = cost_of(run_folder)["pay_per_use"]
    assert (used["memory_bytes"], used["memory_from"]) == (memory, source)


def test_a_server_that_cannot_answer_the_break_even_rate_is_never_the_cheaper_one(run_folder: Path) -> None:
    priced(run_folder, change=lambda prices: prices["prices"]["server_hour"].update(value=2.0))
    even = cost_of(run_folder)["break_even"]
    assert even["beyond_capacity"] is True and even["share_of_capacity"] > 1
    assert "Pay per use (Lambda-equivalent, not OpenFaaS) costs less at every rate" in section_of(run_folder)


def test_where_the_surplus_alone_costs_more_there_is_no_break_even(run_folder: Path) -> None:
    priced(run_folder, change=lambda prices: prices["prices"]["server_surplus_vcpu_hour"].update(value=5.0))
    even = cost_of(run_folder)["break_even"]
    assert even["rate_rps"] is None
    assert even["reason"] == "in 6 of 6 blocks pay per use costs less than the server at every rate"


def test_the_curve_falls_with_the_rate_and_meets_pay_per_use_at_the_break_even(run_folder: Path) -> None:
    priced(run_folder)
    cost = cost_of(run_folder)
    curve, even = cost["curve"], cost["break_even"]["rate_rps"]
    one = [point for point in curve if point["server_hosts"] == 1]
    assert all(first["server_usd_per_million"] > second["server_usd_per_million"] for first, second in pairwise(one))
    for point in one:
        dearer = point["server_usd_per_million"] > point["pay_per_use_usd_per_million"]
        assert dearer is (point["rate_rps"] < even) or math.isclose(point["rate_rps"], even)


@pytest.mark.parametrize(
    ("names", "key", "said"),
    [
        (
            ("server_hour", "server_surplus_vcpu_hour"),
            "server",
            "not measured: no price: the price file has no server_hour",
        ),
        (
            ("pay_per_use_gb_second",),
            "pay_per_use",
            "not measured: no price: the price file has no pay_per_use_million",
        ),
    ],
)
def test_a_price_that_is_left_out_is_not_measured(
    run_folder: Path, names: tuple[str, ...], key: str, said: str
) -> None:
    priced(run_folder, change=lambda prices: [prices["prices"].pop(name) for name in names])
    cost = cost_of(run_folder)
    assert cost["state"] == "priced" and cost[key]["reason"].startswith("no price")
    assert cost["break_even"]["rate_rps"] is None
    assert said in section_of(run_folder).replace("\\", "")


def test_openfaas_on_ones_own_machine_has_no_price_a_request(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms={"serverless": "kind", "server": "systemd"}).write(tmp_path)
    priced(
        folder,
        change=lambda prices: prices.update(
            kubernetes_node={"name": "n4", "vcpus": 4, "memory_gib": 16},
            prices=prices["prices"] | {"kubernetes_node_hour": {"value": 0.2, "source": "an example"}},
        ),
    )
    node = cost_of(folder)["kubernetes"]
    assert node["usd_per_million_at_capacity"] is None
    assert node["reason"] == "OpenFaaS on one's own machine has no price a request"


def test_a_run_without_prices_says_so(run_folder: Path) -> None:
    cost = cost_of(run_folder)
    assert (cost["state"], cost["reason"]) == ("not measured", "no price: the run has no price file (prices_file)")
    assert section_of(run_folder).strip() == "Not measured: no price: the run has no price file (prices\\_file)."


def test_one_arm_alone_has_no_cost(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",)).write(tmp_path)
    priced(folder)
    assert cost_of(folder)["reason"] == "the run did not measure both arms"


def test_prices_older_than_the_run_allows_are_refused_by_the_runs_date(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priced(run_folder, max_age_days=22)
    cost = cost_of(run_folder)
    assert cost["state"] == "refused" and cost["curve"] == [] and cost["server"] is None
    assert "the prices are of 2026-11-01, 23 days before the run, and prices_max_age_days is 22" in cost["reason"]
    assert section_of(run_folder).strip().startswith("Refused: the prices are of 2026-11-01")
    assert main(["cost", str(run_folder)]) == 3
    assert "is refused: the prices are of 2026-11-01" in capsys.readouterr().err
    priced(run_folder, max_age_days=23)
    assert main(["cost", str(run_folder)]) == 0
    assert "## Cost" in capsys.readouterr().out


def test_a_rebuild_is_byte_for_byte_the_same(run_folder: Path) -> None:
    priced(run_folder)
    report.build(run_folder)
    before = {path.name: path.read_bytes() for path in run_folder.iterdir() if path.is_file()}
    report.build(run_folder)
    assert {path.name: path.read_bytes() for path in run_folder.iterdir() if path.is_file()} == before
    assert "raw/prices.json" in [file["path"] for file in json.loads(before["run.json"])["files"]]


def test_prices_of_a_day_after_the_runs_are_refused(run_folder: Path) -> None:
    priced(run_folder)
    change_plan(run_folder, lambda plan: plan.update(created_utc="2026-10-31T00:00:00Z"))
    # It was that day already where the prices were written down.
    assert (cost_of(run_folder)["state"], cost_of(run_folder)["prices"]["age_days"]) == ("priced", -1)
    change_plan(run_folder, lambda plan: plan.update(created_utc="2026-10-30T00:00:00Z"))
    cost = cost_of(run_folder)
    assert cost["state"] == "refused" and cost["curve"] == []
    assert "the prices are of 2026-11-01 and the run is of 2026-10-30" in cost["reason"]


def test_prices_of_a_run_without_a_day_are_refused_by_name(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    priced(run_folder)
    change_plan(run_folder, lambda plan: plan.update(created_utc="2026-13-45T00:00:00Z"))
    assert main(["report", str(run_folder)]) == 3
    error = capsys.readouterr().err
    assert "plan.json: created_utc is '2026-13-45T00:00:00Z'" in error and error.count("\n") == 1


def test_the_section_is_the_golden_one(run_folder: Path) -> None:
    priced(run_folder)
    golden = Path(__file__).resolve().parents[1] / "fixtures" / "runs" / "cost.md"
    assert section_of(run_folder) == golden.read_text("utf-8")


def test_a_price_file_is_checked_and_printed_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = Path(__file__).resolve().parents[3] / "prices" / "aws-us-east-1.yml"
    assert main(["prices", str(published)]) == 0
    assert json.loads(capsys.readouterr().out)["server"]["name"] == "t3.medium"
    assert main(["prices", str(tmp_path / "none.yml")]) == 3
    assert "none.yml cannot be read" in capsys.readouterr().err

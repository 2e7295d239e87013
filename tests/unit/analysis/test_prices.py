# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A price file is used whole or refused with one message that names the place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.prices import PricesUnusable, parse, read_file

PUBLISHED = Path(__file__).resolve().parents[3] / "prices" / "aws-us-east-1.yml"


def content() -> dict[str, Any]:
    return copy.deepcopy(read_file(PUBLISHED))


def test_the_published_file_has_a_source_beside_every_figure_and_no_node() -> None:
    prices = parse(content(), "it")
    assert prices.value("server_hour") == 0.0416
    assert prices.value("pay_per_use_gb_second") == 0.0000166667
    assert prices.value("kubernetes_node_hour") is None
    assert prices.machines["server"].vcpus == 2
    assert all(one["source"] and one["unit"] for one in prices.as_json())
    assert prices.age_days(date(2026, 4, 19)) == 2


def test_the_price_of_the_server_is_the_one_that_site_yml_prints() -> None:
    role = PUBLISHED.parents[1] / "roles" / "ec2_host" / "vars" / "main.yml"
    printed = yaml.safe_load(role.read_text())["ec2_host_prices"]["us-east-1"]["t3.medium"]
    assert parse(content(), "it").value("server_hour") == printed


def test_a_date_without_quotes_is_the_same_date(tmp_path: Path) -> None:
    file = tmp_path / "prices.yml"
    file.write_text(PUBLISHED.read_text().replace('"2026-04-17"', "2026-04-17"))
    assert read_file(file) == content()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(as_of="soon"), "as_of is 'soon'; give the day of the prices as YYYY-MM-DD"),
        (lambda c: c.pop("as_of"), "as_of is None"),
        (lambda c: c.update(currency="EUR"), "currency is 'EUR'; only USD"),
        (lambda c: c.update(schema_version=2), "schema_version is 2"),
        (lambda c: c.update(discount=0.1), "unknown key discount; known are as_of, currency"),
        (lambda c: c["prices"].update(server_day={}), "unknown name server_day"),
        (lambda c: c["prices"]["server_hour"].pop("source"), "prices.server_hour must hold value and source"),
        (lambda c: c["prices"]["server_hour"].update(source=" "), "prices.server_hour.source is ' '; give a text"),
        (lambda c: c["prices"]["server_hour"].update(value=0), "server_hour.value is 0; give a number above 0"),
        (lambda c: c["prices"]["server_hour"].update(value="4 ct"), "server_hour.value is '4 ct'"),
        (lambda c: c["prices"]["server_hour"].update(value=True), "server_hour.value is True"),
        (lambda c: c["prices"].pop("server_hour"), "server_surplus_vcpu_hour needs server_hour beside it"),
        (
            lambda c: c["terms"].pop("pay_per_use_least_mb"),
            "pay_per_use_gb_second needs pay_per_use_least_mb beside it",
        ),
        (lambda c: c["terms"]["server_baseline_share"].update(value=20), "server_baseline_share is 20; it is a share"),
        (lambda c: c.pop("server"), "server must hold name and vcpus"),
        (
            lambda c: c["prices"].update(kubernetes_node_hour={"value": 1, "source": "me"}),
            "kubernetes_node must hold name and vcpus and memory_gib",
        ),
        (lambda c: c.update(prices=[]), "prices must be a mapping"),
    ],
)
def test_a_wrong_file_names_the_place_and_what_to_do(change: Callable[[dict[str, Any]], object], said: str) -> None:
    wrong = content()
    change(wrong)
    with pytest.raises(PricesUnusable) as caught:
        parse(wrong, "my.yml")
    assert said in str(caught.value)
    assert str(caught.value).startswith("my.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is not YAML"), ("- 1\n", "must hold a mapping"), (None, "cannot be read: No such file")],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "prices.yml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(PricesUnusable, match=said) as caught:
        read_file(file)
    assert "prices.yml" in str(caught.value)

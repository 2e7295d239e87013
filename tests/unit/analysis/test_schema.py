# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from analysis import schema
from analysis.metrics import DURATION, RESOURCE


@pytest.mark.parametrize("name", ["run", "plan", "trial"])
def test_the_published_schemas_are_schemas(name: str) -> None:
    published = schema.published(name)
    jsonschema.Draft202012Validator.check_schema(published)
    assert published["$id"] == f"urn:evenkeel:{name}:{schema.SCHEMA_VERSION}"


def test_the_closed_lists_are_those_of_the_published_schema() -> None:
    definitions = schema.published("run")["$defs"]
    for name, members in schema.CLOSED_LISTS.items():
        assert definitions[name]["enum"] == [member.value for member in members]


def test_the_plan_knows_the_same_arms_and_kinds() -> None:
    trial = schema.published("plan")["properties"]["trials"]["items"]["properties"]
    assert trial["arm"]["enum"] == [arm.value for arm in schema.Arm]
    assert trial["kind"]["enum"] == [kind.value for kind in schema.Kind]


def test_every_word_of_a_metric_is_a_verdict() -> None:
    assert {*DURATION, *RESOURCE} <= set(schema.Verdict)


def test_a_violation_says_where_and_what() -> None:
    assert schema.first_violation("plan", []) == "at the top level: [] is not of type 'object'"


def test_every_code_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "measurement.md").read_text("utf-8")
    assert [code for code in (*schema.Reason, *schema.Caution) if f"`{code}`" not in text] == []


def test_the_schemas_are_published_with_the_documentation() -> None:
    root = Path(__file__).resolve().parents[3]
    sources = sorted((root / "analysis" / "schema").glob("*.schema.json"))
    published = sorted((root / "docs" / "schema").glob("*.schema.json"))
    assert len(sources) >= 3
    assert [path.resolve() for path in published] == sources

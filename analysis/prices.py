# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A price file: read, checked and dated. A price without a source is refused, one that is left out stays unknown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from analysis.errors import RunUnreadable

SCHEMA_VERSION = 1
CURRENCY = "USD"

# What a price file may hold, with the unit of each.
PRICES: Mapping[str, str] = {
    "server_hour": "USD an hour of one server",
    "server_surplus_vcpu_hour": "USD a vCPU-hour above the baseline",
    "pay_per_use_million_requests": "USD a million requests",
    "pay_per_use_gb_second": "USD a GB-second (1 GB = 1,024 MB)",
    "kubernetes_node_hour": "USD an hour of one node",
}
TERMS: Mapping[str, str] = {
    "server_baseline_share": "of each vCPU",
    "pay_per_use_rounding_seconds": "s",
    "pay_per_use_mb_per_vcpu": "MB a vCPU",
    "pay_per_use_least_mb": "MB",
    "pay_per_use_most_mb": "MB",
}
# Prices that mean nothing without the terms beside them, and the machine that a price is of.
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "server_surplus_vcpu_hour": ("server_hour", "server_baseline_share"),
    "pay_per_use_gb_second": (
        "pay_per_use_million_requests",
        "pay_per_use_rounding_seconds",
        "pay_per_use_mb_per_vcpu",
        "pay_per_use_least_mb",
        "pay_per_use_most_mb",
    ),
}
MACHINES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "server_hour": ("server", ("vcpus",)),
    "kubernetes_node_hour": ("kubernetes_node", ("vcpus", "memory_gib")),
}
_KEYS = frozenset({"schema_version", "currency", "region", "as_of", "server", "kubernetes_node", "prices", "terms"})


class PricesUnusable(RunUnreadable):
    """A price file cannot be used. The message says what, where, why, and what to do."""


@dataclass(frozen=True)
class Machine:
    """What is paid for by the hour; ``memory_gib`` only where it was asked for."""

    name: str
    vcpus: float
    memory_gib: float | None = None


@dataclass(frozen=True)
class Price:
    """A figure with its public source. The unit is that of its name in PRICES or TERMS."""

    value: float
    source: str


@dataclass(frozen=True)
class Prices:
    """What a price file says, in US dollars, on one day."""

    as_of: date
    region: str
    machines: Mapping[str, Machine] = field(default_factory=dict)
    found: Mapping[str, Price] = field(default_factory=dict)

    def value(self, name: str) -> float | None:
        """Give one price or term, or None where the file leaves it out."""
        return self.found[name].value if name in self.found else None

    def age_days(self, day: date) -> int:
        """Give the days from the prices' date to ``day``; below 0 where the prices are newer."""
        return (day - self.as_of).days

    def as_json(self) -> list[dict[str, Any]]:
        """Give every price and term as it stands in ``run.json``."""
        return [
            {"name": name, "value": self.found[name].value, "unit": unit, "source": self.found[name].source}
            for name, unit in {**PRICES, **TERMS}.items()
            if name in self.found
        ]


def read_file(path: Path) -> dict[str, Any]:
    """Read and check a price file in YAML; give it as plain JSON values. Raises PricesUnusable."""
    try:
        content = yaml.safe_load(path.expanduser().read_text("utf-8"))
    except OSError as error:
        raise PricesUnusable(
            f"the price file {path} cannot be read: {error.strerror or error}; name another one with prices_file, or "
            "none with prices_file="
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PricesUnusable(f"the price file {path} is not YAML: {' '.join(str(error).split())}") from error
    if isinstance(content, dict) and isinstance(content.get("as_of"), date):
        content["as_of"] = content["as_of"].isoformat()  # YAML reads a date without quotes as a date
    parse(content, str(path))
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return plain


def parse(content: object, where: str) -> Prices:
    """Check what a price file holds. ``where`` names it in messages. Raises PricesUnusable."""
    if not isinstance(content, Mapping):
        raise PricesUnusable(f"{where} must hold a mapping with as_of, prices and terms; prices/ has an example")
    _known(content, _KEYS, where, "key")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise PricesUnusable(
            f"{where}: schema_version is {content.get('schema_version')!r}; it must be {SCHEMA_VERSION}"
        )
    if content.get("currency") != CURRENCY:
        raise PricesUnusable(f"{where}: currency is {content.get('currency')!r}; only {CURRENCY} is computed with")
    found = {
        **_figures(content.get("prices"), PRICES, f"{where}: prices"),
        **_figures(content.get("terms", {}), TERMS, f"{where}: terms"),
    }
    for name, needed in TOGETHER.items():
        missing = [other for other in needed if other not in found]
        if name in found and missing:
            raise PricesUnusable(f"{where}: {name} needs {', '.join(missing)} beside it; give it, or leave both out")
    share = found.get("server_baseline_share")
    if share is not None and share.value > 1:
        raise PricesUnusable(
            f"{where}: server_baseline_share is {share.value:g}; it is a share of each vCPU, from 0 to 1"
        )
    return Prices(
        as_of=_day(content.get("as_of"), where),
        region=_text(content.get("region"), f"{where}: region"),
        machines={
            key: _machine(content.get(key), numbers, f"{where}: {key}")
            for price, (key, numbers) in MACHINES.items()
            if price in found
        },
        found=found,
    )


def _figures(content: object, known: Mapping[str, str], where: str) -> dict[str, Price]:
    if not isinstance(content, Mapping):
        raise PricesUnusable(f"{where} must be a mapping of {', '.join(known)}")
    _known(content, known, where, "name")
    return {name: _price(one, f"{where}.{name}") for name, one in content.items()}


def _price(content: object, where: str) -> Price:
    if not isinstance(content, Mapping) or set(content) != {"value", "source"}:
        raise PricesUnusable(
            f"{where} must hold value and source, and nothing else; a price without its source is not used"
        )
    return Price(_number(content["value"], f"{where}.value"), _text(content["source"], f"{where}.source"))


def _machine(content: object, numbers: tuple[str, ...], where: str) -> Machine:
    if not isinstance(content, Mapping) or set(content) != {"name", *numbers}:
        raise PricesUnusable(f"{where} must hold name and {' and '.join(numbers)}, since its price an hour is given")
    found = {name: _number(content[name], f"{where}.{name}") for name in numbers}
    return Machine(_text(content["name"], f"{where}.name"), **found)


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise PricesUnusable(f"{where} is {value!r}; give a number above 0, or leave the price out")
    return float(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise PricesUnusable(f"{where} is {value!r}; give a text")
    return value.strip()


def _day(value: object, where: str) -> date:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise PricesUnusable(f"{where}: as_of is {value!r}; give the day of the prices as YYYY-MM-DD") from None


def _known(content: Mapping[Any, Any], known: object, where: str, what: str) -> None:
    names = sorted(known)  # type: ignore[call-overload]
    strange = sorted(str(name) for name in content if name not in names)
    if strange:
        raise PricesUnusable(f"{where} has the unknown {what} {strange[0]}; known are {', '.join(names)}")

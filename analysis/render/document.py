# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The report as plain structure, in its one order; Markdown and HTML print this, so that they never differ."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from analysis import calibration, cluster_phases, parity, thresholds, verdict, wording
from analysis.figures import level, percent
from analysis.metrics import Role
from analysis.render import how_sure, open_loop
from analysis.schema import Kind, Status
from analysis.table import Table

Run = Mapping[str, Any]

STATES = ("idle", "busy")
_PARITY = {True: "Equal ground: passed.", False: "Equal ground: FAILED.", None: "One arm: nothing to compare."}

_BESIDE = (
    ("report.html", "charts, every pair, equal ground, every figure's definition, method and limits, hosts"),
    ("run.json", "every figure, for programs"),
    ("samples.csv", "every request of ApacheBench's loads; those of an open loop are in raw/"),
    ("metrics.prom", "the figures as OpenMetrics"),
    ("raw/", "the raw files that all of it follows from"),
)


@dataclass(frozen=True)
class Rule:
    """What a run must keep, and whether it did; None where it does not apply."""

    met: bool | None
    said: str

    @property
    def word(self) -> str:
        """Say how the rule fared."""
        return {True: "met", False: "missed", None: "does not apply"}[self.met]


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it.

    ``charts`` marks the section where HTML shows the charts, ``brief`` those that stand in the short report too;
    ``commands`` are lines for a shell.
    """

    id: str
    title: str
    paragraphs: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    commands: tuple[str, ...] = ()
    charts: bool = False
    brief: bool = False


@dataclass(frozen=True)
class Document:
    """A whole report. ``beside`` is what stands right below the verdict, where there is anything."""

    title: str
    verdict: str
    opening: tuple[str, ...]
    stamp: str
    rules: tuple[Rule, ...]
    about: str
    sections: tuple[Section, ...] = field(default_factory=tuple)
    beside: str | None = None


def document(run: Run) -> Document:
    """Lay out the report of a run."""
    verdict_said, beside = wording.verdict_sentence(run), wording.beside_it(run)
    return Document(
        title="Evenkeel: serverless against server",
        verdict=verdict_said,
        # Verdict and what is beside it stand above them, and each threshold is one of the rules.
        opening=tuple(
            said for said in wording.opening(run) if said not in (verdict_said, beside, wording.of_the_thresholds(run))
        ),
        stamp=stamp(run),
        rules=tuple(_rules(run)),
        about=_about(run),
        sections=tuple(section for build in _SECTIONS for section in build(run)),
        beside=beside,
    )


def in_short(report: Document) -> Document:
    """Give the report for those who read on elsewhere: verdict, reasons, table and remarks, and where the rest is."""
    rest = Section(
        "rest", "Everything else", tables=(Table("Beside this file", ("File", "Holds"), _BESIDE, paths=frozenset({0})),)
    )
    return replace(report, sections=(*(section for section in report.sections if section.brief), rest))


def stamp(run: Run) -> str:
    """Give the run's state: VALID or INVALID, PARITY FAILED, its status, and MISSED where it misses a threshold."""
    words = ["VALID" if run["valid"] else "INVALID", *([parity.FAILED] if wording.parity_failed(run) else [])]
    words.append(run["status"].replace("_", " "))
    if run["valid"] and (against := thresholds.missed(run["thresholds"])):
        words.append(f"MISSED {len(against)} of {len(run['thresholds'])} thresholds")
    return ", ".join(words)


def verdict_table(run: Run) -> Table:
    """Give the table of every metric that takes part in the verdict."""
    rows = []
    for metric in run["metrics"]:
        if metric["role"] == Role.SHOWN:
            continue
        p = metric["p"] if metric["primary"] else metric["p_adjusted"]
        rows.append(
            (
                f"{metric['title']}{' (primary)' if metric['primary'] else ''}",
                wording.summary(metric["server"], metric["unit"]),
                wording.summary(metric["serverless"], metric["unit"]),
                wording.ratio(metric["ratio"]),
                wording.interval(metric["interval"]),
                wording.verdict(metric),
                str(metric["n"]),
                wording.probability(p),
            )
        )
    headers = ("Metric", "Server", "Serverless", "Ratio", "Interval", "Verdict", "n", "p")
    return Table("The verdict, metric by metric", headers, tuple(rows), frozenset({1, 2, 3, 4, 6, 7}), stacked=True)


def _rules(run: Run) -> Iterator[Rule]:
    """List what makes a verdict one, in the order in which it fails."""
    count = len(run["invalid_reasons"])
    allowed = run["profile"]["run"]["load"].get("max_error_rate") or 0
    failures = f"no more than {percent(allowed)} of a load's requests failed" if allowed else "no request failed"
    yield Rule(
        run["valid"],
        f"Every start and load of the verdict is valid: all answers right, {failures}, nothing changed under way."
        if run["valid"]
        else f"{count} {'reason stands' if count == 1 else 'reasons stand'} against the run.",
    )
    yield Rule(run["parity"]["passed"], _of_parity(run))
    both = run["status"] != Status.ONE_ARM
    found = wording.primary(run)["n"]
    yield Rule(
        found >= verdict.FEWEST_PAIRS if both else None,
        f"Enough blocks for a verdict: {found} of at least {verdict.FEWEST_PAIRS}."
        if both
        else "Blocks of both arms: one arm was measured.",
    )
    for rule in run["thresholds"]:
        yield Rule(rule["met"], f"Threshold {rule['rule']}: {rule['reason']}.")


def _of_parity(run: Run) -> str:
    """Say whether the ground was equal."""
    if run["parity"]["passed"] is None and run["status"] == Status.INTERRUPTED:
        return "Equal ground: not known, the run ended before all of it was recorded."
    return _PARITY[run["parity"]["passed"]]


def _reasons(run: Run) -> Iterator[Section]:
    if run["invalid_reasons"]:
        rows = tuple(
            (reason["code"], reason["trial"] or "the run", reason["message"]) for reason in run["invalid_reasons"]
        )
        yield Section(
            "reasons",
            "Why this run is INVALID",
            tables=(Table("Reasons against the run", ("Code", "Trial", "What was found"), rows),),
            brief=True,
        )


def _about(run: Run) -> str:
    """Say in one line what, when and where."""
    hosts = ", ".join(sorted({described["host"] for described in run["arms"].values()}))
    dataset = run["profile"]["service"].get("dataset", "not recorded")
    return (
        f"Profile {run['profile']['name']}, data set {dataset}, {_load_line(run)}; begun "
        f"{run['begun_utc'] or run['created_utc']} on "
        f"{hosts}; run {run['run_id']}."
    )


def _what(run: Run) -> Iterator[Section]:
    profile, service = run["profile"], run["profile"]["service"]
    rows = [
        ("Run", run["run_id"]),
        ("State", stamp(run)),
        ("Profile", profile["name"]),
        ("Begun (UTC)", run["begun_utc"] or run["created_utc"]),
        ("Ended (UTC)", run["ended_utc"] or "not finished"),
        ("Seed of the order", str(run["seed"])),
        ("Data set", str(service.get("dataset", "not recorded"))),
        ("Engine, recipe", f"{service.get('engine', 'not recorded')}, {service.get('recipe', 'not recorded')}"),
        ("Load", _load_line(run)),
    ]
    for arm, described in run["arms"].items():
        rows.append(
            (
                f"{arm.capitalize()} arm",
                f"{described['platform']} on {described['host']}: {described.get('description', '')}",
            )
        )
    pairing = wording.pairing_sentence(run)
    if pairing is not None:
        rows.append(("Equal ground", pairing))
    yield Section("what", "The run", tables=(Table("What, when, where", ("What", "Value"), tuple(rows)),))


def _load_line(run: Run) -> str:
    loads = [trial["data"].get("requests", {}).get("planned") for trial in run["trials"] if trial["kind"] == Kind.LOAD]
    counts = sorted({planned for planned in loads if planned is not None})
    if not counts:
        return "no load"
    requests = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"ab -n {requests} -c {run['profile']['run']['load'].get('concurrency', 'not recorded')} of GET /"


def _verdicts(run: Run) -> Iterator[Section]:
    family = sum(metric["p_adjusted"] is not None for metric in run["metrics"])
    margin, significance = run["profile"]["run"]["margin"], wording.significance(run)
    paragraphs = [
        "Server and Serverless are medians over trials; the ratio is serverless / server, below 1 where serverless "
        f"needs less. The interval is the ratio's, at least at {level(1 - significance)}. Margin, fixed before "
        f"the run: {percent(margin)}."
    ]
    if family:
        fewest = min(metric["n"] for metric in run["metrics"] if metric["p_adjusted"] is not None)
        smallest = verdict.smallest_p(fewest)
        paragraphs.append(
            f"The primary metric is tested alone at {level(significance)}. The other {family} tested are one "
            f"family: their p are adjusted by Holm for {family} comparisons (before that, {fewest} pairs can give no "
            f"smaller p than {smallest:.3g})."
        )
    reasons = Table(
        "Why each verdict",
        ("Metric", "Verdict", "Reason"),
        tuple(
            (metric["title"], wording.verdict(metric), metric["reason"] or "")
            for metric in run["metrics"]
            if metric["role"] != Role.SHOWN
        ),
    )
    tables = (verdict_table(run), reasons) if run["valid"] else (verdict_table(run),)
    yield Section("table", "The table", tuple(paragraphs), tables=tables, brief=True)


def _how_sure(run: Run) -> Iterator[Section]:
    if how_sure.is_told(run):
        yield Section("how-sure", how_sure.TITLE, how_sure.paragraphs(run), tables=how_sure.tables(run))
    elif "stopping" in run:
        yield Section("how-sure", how_sure.TITLE, (f"{run['stopping']['reason']}.",))


def _warnings(run: Run) -> Iterator[Section]:
    if run["warnings"]:
        yield Section(
            "warnings",
            "What to know before relying on it",
            items=tuple(f"{found['message']} {wording.next_step(found['code'])}" for found in run["warnings"]),
            brief=True,
        )


def _charts(run: Run) -> Iterator[Section]:
    yield Section("charts", "Charts", charts=True)


def _shown(run: Run) -> Iterator[Section]:
    rows = tuple(
        (
            metric["title"],
            wording.summary(metric["server"], metric["unit"]),
            wording.summary(metric["serverless"], metric["unit"]),
            wording.ratio(metric["ratio"]),
            _observations(metric),
            metric["reason"] if metric["ratio"] is None else "",
        )
        for metric in run["metrics"]
        if metric["role"] == Role.SHOWN
    )
    yield Section(
        "shown",
        "Further figures, not tested",
        tables=(
            Table(
                "Medians over trials; no verdict is drawn from these",
                ("Figure", "Server", "Serverless", "Serverless / server", "Observations", "Remark"),
                rows,
                frozenset({1, 2, 3}),
            ),
        ),
    )
    if run["not_measured"]:
        yield Section(
            "not-measured",
            "Not measured",
            tables=(
                Table(
                    "What this run cannot know",
                    ("Figure", "State", "Why"),
                    tuple((found["name"], wording.NOT_MEASURED, found["reason"]) for found in run["not_measured"]),
                ),
            ),
        )


def _resources(run: Run) -> Iterator[Section]:
    """Show the three figures of an arm on a cluster, side by side."""
    found = run.get("resources", ())
    arms = list(dict.fromkeys(row["arm"] for row in found))
    if not found:
        return
    by_place = {(row["arm"], row["part"], row["state"]): row for row in found}
    tables = []
    for arm in arms:
        parts = list(dict.fromkeys(row["part"] for row in found if row["arm"] == arm))
        tables.append(
            Table(
                f"What the {arm} arm's platform uses, part by part",
                ("Part", "CPU, idle", "CPU, busy", "Memory, idle", "Memory, busy"),
                tuple(
                    (
                        by_place[arm, part, "idle"]["title"],
                        *(wording.summary(by_place[arm, part, state]["cpu_cores"], "cores") for state in STATES),
                        *(wording.summary(by_place[arm, part, state]["memory_bytes"], "bytes") for state in STATES),
                    )
                    for part in parts
                ),
                frozenset({1, 2, 3, 4}),
            )
        )
        missing = tuple(
            (row["title"], f"{quantity}, {row['state']}", row[reason])
            for row in found
            if row["arm"] == arm
            for quantity, reason in (("CPU", "cpu_reason"), ("memory", "memory_reason"))
            if row[reason] is not None
        )
        if missing:
            tables.append(Table(f"What of the {arm} arm is not measured", ("Part", "Figure", "Why"), missing))
    yield Section(
        "resources",
        "What the platform uses",
        (
            "Medians over trials. The function's pod alone is compared with the server, in the table above. OpenFaaS's "
            "own pods are what runs the function: gateway, provider and the rest. The whole node is all of that with "
            "the cluster itself; less its idle baseline, the median of its idle windows in this run, it is what the "
            "load added. CPU is from control group counters, idle over the idle window and busy inside ab's own; "
            "memory is the working set.",
        ),
        tables=tuple(tables),
    )


def _cold_starts(run: Run) -> Iterator[Section]:
    """Show what the cluster did in the starts, and which were not cold."""
    judged = run.get("cold_starts")
    if judged is None:
        return
    rejected = judged["rejected"]
    if not judged["starts"]:
        said = "No start was counted."
    elif rejected:
        said = f"{len(rejected)} of {judged['starts']} starts were not cold and are not counted."
    else:
        said = f"All {judged['starts']} starts were cold, by what the cluster showed of each."
    tables = [table for mode in cluster_phases.MODES if (table := cluster_phases.table(run, mode)) is not None]
    if rejected:
        rows = tuple((found["trial"], "; ".join(found["reasons"])) for found in rejected)
        tables.append(Table("Starts that are not counted", ("Start", "Why it was not cold"), rows))
    yield Section(
        "cold-starts",
        "Cold starts",
        (
            f"{said} A start is cold where the old pod had ended, nothing else served, and a new pod took its place. "
            "The phases are those of the cluster, in seconds since the start command; the source says where the end of "
            f"each is from, the resolution by how much it may be late.{cluster_phases.image_sentence(run)}",
        ),
        tables=tuple(tables),
    )


def _open_loop(run: Run) -> Iterator[Section]:
    """Show the latencies at given rates, beside the closed loop's."""
    found = run.get("open_loop")
    if found is not None:
        paragraphs, tables = open_loop.content(found)
        yield Section("open-loop", "At a given rate", paragraphs, tables=tables)


def _observations(metric: Mapping[str, Any]) -> str:
    counts = sorted({found["n"] for found in (metric["server"], metric["serverless"]) if found})
    if not counts:
        return "none"
    return "one an arm" if counts == [1] else f"{' or '.join(map(str, counts))} an arm"


def _blocks(run: Run) -> Iterator[Section]:
    tables = tuple(
        Table(
            f"{metric['title']}, pair by pair",
            ("Pair", "Server", "Serverless", "Serverless / server"),
            tuple(
                (
                    pair["pair"],
                    wording.figure(pair["server"], metric["unit"]),
                    wording.figure(pair["serverless"], metric["unit"]),
                    wording.ratio(pair["ratio"]),
                )
                for pair in metric["pairs"]
            ),
            frozenset({1, 2, 3}),
        )
        for metric in run["metrics"]
        if metric["pairs"] and (metric["role"] != Role.SHOWN or metric["name"] == "trained_ready_seconds")
    )
    yield Section("blocks", "Every pair", tables=tables)


def _parity(run: Run) -> Iterator[Section]:
    rows = tuple(
        (
            check["name"],
            _value(check["server"]),
            _value(check["serverless"]),
            check["tolerance"],
            {True: "equal", False: "NOT EQUAL", None: "one arm"}[check["equal"]],
            check["reason"] or "",
        )
        for check in run["parity"]["checks"]
    )
    yield Section(
        "parity",
        "Equal ground",
        (f"{_of_parity(run)} Each value was read back from what took effect, not from the settings.",),
        items=tuple(found["reason"][0].upper() + found["reason"][1:] + "." for found in run["normalisation"]),
        tables=(
            Table(
                "Checks of equal ground", ("Condition", "Server", "Serverless", "Tolerance", "Result", "Remark"), rows
            ),
        ),
    )


def _value(found: Any) -> str:
    if found is None:
        return "none"
    if isinstance(found, float):
        return f"{found:.4g}"
    if isinstance(found, str):
        return found if len(found) < 64 else f"{found[:12]}..."
    return json.dumps(found, sort_keys=True, ensure_ascii=False)


def _machines(run: Run) -> Iterator[Section]:
    """Show what the machines under the arms were like while they were measured."""
    arms: Mapping[str, Mapping[str, Any]] = run["machines"]["arms"]
    rows = [
        ("Host", *(found["host"] for found in arms.values())),
        ("Steal, of the host's CPU time", *(_steal(found["steal"]) for found in arms.values())),
        ("From the client to the service", *(_round_trip(found["round_trip"]) for found in arms.values())),
    ]
    paragraphs = [
        "Steal is CPU time that went to other virtual machines, over each watcher's own window. From the client to the "
        "service is the time of one TCP connection, taken before each load."
    ]
    if any(found["calibration"] is not None for found in arms.values()):
        rows += [
            (f"CPU score, {half}", *(_score(found["calibration"], half) for found in arms.values()))
            for half in calibration.HALVES
        ]
        paragraphs.append(_of_scores(run))
    if any(found["credits"] is not None for found in arms.values()):
        rows.append(("CPU credits (EC2)", *(_credits(found["credits"]) for found in arms.values())))
        paragraphs.append(
            "CPU credits are CloudWatch's, by data points of five minutes; one credit is a minute of one whole vCPU."
        )
    headers = ("Fact", *(arm.capitalize() for arm in arms))
    yield Section(
        "machines",
        "The machines",
        tuple(paragraphs),
        tables=(Table("What the machines were like during the run", headers, tuple(rows)),),
    )


def _not_measured(reason: str | None) -> str:
    return f"{wording.NOT_MEASURED}: {reason}" if reason else wording.NOT_MEASURED


def _steal(found: Mapping[str, Any]) -> str:
    if not found["n"]:
        return _not_measured(found["reason"])
    return (
        f"median {percent(found['median'], 1)}, at most {percent(found['max'], 1)} ({found['max_trial']}), "
        f"{found['n']} trials"
    )


def _round_trip(found: Mapping[str, Any]) -> str:
    if found["loopback"]:
        return "loopback"
    if found["min_seconds"] is None:
        return _not_measured(found["reason"])
    return (
        f"best {wording.quantity(found['min_seconds'], 's')}, median {wording.quantity(found['p50_seconds'], 's')} of "
        f"{found['n']} connections"
    )


def _score(found: Mapping[str, Any] | None, half: str) -> str:
    if found is None:
        return _not_measured("it was not calibrated")
    if found["score"][half] is None:
        return _not_measured(found["reason"])
    said = f"{wording.quantity(found['score'][half], 'images/s')} with {found['threads']} threads"
    if found["drift"][half] is None:
        return f"{said}; {found['reason'] or 'its drift is not known'}"
    return f"{said}, {found['drift'][half] * 100:+.1f} % from before the run to after it"


def _of_scores(run: Run) -> str:
    ratios = run["machines"]["calibration_ratio"]
    known = [f"{half} {wording.ratio(ratios[half])}" for half in calibration.HALVES if ratios[half] is not None]
    said = f"Serverless / server of the CPU scores: {', '.join(known)}. " if known else ""
    return (
        "The CPU score is how many images a second the machine trains and evaluates by itself, with no service, before "
        f"and after the run. {said}No figure of the verdict is scaled by it; only the study's table is "
        f"normalised by it. The study's factor of {run['study']['factor']}, below, is another thing: "
        f"{run['study']['factor_is']}."
    )


def _credits(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no EC2 instance"
    if found["balance_min"] is None:
        return _not_measured(found["reason"])
    said = f"{found['balance_begin']:g} before, least {found['balance_min']:g}, {found['balance_end']:g} at the end"
    if found["usage"] is not None:
        said += f"; {found['usage']:g} used"
    if found["surplus_max"]:
        said += f"; surplus up to {found['surplus_max']:g}"
    return said if found["complete"] else f"{said}; the data points do not reach the end of the run"


def _cost(run: Run) -> Iterator[Section]:
    """Show what the arms cost over the rate, or why that is not known. A run of an earlier version has no such key."""
    found = run.get("cost")
    if found is None:
        return
    if found["state"] != "priced":
        yield Section("cost", "Cost", (f"{found['state'].capitalize()}: {found['reason']}.",))
        return
    dated, server, used, node = (found[key] for key in ("prices", "server", "pay_per_use", "kubernetes"))
    yield Section(
        "cost",
        "Cost",
        (
            _break_even(found),
            f"The rates and times are this run's; the prices are of {dated['region']} as of {dated['as_of']}, "
            f"{dated['age_days']} days before the run ({dated['file']}). They meet where a "
            f"{server['label'] or 'server'} is as fast as the machine that was measured. OpenFaaS on one's own machine "
            "has no price a request, and none is given for it. Disks, addresses, traffic, taxes and free tiers are "
            "left out.",
        ),
        tables=(
            Table(
                "What each way of paying costs",
                ("Way", "How it is counted", "USD a million requests"),
                (
                    (
                        f"Server, {server['label'] or 'by the hour'}",
                        _how_server(server),
                        _usd(server["usd_per_million_at_capacity"], server["reason"], "at its capacity: "),
                    ),
                    (f"Pay per use ({used['label']})", _how_used(used), _usd(used["usd_per_million"], used["reason"])),
                    (
                        "Kubernetes, a share of a node",
                        _how_node(node),
                        _usd(node["usd_per_million_at_capacity"], node["reason"], "at its capacity: "),
                    ),
                ),
            ),
            *_cost_curve(found),
            Table(
                "The prices and terms, with their sources",
                ("Name", "Value", "Unit", "Source"),
                tuple(
                    (one["name"], f"{one['value']:.10f}".rstrip("0").rstrip("."), one["unit"], one["source"])
                    for one in dated["items"]
                ),
                frozenset({1}),
            ),
        ),
    )


def _break_even(found: Mapping[str, Any]) -> str:
    even, server, used = found["break_even"], found["server"], found["pay_per_use"]
    if even["rate_rps"] is None:
        return f"Break-even: {_not_measured(even['reason'])}."
    interval = even["interval"]
    spread = f"95 % interval {interval['low']:.3g} to {interval['high']:.3g}, " if interval else "no interval, "
    said = (
        f"Break-even at {wording.quantity(even['rate_rps'], 'requests/s')} ({spread}{even['n']} blocks), "
        f"{percent(even['share_of_capacity'])} of what one server can answer: below that rate pay per use "
        f"({used['label']}) costs less, above it the server, up to the {_capacity(server)} that one server answers. "
        "Beyond, each further server is paid in full, and the curve says which costs less."
    )
    if even["beyond_capacity"]:
        said = (
            f"Pay per use ({used['label']}) costs less at every rate: the server would break even at "
            f"{wording.quantity(even['rate_rps'], 'requests/s')} ({spread}{even['n']} blocks), beyond its capacity of "
            f"{_capacity(server)}."
        )
    return said


def _capacity(server: Mapping[str, Any]) -> str:
    return wording.quantity(server["capacity_rps"], "requests/s")


def _usd(value: float | None, reason: str | None, when: str = "") -> str:
    return _not_measured(reason) if value is None else f"{when}{value:.4g}"


def _how_server(server: Mapping[str, Any]) -> str:
    if server["reason"] is not None:
        return "hourly price / rate, up to its measured capacity"
    capacity = wording.quantity(server["capacity_rps"], "requests/s")
    said = f"{server['hour_usd']:g} USD an hour / rate, up to {capacity} a host"
    if server["surplus_vcpu_hour_usd"] is None:
        return said
    return (
        f"{said}; {server['surplus_vcpu_hour_usd']:g} USD a vCPU-hour above {server['baseline_vcpus']:g} vCPUs on "
        f"average, at {wording.quantity(server['cpu_seconds_per_request'], 's')} of CPU a request"
    )


def _how_used(used: Mapping[str, Any]) -> str:
    if used["reason"] is not None:
        return "request fee + GB x billed seconds x price"
    return (
        f"request fee + {wording.quantity(used['memory_bytes'], 'bytes')} ({used['memory_from']}) x "
        f"{used['billed_seconds']:.3f} s billed of one evaluation"
    )


def _how_node(node: Mapping[str, Any]) -> str:
    if node["reason"] is not None:
        return "node hours x the share that is kept for the arm, idle or not"
    share = percent(node["share"])
    return f"{node['hour_usd']:g} USD an hour of a {node['label']} x {share} kept for the arm, idle or not"


def _cost_curve(found: Mapping[str, Any]) -> Iterator[Table]:
    """Give the curve at a few shares of the server's capacity; the whole of it stands in run.json."""
    if not found["curve"]:
        return
    capacity = found["server"]["capacity_rps"]
    points = found["curve"]
    shares = (0.001, 0.01, 0.1, 0.5, 1.0, 2.0)
    near = [min(points, key=lambda point: abs(math.log(point["rate_rps"] / capacity / share))) for share in shares]
    yield Table(
        "USD a million requests over the rate",
        ("Rate", "Of one server's capacity", "Servers", "Server", "Pay per use", "Kubernetes"),
        tuple(
            (
                wording.quantity(point["rate_rps"], "requests/s"),
                percent(point["rate_rps"] / capacity, 1),
                str(point["server_hosts"]),
                f"{point['server_usd_per_million']:.4g}",
                _usd(point["pay_per_use_usd_per_million"], None),
                _usd(point["kubernetes_usd_per_million"], None),
            )
            for point in near
        ),
        frozenset({0, 1, 2, 3, 4, 5}),
    )


def _study(run: Run) -> Iterator[Section]:
    """Show the study's table: with this run beside it where that measured the same, else in short."""
    study, here = run["study"], run["study"].get("here")
    paragraphs = [
        f"Source: {study['source']}. Its factor of {study['factor']} is {study['factor_is']}. One run an arm, on "
        "unequal machines: it has no n, interval or error count to print.",
        _of_the_factor(study),
    ]
    if here is None:
        paragraphs.append("A run with profile=paper sets its own figures beside the study's, line by line.")
        yield Section("study", "The study this toolkit starts from", tuple(paragraphs), tables=(_published(study),))
        return
    if here["differs"]:
        paragraphs.append(f"Not the study's measurement: {'; '.join(here['differs'])}.")
    reason, interval_level = here["ground"]["reason"], level(1 - wording.significance(run))
    paragraphs.append(f"Normalised: {reason}. Platform, network, memory and CPU in cores are never scaled.")
    yield Section(
        "study",
        "The study's table, and this run's",
        tuple(paragraphs),
        tables=(_beside_the_study(study, here, interval_level), _findings(here), _published(study)),
    )


def _of_the_factor(study: Mapping[str, Any]) -> str:
    """Say what the study's own data show: the factor at which each of its comparisons turns."""
    found = [
        f"{row['name'].split(',')[0].lower()} {row['break_even_factor']:.1f}" for row in study.get("by_itself", ())
    ]
    if not found:
        return "Those figures are the study's own and are marked as such."
    return (
        f"By the study's own data the serverless arm is the faster one below a factor of: {', '.join(found)}. Its "
        f"factor of {study['factor']} is above each, so that the factor alone turns the verdict."
    )


def _published(study: Mapping[str, Any]) -> Table:
    return Table(
        "The study's table, as published",
        (
            "Figure",
            "Server",
            "Serverless",
            f"Serverless x{study['factor']}, by the study",
            "Ratio without factor",
            "Reading",
        ),
        tuple(
            (
                row["name"],
                f"{row['server']:g} {row['unit']}",
                f"{row['serverless']:g} {row['unit']}",
                f"{row['serverless_times_16_by_the_study']:g}",
                wording.ratio(row["honest_ratio"]),
                row["reading"],
            )
            for row in study["rows"]
        ),
        frozenset({1, 2, 3, 4}),
    )


def _beside_the_study(study: Mapping[str, Any], here: Mapping[str, Any], interval_level: str) -> Table:
    published = {row["name"]: row for row in study["rows"]}
    return Table(
        "The study's figures and this run's, serverless / server",
        (
            "Figure",
            "Study, without factor",
            f"Study, x{study['factor']}",
            "Server here",
            "Serverless here",
            "Here, as measured",
            f"{interval_level} interval",
            "Here, normalised",
            f"{interval_level} interval, normalised",
            "n",
            "Remark",
        ),
        tuple(
            (
                row["name"],
                wording.ratio(published[row["name"]]["honest_ratio"]),
                wording.ratio(published[row["name"]]["ratio_times_16_by_the_study"]),
                wording.summary(row["server"], row["unit"]),
                wording.summary(row["serverless"], row["unit"]),
                wording.ratio(row["ratio"]),
                wording.interval(row["interval"]),
                wording.ratio(row["normalised"]["ratio"]),
                wording.interval(row["normalised"]["interval"]),
                str(row["n"]),
                row["normalised"]["reason"] or "",
            )
            for row in here["rows"]
        ),
        frozenset(range(1, 10)),
    )


def _findings(here: Mapping[str, Any]) -> Table:
    return Table(
        "Which of the study's findings hold here",
        ("Finding", "What the study says", "Here", "Why"),
        tuple((one["name"], one["study"], one["here"], one["reason"]) for one in here["findings"]),
    )


def _method(run: Run) -> Iterator[Section]:
    yield Section(
        "method",
        "Method and limits",
        (
            "One trial gives one figure; a block is one load of each arm, next to each other in time, in an order "
            "drawn from the "
            "seed in permuted pairs. The arm not under test is stopped. Per block d = ln(serverless / server); the "
            "ratio is exp of "
            "the Hodges-Lehmann median of d, the interval the exact signed-rank interval of d, transformed back. Fewer "
            "than "
            f"{verdict.FEWEST_PAIRS} pairs: no interval and no verdict.",
            f"In this order: equivalent, where the {level(1 - 2 * wording.significance(run))} interval lies "
            "inside the margin; faster or slower (less or more, of resources), where the p is at most "
            f"{wording.significance(run):.3g} and the ratio lies outside the margin; else inconclusive. Nothing "
            "is dropped: "
            "outliers stay, failures are not latencies, and any failed request makes a run INVALID unless the profile "
            "allows it.",
            "ab is a closed loop over HTTP/1.0 with a new connection for each request: it compares capacity, not the "
            "latency at a "
            "given rate. The figures hold for this machine, data set and load.",
        ),
        tables=(
            Table(
                "Every figure's definition",
                ("Figure", "Name in run.json", "Unit", "Definition"),
                tuple(
                    (metric["title"], metric["name"], metric["unit"], f"{metric['definition']}{_kind(metric)}")
                    for metric in run["metrics"]
                ),
            ),
        ),
    )


def _kind(metric: Mapping[str, Any]) -> str:
    return f" Counted here by: {metric['kind']}." if metric["kind"] else ""


def _raw(run: Run) -> Iterator[Section]:
    yield Section(
        "raw",
        "Raw data",
        ("Every figure above follows from these files: ansible-playbook report.yml rebuilds this report from them.",),
        tables=(
            Table(
                "Files of the run, relative to its folder",
                ("File", "Bytes", "SHA-256"),
                tuple((file["path"], str(file["bytes"]), file["sha256"]) for file in run["files"]),
                frozenset({1}),
                paths=frozenset({0}),
            ),
        ),
    )
    yield Section(
        "hosts",
        "Hosts and software",
        tables=tuple(
            Table(caption, ("Fact", "Value"), tuple((key, _value(value)) for key, value in sorted(facts.items())))
            for caption, facts in _provenance(run)
            if facts
        ),
    )


def _reproduce(run: Run) -> Iterator[Section]:
    """Give the commands that make such a run, and this report from it."""
    toolkit, name = run["provenance"]["toolkit"], run["profile"]["name"]
    commit = str(toolkit.get("commit") or "")
    inventory = "-i YOUR_INVENTORY " if set(run["platform"].values()) != {"process"} else ""
    limit = f" --limit {next(iter(run['platform']))}" if run["status"] == Status.ONE_ARM else ""
    paragraphs = [
        "The seed gives the same order of trials; the figures are those of the machine, and differ within their "
        "intervals. A variable given on the command line then is given again."
    ]
    if inventory:
        hosts = sorted({described["host"] for described in run["arms"].values()})
        paragraphs.append(
            f"YOUR_INVENTORY is the one of this run, with {', '.join(hosts)}; Hosts and software has them."
        )
    if toolkit.get("dirty"):
        paragraphs.append("The toolkit had changes that were not committed: the commit alone does not give its code.")
    yield Section(
        "reproduce",
        "How to reproduce",
        tuple(paragraphs),
        commands=(
            *((f"git checkout {shlex.quote(commit)}",) if commit else ()),
            f"ansible-playbook {inventory}site.yml -e profile={shlex.quote(name)}{limit}",
            f"ansible-playbook {inventory}benchmark.yml -e profile={shlex.quote(name)} -e run_seed={run['seed']}"
            f"{limit}",
            f"ansible-playbook report.yml -e run={run['run_id']}",
        ),
    )


def _provenance(run: Run) -> Sequence[tuple[str, Mapping[str, Any]]]:
    found = run["provenance"]
    return (
        ("The toolkit", found["toolkit"]),
        ("The controller", found["controller"]),
        *((f"The {arm} arm's platform", described.get("software", {})) for arm, described in run["arms"].items()),
        *((f"Host {name}", facts) for name, facts in found["hosts"].items()),
    )


_SECTIONS = (
    _reasons,
    _verdicts,
    _warnings,
    _how_sure,
    _charts,
    _shown,
    _resources,
    _cold_starts,
    _open_loop,
    _blocks,
    _parity,
    _machines,
    _cost,
    _study,
    _method,
    _what,
    _raw,
    _reproduce,
)

# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Deploys and removes one function through an OpenFaaS gateway, and believes only what it reads back.

The gateway (openfaas/faas 0.27.14: gateway/main.go) hands /system/ to a provider (openfaas/faas-netes 0.18.17:
pkg/handlers/{deploy,update,delete,replica_reader}.go; the bodies are openfaas/faas-provider v0.25.12:
types/{function_deployment,function_status,requests}.go). Three of its habits shape what is done here:

- PUT answers 200 with an empty body where the update failed, 202 where it succeeded (update.go).
- The provider reports neither the environment nor the read-only root file system (pkg/k8s/function_status.go), so the
  hash of all that was asked for travels as an annotation.
- Every PUT gives the pods a new label ``uid``, so that an update without a difference would still replace the pod.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

from . import http
from .clock import Deadline, monotonic

DEFAULT_NAMESPACE = "openfaas-fn"
SPEC_ANNOTATION = "com.evenkeel.spec-sha256"
"""Holds the hash of what was asked for, and marks a function as deployed by this toolkit."""

PROVIDER_LABELS = frozenset({"faas_function", "uid"})
"""Labels that the provider sets by itself (pkg/handlers/{deploy,update}.go)."""
ADDED_ANNOTATIONS = frozenset({"prometheus.io.scrape", "kubectl.kubernetes.io/restartedAt"})
"""What the provider (pkg/handlers/deploy.go, buildAnnotations) and ``kubectl rollout restart`` add to a pod."""

INSTANCE_PATH = "/healthz"
"""Where a service names its instance_id before it is ready."""
WATCHDOG_PATH = "/_/health"
"""What of-watchdog answers by itself, for as long as its pod is reachable."""

CALL_SECONDS = 60.0
"""The longest wait for one answer of the gateway, as faas-cli's; the provider asks the image's registry meanwhile."""
PROBE_SECONDS = 10.0
"""The longest wait for one answer of the function. The gateway holds a call while no pod is ready."""
POLL_SECONDS = 1.0
READ_BACK_SECONDS = 0.2
SETTLE_SECONDS = 10.0
"""By how much the provider's view of the cluster may lag behind what it has just accepted."""
FAILURES_IN_A_ROW = 3
"""How often a new pod's failed start must be seen beside an old pod, which may have answered one of two questions."""
LOG_LINES = 20

NOT_REPORTED = "not reported by the gateway"

# The provider demands a DNS label (pkg/handlers/validate.go); the 63 characters at most are Kubernetes' own rule.
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

# The grammar is in k8s.io/apimachinery, pkg/api/resource/quantity.go; its suffix.go also knows n and u.
_QUANTITY = re.compile(
    r"([0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)"
)
_SUFFIXES = {
    **{suffix: Fraction(f"1e{power}") for suffix, power in zip(("n", "u", "m", ""), (-9, -6, -3, 0))},
    **{suffix: Fraction(1000 ** (rank + 1)) for rank, suffix in enumerate("kMGTPE")},
    **{f"{suffix}i": Fraction(1024 ** (rank + 1)) for rank, suffix in enumerate("KMGTPE")},
}

TIMEOUT_HINT = (
    "raise the time-outs together: the chart's gateway.upstreamTimeout, above it gateway.readTimeout and "
    "gateway.writeTimeout, and the function's exec_timeout, read_timeout and write_timeout"
)
GATEWAY_HINT = "see that the gateway runs: kubectl -n openfaas get deploy,pods,svc; or correct gateway_url"
PROVIDER_HINT = "read the provider's log: kubectl -n openfaas logs deploy/gateway -c faas-netes --tail=20"
LIMIT_HINT = (
    "remove a function (faas-cli list; faas-cli remove NAME); where calls are disabled too, restart the provider: "
    "kubectl -n openfaas rollout restart deploy/gateway"
)
POD_HINT = "read the pod's log: kubectl -n {namespace} logs deploy/{name}"
NO_POD_HINT = "see why: kubectl -n {namespace} describe pods -l faas_function={name} (image, memory, CPUs, crashes)"

ACCEPTED = (200, 201, 202)
AWAY = (502, 503, 504)
"""What the gateway answers in the provider's place."""


class OpenFaasError(Exception):
    """The function is not as it was asked for. ``details`` are what an Ansible failure carries beside its message."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class Unanswered(OpenFaasError):
    """No answer of the gateway, or none of the provider behind it; whether they did what was asked is not known."""


# --- what is asked for ------------------------------------------------------------------------------------------------


def parse_quantity(text: str) -> Fraction:
    """A Kubernetes quantity (2, 500m, 4Gi, 1e3) as an exact number. Raises OpenFaasError for any other text."""
    matched = _QUANTITY.fullmatch(text)
    if matched is None:
        raise OpenFaasError(f"{text!r} is no quantity; give one as Kubernetes writes it, such as 500m, 2 or 4Gi")
    number, exponent, suffix = matched.groups()
    return Fraction(f"{number}e{exponent or 0}") * _SUFFIXES[suffix or ""]


@dataclass(frozen=True)
class Spec:
    """One function as it was asked for; options of the module openfaas_function, under the same names."""

    name: str
    namespace: str
    image: str
    env: Mapping[str, str]
    secrets: Sequence[str]
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    limits: Mapping[str, str]
    requests: Mapping[str, str]
    read_only_root_filesystem: bool

    def fields(self) -> dict[str, Any]:
        """Everything that makes a deployed function the one that was asked for."""
        return {
            "image": self.image,
            "env": dict(self.env),
            "secrets": list(self.secrets),
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "limits": dict(self.limits),
            "requests": dict(self.requests),
            "read_only_root_filesystem": self.read_only_root_filesystem,
        }

    @property
    def sha256(self) -> str:
        """The hash of the fields; two spellings of one quantity make no difference."""
        fields = self.fields()
        for kind in ("limits", "requests"):
            fields[kind] = {name: str(parse_quantity(text)) for name, text in fields[kind].items()}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The body of a POST or PUT: a FunctionDeployment of faas-provider's types/function_deployment.go."""
        return {
            "service": self.name,
            "namespace": self.namespace,
            "image": self.image,
            "envVars": dict(self.env),
            "secrets": list(self.secrets),
            "labels": dict(self.labels),
            "annotations": {**self.annotations, SPEC_ANNOTATION: self.sha256},
            "limits": dict(self.limits),
            "requests": dict(self.requests),
            "readOnlyRootFilesystem": self.read_only_root_filesystem,
        }


def checked_label(option: str, value: str | None) -> str:
    """A function's or namespace's name. Raises OpenFaasError for one that Kubernetes would not take."""
    if not value or not _DNS_LABEL.fullmatch(value):
        raise OpenFaasError(
            f"{option} must be of at most 63 small letters, digits and inner hyphens, not {value!r}; correct {option}"
        )
    return value


def checked_spec(options: Mapping[str, Any]) -> Spec:
    """The function that the module's options ask for. Raises OpenFaasError naming the option that cannot be used."""
    image = options["image"]
    if not image or image.split() != [image]:
        raise OpenFaasError(f"image must name the image to deploy, not {image!r}; give image, or state: absent")
    labels, annotations = _texts(options, "labels"), _texts(options, "annotations")
    for option, given, reserved in (
        ("labels", labels, PROVIDER_LABELS),
        ("annotations", annotations, frozenset({SPEC_ANNOTATION})),
    ):
        taken = sorted(reserved & given.keys())
        if taken:
            raise OpenFaasError(f"{option} must not hold {taken[0]}, which OpenFaaS or this module sets; leave it out")
    limits, requests = _resources(options, "limits"), _resources(options, "requests")
    for resource in sorted(limits.keys() & requests.keys()):
        if parse_quantity(requests[resource]) > parse_quantity(limits[resource]):
            raise OpenFaasError(
                f"requests.{resource} is {requests[resource]}, above limits.{resource}, {limits[resource]}: "
                "Kubernetes refuses that; lower the request or raise the limit"
            )
    return Spec(
        name=checked_label("name", options["name"]),
        namespace=checked_label("namespace", options["namespace"]),
        image=image,
        env=_texts(options, "env"),
        secrets=_secret_names(options["secrets"] or []),
        labels=labels,
        annotations=annotations,
        limits=limits,
        requests=requests,
        read_only_root_filesystem=options["read_only_root_filesystem"],
    )


def _secret_names(names: Sequence[str]) -> list[str]:
    for name in names:
        if not _SECRET_NAME.fullmatch(name):
            raise OpenFaasError(f"secrets must be names of Kubernetes secrets, not {name!r}; correct secrets")
    return sorted(set(names))


def _texts(options: Mapping[str, Any], option: str) -> dict[str, str]:
    """A mapping of texts; numbers are taken as they are written, anything else could mean two things."""
    texts = {}
    for name, value in (options[option] or {}).items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise OpenFaasError(f"{option}.{name} must be a text, not {value!r}; put it in quotation marks")
        if not str(name):
            raise OpenFaasError(f"{option} has an entry without a name; name it or leave it out")
        texts[str(name)] = str(value)
    return texts


def _resources(options: Mapping[str, Any], option: str) -> dict[str, str]:
    given = {name: text for name, text in (options[option] or {}).items() if text is not None}
    for name, text in given.items():
        try:
            positive = parse_quantity(text) > 0
        except OpenFaasError as error:
            raise OpenFaasError(f"{option}.{name}: {error}") from error
        if not positive:
            raise OpenFaasError(f"{option}.{name} must be above 0, not {text}; leave it out where nothing is to be set")
    return given


# --- what is deployed -------------------------------------------------------------------------------------------------


def reported_fields(status: Mapping[str, Any], wanted: Spec | None = None) -> dict[str, Any]:
    """What the gateway reports of a function, named as in Spec; None for what this provider does not report.

    Labels and annotations that the provider adds are left out unless ``wanted`` asks for them.
    """
    asked_annotations = wanted.annotations if wanted else {}
    annotations = status.get("annotations") or {}
    left_out = {SPEC_ANNOTATION, *(ADDED_ANNOTATIONS - asked_annotations.keys())}
    env = status.get("envVars")
    return {
        "image": status.get("image"),
        "env": None if env is None else dict(env),
        "secrets": sorted(status.get("secrets") or []),
        "labels": {k: v for k, v in (status.get("labels") or {}).items() if k not in PROVIDER_LABELS},
        "annotations": {k: v for k, v in annotations.items() if k not in left_out},
        "limits": _reported_resources(status.get("limits")),
        "requests": _reported_resources(status.get("requests")),
        "read_only_root_filesystem": status.get("readOnlyRootFilesystem"),
        "spec_sha256": annotations.get(SPEC_ANNOTATION),
    }


def _reported_resources(reported: Mapping[str, str] | None) -> dict[str, str]:
    """Where one of the two is set, the provider reports the other as 0 (pkg/k8s/function_status.go)."""
    given = {name: (reported or {}).get(name) for name in ("cpu", "memory")}
    return {name: text for name, text in given.items() if text and text != "0"}


def _same_resources(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    try:
        return one.keys() == other.keys() and all(parse_quantity(one[k]) == parse_quantity(other[k]) for k in one)
    except OpenFaasError:  # what is deployed is no quantity known here, so it is not the one asked for
        return False


@dataclass(frozen=True)
class Comparison:
    """What is deployed (empty where nothing is), what was asked for, and the names of the fields that differ."""

    before: dict[str, Any]
    after: dict[str, Any]
    differing: list[str]


def compare(wanted: Spec, status: Mapping[str, Any] | None) -> Comparison:
    """Set what was asked for beside what the gateway reports.

    A field that it does not report is taken to be as asked for where the annotation holds this request's hash.
    """
    after = {**wanted.fields(), "spec_sha256": wanted.sha256}
    if status is None:
        return Comparison({}, after, list(after))
    before = reported_fields(status, wanted)
    for name in ("limits", "requests"):
        if _same_resources(before[name], after[name]):
            before[name] = after[name]
    for name in ("env", "read_only_root_filesystem"):
        if before[name] is None:
            before[name] = after[name] if before["spec_sha256"] == wanted.sha256 else NOT_REPORTED
    return Comparison(before, after, [name for name in after if before[name] not in (after[name], NOT_REPORTED)])


# --- the gateway ------------------------------------------------------------------------------------------------------


def checked_url(url: str) -> str:
    """A gateway's address without a slash at its end. Raises OpenFaasError for one that cannot be asked."""
    try:
        parts = http.check_url(url)
    except http.RequestFailed as failure:
        raise OpenFaasError(f"gateway_url: {failure.message}; give it as http://HOST:PORT") from failure
    if parts.username is not None or parts.password is not None:
        raise OpenFaasError("gateway_url must hold no user name or password; give them by username and password_file")
    if parts.query or parts.fragment:
        raise OpenFaasError(f"gateway_url must end with its path, not {url!r}; leave out what follows the ? or #")
    return url.rstrip("/")


def _elsewhere(answer: http.Response) -> str:
    """Where a redirect leads, in the words of a next step; redirects are not followed."""
    location = answer.headers.get("location")
    return f": it redirects to {location}" if location else ""


class Gateway:
    """One gateway. Its password is in no message and no representation of this object."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = checked_url(url)
        if not username or ":" in username:
            raise OpenFaasError(f"username must be a name without a colon, not {username!r}; the chart's is admin")
        token = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def system(
        self, method: str, target: str, document: Mapping[str, Any] | None = None, *, timeout_seconds: float
    ) -> http.Response:
        """Ask the gateway itself. Raises Unanswered where no complete answer came."""
        body = None if document is None else json.dumps(document).encode()
        return self._request(method, f"/system/{target}", body, self._headers, timeout_seconds)

    def invoke(self, name: str, namespace: str, path: str, *, timeout_seconds: float) -> http.Response:
        """Ask a function, without the gateway's password. Raises Unanswered where no complete answer came."""
        suffix = "" if namespace == DEFAULT_NAMESPACE else f".{namespace}"
        return self._request("GET", f"/function/{name}{suffix}{path}", None, {}, timeout_seconds)

    def _request(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str], timeout_seconds: float
    ) -> http.Response:
        try:
            return http.request(method, self.url + target, body, headers, timeout_seconds=timeout_seconds)
        except http.RequestFailed as failure:
            raise Unanswered(
                f"The gateway did not answer: {failure.message}",
                operation=f"{method} {target}",
                kind=failure.kind,
                next_step=GATEWAY_HINT,
            ) from failure


@dataclass(frozen=True)
class _Refusal:
    """Why the gateway refuses, by what it says; the texts may name {name}, {namespace}, {image} and {secrets}."""

    said: re.Pattern[str]
    why: str
    next_step: str


# What faas-netes 0.18.17 says: pkg/handlers/{deploy,update,delete,validate,replica_reader}.go, pkg/k8s/secrets.go,
# main.go; "only supports" is 0.18.13 and older.
_REFUSALS = (
    _Refusal(
        re.compile(r"only (allows|supports) public images|unable to parse image reference"),
        "the provider could not read the manifest of {image} without credentials from inside its pod, and the "
        "Community Edition deploys no other images",
        "push {image} where the cluster can read it anonymously: a public registry, or a local one under its private "
        "IP address (localhost is the pod itself); see also that the pod has DNS and a way out",
    ),
    _Refusal(
        re.compile(r"namespace must be|kube-system"),
        "this provider has no namespace {namespace} for functions",
        "set namespace to the one the gateway names; the Community Edition has only one",
    ),
    _Refusal(
        # The last one is how faas-netes 0.17.0 was seen to refuse an update.
        re.compile(r'unable to fetch secrets|Required secret|secrets ".*" not found'),
        "a secret that the function needs ({secrets}) is not in namespace {namespace}",
        "make it first: kubectl -n {namespace} create secret generic NAME --from-file=FILE",
    ),
    _Refusal(
        re.compile(r"unable to create function, maximum|only permits: [0-9]+ functions"),
        "the Community Edition's limit of functions is reached",
        LIMIT_HINT,
    ),
    _Refusal(
        re.compile(r"Community Edition"),
        "the Community Edition does not offer what a label or annotation asks for",
        "leave out the label or annotation that the gateway names",
    ),
    _Refusal(
        re.compile(r"already exists|object is being deleted"),
        "something of the name {name} is in namespace {namespace} that the provider does not update",
        "look at it with kubectl -n {namespace} get deploy,svc {name}; then run the task again with replace: recreate",
    ),
    _Refusal(
        re.compile(r"Not a function"),
        "the Deployment {name} in namespace {namespace} was not made by OpenFaaS",
        "give the function another name",
    ),
)


@dataclass(frozen=True)
class Written:
    """What became of a POST or PUT as far as its answer tells, and what to do where it turns out to have failed."""

    text: str
    next_step: str


def _accepted(method: str, answer: http.Response) -> Written:
    if answer.status == 200 and method == "PUT":
        return Written(
            "PUT was answered with 200, which is the provider's answer to an update that failed: the image cannot be "
            "read without credentials from inside its pod, a secret is not there, or Kubernetes refuses a value",
            f"{PROVIDER_HINT}; the secrets: kubectl -n {{namespace}} get secrets",
        )
    return Written(f"{method} was answered with {answer.status}, as if it had been done", PROVIDER_HINT)


def _unknown(unanswered: Unanswered) -> Written:
    return Written(f"It is not known whether it was done: {unanswered}", str(unanswered.details["next_step"]))


class Function:
    """One function behind a gateway, and the deadline by which everything that is asked of it ends."""

    def __init__(self, gateway: Gateway, name: str, namespace: str, deadline: Deadline) -> None:
        self.gateway = gateway
        self.name = name
        self.namespace = namespace
        self.deadline = deadline

    def provider(self) -> dict[str, str | None]:
        """The provider and the versions. Raises OpenFaasError where one does not answer, or the password is wrong."""
        operation = "read the gateway's version"
        answer = self._ask("GET", "info")
        if answer.status != 200:
            raise self.refused(operation, answer)
        said = http.json_object(answer.body)
        provider = said.get("provider")
        if "provider" not in said:
            raise OpenFaasError(
                f"{self.gateway.url}/system/info is not an OpenFaaS gateway's: {http.shown(answer.body)!r}",
                operation=operation,
                next_step="correct gateway_url",
            )
        if not isinstance(provider, dict):
            raise OpenFaasError(
                f"The gateway at {self.gateway.url} answers, the provider behind it does not",
                operation=operation,
                next_step=f"{PROVIDER_HINT}; the Community Edition's does not start without access to the Internet",
            )
        return {
            "name": provider.get("provider"),
            "version": (provider.get("version") or {}).get("release"),
            "gateway_version": (said.get("version") or {}).get("release"),
        }

    def status(self) -> dict[str, Any] | None:
        """What the gateway says is deployed; None where nothing is. Raises OpenFaasError where it does not say."""
        answer = self._ask("GET", f"function/{self.name}?{urlencode({'namespace': self.namespace})}")
        if answer.status == 404:
            return None
        status = http.json_object(answer.body)
        if answer.status != 200 or not status:
            raise self.refused("read the function", answer)
        return status

    def _ask(self, method: str, target: str, document: Mapping[str, Any] | None = None) -> http.Response:
        return self.gateway.system(method, target, document, timeout_seconds=self._patience(CALL_SECONDS))

    def _patience(self, longest_seconds: float) -> float:
        """What is left for one answer; a little even at the deadline, so that the last look can end."""
        return min(longest_seconds, max(self.deadline.remaining(), 0.5))

    def refused(
        self, operation: str, answer: http.Response, image: str = "", secrets: Sequence[str] = ()
    ) -> OpenFaasError:
        """The error for an answer that is not the one hoped for: what was asked, what came, why, and what to do."""
        said = http.shown(answer.body)
        names = {"name": self.name, "namespace": self.namespace, "image": image, "secrets": ", ".join(secrets)}
        known = next((one for one in _REFUSALS if one.said.search(said)), None)
        if known is not None:
            why, next_step = known.why.format(**names), known.next_step.format(**names)
        elif answer.status == 401:
            why = "user name and password are not the gateway's"
            next_step = (
                "give the gateway's password: kubectl -n openfaas get secret basic-auth "
                "-o jsonpath='{.data.basic-auth-password}' | base64 -d"
            )
        elif answer.status in AWAY:
            why = "the provider behind the gateway did not answer in the gateway's upstream time-out, or does not run"
            next_step = f"{PROVIDER_HINT}; or {TIMEOUT_HINT}"
        elif answer.status == 404 or 300 <= answer.status < 400:
            why = "there is no OpenFaaS gateway at this address"
            next_step = f"correct gateway_url{_elsewhere(answer)}"
        else:
            why, next_step = "the gateway gave no reason that is known here", PROVIDER_HINT
        kind = Unanswered if answer.status in AWAY and known is None else OpenFaasError
        return kind(
            f"Could not {operation} ({self.name} in {self.namespace}, at {self.gateway.url}): {why}. "
            f"The gateway answered {answer.status} {said!r}",
            operation=operation,
            status=answer.status,
            answer=said,
            next_step=next_step,
        )

    # --- changing it ---

    def create(self, spec: Spec, *, after_removal: bool = False) -> Written:
        """POST the function and return what was answered. Raises OpenFaasError where it was refused.

        ``after_removal``: what is still left of the removed one is removed again, until the deadline.
        """
        while True:
            try:
                answer = self._ask("POST", "functions", spec.document())
                if answer.status in ACCEPTED:
                    return _accepted("POST", answer)
                left_over = re.search(r"already exists|object is being deleted", http.shown(answer.body))
                if not (after_removal and left_over) or self.deadline.expired():
                    raise self.refused("deploy the function", answer, spec.image, spec.secrets)
            except Unanswered as unanswered:
                return _unknown(unanswered)
            time.sleep(POLL_SECONDS)
            self.remove()

    def update(self, spec: Spec) -> Written:
        """PUT the function and return what was answered. Raises OpenFaasError where it was refused.

        Not sent again where no answer came: every PUT replaces the pod.
        """
        try:
            answer = self._ask("PUT", "functions", spec.document())
            if answer.status == 404:  # gone since it was read; faas-cli does the same (proxy/deploy.go)
                return self.create(spec)
            if answer.status in ACCEPTED:
                return _accepted("PUT", answer)
            raise self.refused("update the function", answer, spec.image, spec.secrets)
        except Unanswered as unanswered:
            return _unknown(unanswered)

    def await_deployed(self, spec: Spec, written: Written) -> dict[str, Any]:
        """What is deployed, once it is what was asked for. Raises OpenFaasError where it does not become that."""
        settled = Deadline(min(SETTLE_SECONDS, max(self.deadline.remaining(), 0.5)))
        while True:
            status: dict[str, Any] | None = None
            try:
                status = self.status()
                seen = "nothing is deployed" if status is None else f"{status.get('image')} is deployed"
            except Unanswered as unanswered:
                seen = str(unanswered)
            comparison = compare(spec, status)
            if status is not None and not comparison.differing:
                return status
            if settled.expired():
                raise OpenFaasError(
                    f"Function {self.name} in {self.namespace} at {self.gateway.url} is not what was asked for: "
                    f"{spec.image} was; {seen}; different: {', '.join(comparison.differing)}. {written.text}",
                    operation="read back what is deployed",
                    differing=comparison.differing,
                    function=status,
                    next_step=written.next_step.format(name=self.name, namespace=self.namespace),
                )
            time.sleep(READ_BACK_SECONDS)

    def remove(self) -> None:
        """DELETE the function and wait until the gateway knows none of its name and none answers."""
        asked, seen = False, ""
        while True:
            try:
                if not asked:
                    document = {"functionName": self.name, "namespace": self.namespace}
                    answer = self._ask("DELETE", f"functions?{urlencode({'namespace': self.namespace})}", document)
                    # 404: it, or only its Service, was gone already (pkg/handlers/delete.go).
                    if answer.status not in (200, 202, 404):
                        raise self.refused("remove the function", answer)
                    asked = True
                status = self.status()
                if status is None and self._silent():
                    return
                seen = (
                    f"{WATCHDOG_PATH} still answers"
                    if status is None
                    else f"it is still listed, with {status.get('availableReplicas', 0)} available replicas"
                )
            except Unanswered as unanswered:
                seen = str(unanswered)
            if self.deadline.expired():
                raise OpenFaasError(
                    f"Function {self.name} is not gone after {self.deadline.seconds:g} s: {seen}",
                    operation="remove the function",
                    last_seen=seen,
                    next_step=f"see what holds it: kubectl -n {self.namespace} get pods -l faas_function={self.name}",
                )
            time.sleep(POLL_SECONDS)

    def _silent(self) -> bool:
        """Whether a call finds no pod: the gateway knows no such function, or the provider no endpoint of it."""
        answer = self._invoke(WATCHDOG_PATH)
        return answer.status == 404 or (answer.status == 503 and b"No endpoints available" in answer.body)

    # --- whether it is ready ---

    def look(self, path: str, *, identify: bool = False) -> Seen:
        """What the function says of its readiness now; ``identify``: and which instance it is, where it did not say."""
        try:
            seen = read_readiness(self._invoke(path), path)
            if seen.instance_id is None and (seen.failed or identify):
                return replace(seen, instance_id=http.json_object(self._invoke(INSTANCE_PATH).body).get("instance_id"))
            return seen
        except Unanswered as unanswered:
            if unanswered.details.get("kind") != "timeout":
                return Seen(str(unanswered), unanswered=True, next_step=GATEWAY_HINT)
            text = f"{unanswered} (it holds a call while no pod is ready)"
            return Seen(text, unanswered=True, next_step=f"{NO_POD_HINT}; {GATEWAY_HINT}")

    def _invoke(self, path: str) -> http.Response:
        return self.gateway.invoke(self.name, self.namespace, path, timeout_seconds=self._patience(PROBE_SECONDS))

    def await_ready(self, path: str, old: Seen | None, since: float, *, removed: bool) -> Readiness:
        """Ask until an instance is ready that is not ``old``, the one there was when the change began at ``since``.

        ``removed``: the old one was taken away first. Raises OpenFaasError where the start has failed, calls are
        disabled, or the deadline is over.
        """
        last_served = since if old is not None and old.ready else None
        missing, failures = removed, 0
        before: Seen | None = None
        while True:
            seen = self.look(path)
            now = monotonic()
            stale = old is not None and old.instance_id is not None and seen.instance_id == old.instance_id
            if seen.ready and not stale:
                gap_seconds = now - last_served if missing and last_served is not None else None
                return Readiness(seen.instance_id, now - since, gap_seconds)
            if seen.ready:
                last_served = now
            missing = not seen.ready
            failures = failures + 1 if seen.failed and not stale else 0
            if seen.fatal or failures >= (1 if old is None or removed else FAILURES_IN_A_ROW):
                raise self._not_ready(f"will not become ready: {seen.text}", seen)
            if self.deadline.expired():
                # The deadline itself may have cut the last look short.
                last = before if before is not None and seen.unanswered else seen
                was = f"{path} was last answered by the old instance" if stale else last.text
                raise self._not_ready(f"was not ready within {self.deadline.seconds:g} s: {was}", last)
            before = seen
            time.sleep(min(POLL_SECONDS, max(self.deadline.remaining(), 0.01)))

    def _not_ready(self, what: str, seen: Seen) -> OpenFaasError:
        try:
            status = self.status()
        except OpenFaasError:
            status = None
        replicas = "; the gateway does not say how many replicas are available"
        if status:
            replicas = f"; {status.get('availableReplicas', 0)} of {status.get('replicas', 0)} replicas are available"
        return OpenFaasError(
            f"Function {self.name} in {self.namespace} at {self.gateway.url} {what}{replicas}",
            operation="wait until the function is ready",
            last_seen=seen.text,
            function=status,
            log_tail=self.log_tail(),
            next_step=seen.next_step.format(name=self.name, namespace=self.namespace),
        )

    def log_tail(self) -> list[str]:
        """The function's last lines by the gateway; what went wrong instead, where it does not give them."""
        asked = urlencode({"name": self.name, "namespace": self.namespace, "tail": LOG_LINES, "follow": "false"})
        try:
            answer = self.gateway.system("GET", f"logs?{asked}", timeout_seconds=5.0)
        except Unanswered as unanswered:
            return [f"no log: {unanswered}"]
        if answer.status != 200:
            return [f"no log: the gateway answered {answer.status} {http.shown(answer.body)!r}"]
        lines = (http.json_object(line) for line in answer.body.splitlines())
        return [str(line["text"]).rstrip("\n") for line in lines if "text" in line][-LOG_LINES:]


@dataclass(frozen=True)
class Seen:
    """What one look at a function's readiness showed. ``failed`` is a start that will not be tried again."""

    text: str
    ready: bool = False
    instance_id: str | None = None
    failed: bool = False
    fatal: bool = False
    unanswered: bool = False
    # After an update the answer may be the old pod's, and the new one be stuck.
    next_step: str = f"raise deadline_seconds, or {POD_HINT}; a new pod may not start: {NO_POD_HINT}"


@dataclass(frozen=True)
class Readiness:
    """The ready instance, seconds since the change, and how long none was ready after an old one that had been."""

    instance_id: str | None
    waited_seconds: float
    gap_seconds: float | None


def read_readiness(answer: http.Response, path: str) -> Seen:
    """What an answer says of the function: its own word, or that of gateway, provider or watchdog in its place."""
    said, status = http.shown(answer.body), answer.status
    text = f"GET {path} -> {status} {said!r}"
    document = http.json_object(answer.body)
    internal = answer.headers.get("x-openfaas-internal", "")
    # /ready says that the model is, /healthz that the process serves.
    if status == 200 and (document.get("ready") is True or document.get("serving") is True):
        instance_id = document.get("instance_id")
        return Seen(text, ready=True, instance_id=None if instance_id is None else str(instance_id))
    if status == 500 and document.get("phase") == "failed":
        return Seen(text, failed=True, next_step=f"mend what the answer names; {POD_HINT}")
    if status == 405 and "invocations disabled" in said:
        return Seen(text, fatal=True, next_step=LIMIT_HINT)
    if status == 404:
        return Seen(text, next_step="correct ready_path, or see whether it is there: faas-cli describe {name}")
    why, next_step = _in_its_place(status, said, internal)
    return Seen(f"{text}{why}", next_step=next_step) if why else Seen(text)


def _in_its_place(status: int, said: str, internal: str) -> tuple[str, str]:
    """Who answered in the function's place and why, with the next step; empty texts where the function did."""
    slow = f"{TIMEOUT_HINT}; {PROVIDER_HINT}"
    if status == 503 and "No endpoints available" in said:
        return ": no pod of it is ready", NO_POD_HINT
    if status == 504 and internal == "of-watchdog":
        return ": the watchdog's exec_timeout was over", TIMEOUT_HINT
    if status == 502 and not said:
        return ": the gateway's upstream time-out was over, or its provider is away", slow
    if status == 500 and "Can't reach service" in said:
        return ": the provider cannot reach the pod, or its read time-out was over", slow
    if status == 500 and internal == "of-watchdog":
        return ": the function's process does not listen yet", POD_HINT
    return "", ""


# --- the module's two states ------------------------------------------------------------------------------------------


REPLACEMENTS = {"rolling": "updated", "recreate": "recreated"}
"""What the option replace offers, and what is said to have been done."""


@dataclass(frozen=True)
class Plan:
    """How to reach a state; options of the module openfaas_function, under the same names."""

    replace: str
    adopt: bool
    ready_path: str
    deadline_seconds: float


def _check_ours(status: Mapping[str, Any], function: Function, plan: Plan) -> None:
    """Raises OpenFaasError for a function that lacks our annotation, unless it may be adopted."""
    if plan.adopt or SPEC_ANNOTATION in (status.get("annotations") or {}):
        return
    raise OpenFaasError(
        f"Function {function.name} in {function.namespace} at {function.gateway.url} ({status.get('image')}) was not "
        f"deployed by this module: it lacks the annotation {SPEC_ANNOTATION}",
        operation="compare the function",
        function=dict(status),
        next_step="give the function another name, or set adopt: true to replace or remove that one",
    )


def _diff(comparison: Comparison, name: str, namespace: str) -> dict[str, Any]:
    header = f"function {name} in {namespace}"
    return {"before": comparison.before, "after": comparison.after, "before_header": header, "after_header": header}


def _present(comparison: Comparison, name: str, namespace: str, action: str) -> dict[str, Any]:
    """The module's result before anything is done."""
    changed = bool(comparison.differing)
    return {
        "changed": changed,
        "action": action,
        "differing": comparison.differing,
        "provider": None,
        "function": None,
        "replaced_trained": False,
        "ready": None,
        "instance_id": None,
        "waited_seconds": None,
        "gap_seconds": None,
        **({"diff": _diff(comparison, name, namespace)} if changed else {}),
    }


def expected_without_gateway(spec: Spec | None) -> dict[str, Any]:
    """The module's result in check mode where there is no gateway yet; without ``spec`` for a function to be absent."""
    if spec is None:
        return {"changed": False, "action": "none", "provider": None, "function": None}
    return _present(compare(spec, None), spec.name, spec.namespace, "created")


def ensure_present(gateway: Gateway, spec: Spec, plan: Plan, *, check_mode: bool) -> dict[str, Any]:
    """Deploy the function unless what is deployed is what was asked for, and wait until it is ready.

    Returns the module's result. Raises OpenFaasError where that state is not reached.
    """
    function = Function(gateway, spec.name, spec.namespace, Deadline(plan.deadline_seconds))
    provider = function.provider()
    before = function.status()
    comparison = compare(spec, before)
    changed = bool(comparison.differing)
    if before is not None and changed:
        _check_ours(before, function, plan)
    action = "none" if not changed else "created" if before is None else REPLACEMENTS[plan.replace]
    replaces = action in REPLACEMENTS.values()
    old = function.look(plan.ready_path, identify=True) if replaces and plan.ready_path else None
    result = {
        **_present(comparison, spec.name, spec.namespace, action),
        "provider": provider,
        "function": before,
        "replaced_trained": old.ready if old else None if replaces else False,
    }
    if check_mode:
        return result

    since = monotonic()
    if action == "recreated":
        function.remove()
    if action in ("created", "recreated"):
        function.await_deployed(spec, function.create(spec, after_removal=action == "recreated"))
    elif action == "updated":
        function.await_deployed(spec, function.update(spec))
    if plan.ready_path:
        ready = function.await_ready(plan.ready_path, old, since, removed=action == "recreated")
        result["ready"] = True
        result["instance_id"] = ready.instance_id
        result["waited_seconds"] = ready.waited_seconds
        result["gap_seconds"] = ready.gap_seconds
        result["replaced_trained"] = ready.gap_seconds is not None
    # Once more: somebody else may have deployed while this waited.
    result["function"] = function.await_deployed(
        spec, Written("It was, a moment ago", "see who else deploys it, then run the task again")
    )
    return result


def ensure_absent(gateway: Gateway, name: str, namespace: str, plan: Plan, *, check_mode: bool) -> dict[str, Any]:
    """Remove the function, if it is there, and wait until it is gone. Returns the module's result."""
    function = Function(gateway, name, namespace, Deadline(plan.deadline_seconds))
    provider = function.provider()
    before = function.status()
    result: dict[str, Any] = {
        "changed": before is not None,
        "action": "none" if before is None else "removed",
        "provider": provider,
        "function": None,
    }
    if before is None:
        return result
    _check_ours(before, function, plan)
    fields = {k: NOT_REPORTED if v is None else v for k, v in reported_fields(before).items()}
    result["diff"] = _diff(Comparison(fields, {}, []), name, namespace)
    if check_mode:
        result["function"] = before
    else:
        function.remove()
    return result

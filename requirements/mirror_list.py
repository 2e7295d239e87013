# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists what to mirror where the Internet is out of reach: `python requirements/mirror_list.py`

One thing a line, tab separated and sorted: its kind, its address or name, its checksum, and the file that asks for it.

    file   an address that a role downloads, with its SHA-256; the role's mirror variable comes instead of its host
    image  a container image, with its digest where that is known, else `-`
    lock   a file of hashed Python requirements, with the number of its SHA-256 sums; a package index has the files

Read from the roles' variables: a mapping with a `url` is a download, and a variable whose name is `image` or `images`,
or ends so, holds images; and from the Dockerfiles' ARGs whose names end in _IMAGE. Of a mapping by version, only the
version that the role's own variables choose is listed. A download without a checksum, of whatever version, is an error,
and nothing is listed. Not listed: distribution packages, what `go install` builds instead of a download, what Conda
takes from its channel (conda-forge, checked against the channel's own index), and what the function's other template,
python3-http-debian, is made from.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import yaml

ROOT = Path(__file__).resolve().parents[1]
SHA256 = re.compile(r"[0-9a-f]{64}")
IMAGE = re.compile(
    r"(?P<path>[a-z0-9][a-z0-9.-]*(?::[0-9]+(?=/))?(?:/[a-z0-9._-]+)*)(?P<tag>:[\w.-]+)?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
DOCKERFILE_IMAGE = re.compile(r"^ARG \w+_IMAGE=(\S+)", re.MULTILINE)

Row = tuple[str, str, str, str]


class MirrorListError(Exception):
    """A download cannot be listed; the message names it and what to do."""


def variables(role: Path) -> dict[str, Any]:
    """What a role's defaults and vars say, each file's variables as they are written."""
    found: dict[str, Any] = {}
    for name in ("defaults", "vars"):
        path = role / name / "main.yml"
        found |= (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
    return found


def rendered(text: str, names: dict[str, Any], depth: int = 8) -> str:
    """``text`` with the role's own variables filled in; as it is where it needs others."""
    if "{{" not in text or depth == 0:
        return text
    try:
        filled = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(names)
    except jinja2.TemplateError:
        return text
    return rendered(filled, names, depth - 1)


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in ``value``, however deep."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from mappings(part)


def chosen(value: Any, versions: set[str]) -> Any:
    """``value`` without the versions that are not chosen, in every mapping that has one that is."""
    if isinstance(value, list):
        return [chosen(part, versions) for part in value]
    if not isinstance(value, dict):
        return value
    kept = {key: held for key, held in value.items() if str(key) in versions} or value
    return {key: chosen(held, versions) for key, held in kept.items()}


def strings(value: Any) -> Iterator[str]:
    """Every string in ``value``, however deep."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from strings(part)


def downloads(value: Any, names: dict[str, Any], source: str) -> Iterator[Row]:
    """The files that ``value`` names, ``names`` being the role's variables.

    Raises:
        MirrorListError: one has no checksum, or an address that the role's own variables do not complete.
    """
    for mapping in mappings(value):
        if not isinstance(mapping.get("url"), str):
            continue
        url = rendered(mapping["url"], names)
        checksum = rendered(str(mapping.get("sha256", "")), names)
        if "{{" in url:
            raise MirrorListError(f"{source}: {url} is not a whole address; write it out, so that it can be mirrored")
        if not SHA256.fullmatch(checksum):
            raise MirrorListError(
                f"{source}: {url} has no SHA-256; add it as sha256 beside the url, or take the version out"
            )
        yield "file", url, f"sha256:{checksum}", source


def images(texts: Iterable[str], source: str) -> Iterator[Row]:
    """The images that ``texts`` name, with their registry.

    What has neither a digest nor both a registry and a tag is none: an image that is built here, or half of a name.
    """
    for text in texts:
        match = IMAGE.fullmatch(text)
        if not match:
            continue
        path, tag, digest = match["path"], match["tag"] or "", match["digest"]
        registry, slash, _rest = path.partition("/")
        remote = bool(slash) and ("." in registry or ":" in registry)
        if digest or (remote and tag):
            whole = path if remote else f"docker.io/{path}" if slash else f"docker.io/library/{path}"
            yield "image", f"{whole}{tag}", digest or "-", source


def rows(root: Path) -> list[Row]:
    """All that is to be mirrored, sorted; a thing that several files ask for is one row."""
    found: dict[tuple[str, str, str], set[str]] = {}

    def add(listed: Iterable[Row]) -> None:
        for kind, name, checksum, source in listed:
            found.setdefault((kind, name, checksum), set()).add(source)

    for role in sorted((root / "roles").iterdir()):
        names, source = variables(role), f"roles/{role.name}"
        list(downloads(names, names, source))
        versions = {rendered(str(held), names) for name, held in names.items() if name.endswith("_version")}
        wanted = chosen(names, versions)
        add(downloads(wanted, names, source))
        named = [held for name, held in _named(wanted) if re.search(r"(^|_)images?$", name)]
        add(images((rendered(text, names) for text in strings(named)), source))
    for path in sorted(root.glob("function/template/*/Dockerfile")):
        add(images(DOCKERFILE_IMAGE.findall(path.read_text()), str(path.relative_to(root))))
    for path in sorted((root / "requirements").glob("*.txt")):
        count = len(set(re.findall(r"--hash=(sha256:[0-9a-f]{64})", path.read_text())))
        add([("lock", path.name, f"{count} sha256", f"requirements/{path.name}")])
    return sorted((*thing, ", ".join(sorted(sources))) for thing, sources in found.items())


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key in ``value``, however deep, with what it holds."""
    for mapping in mappings(value):
        yield from ((str(name), held) for name, held in mapping.items())


def main() -> None:
    """Print the list."""
    try:
        listed = rows(ROOT)
    except MirrorListError as error:
        sys.exit(f"mirror-list: {error}")
    for row in listed:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()

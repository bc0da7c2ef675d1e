"""The pack as the host lists it: loaded without a word, and every node with all that a person reads about it."""

from __future__ import annotations

import re

import pytest

from tests.workflows.node_info import PREFIX, digest, read_snapshot

from .server import PACK, Server

Info = dict[str, dict]


@pytest.fixture(scope="module")
def info(server: Server) -> Info:
    """All nodes of the server."""
    return server.client.object_info()


@pytest.fixture(scope="module")
def ours(info: Info) -> Info:
    """The pack's nodes: those that come from its module."""
    nodes = {key: node for key, node in info.items() if node["python_module"] == f"custom_nodes.{PACK}"}
    assert nodes, "the host lists no node of the pack"
    return nodes


def test_loads_without_a_warning(server: Server) -> None:
    started = server.log().split("To see the GUI go to")[0]
    lines = [line for line in started.splitlines() if PACK in line.lower()]
    assert any(re.search(r"\d+\.\d seconds: ", line) for line in lines), started
    bad = re.compile(r"IMPORT FAILED|Traceback|Cannot import|warn|error|deprecat|exception", re.IGNORECASE)
    assert not [line for line in lines if bad.search(line)]


def test_ids_carry_the_prefix_and_core_has_none_of_them(info: Info, ours: Info) -> None:
    assert not [key for key in ours if not re.fullmatch(PREFIX + r"[A-Z]\w+", key)]
    assert not [key for key in info.keys() - ours.keys() if key.startswith(PREFIX)]
    # An id that core already has would silently stay core's: none of the short names may be used unprefixed.
    assert not [key for key, node in ours.items() if node["name"] != key]


def test_every_node_says_what_it_is(ours: Info) -> None:
    for key, node in ours.items():
        assert node["display_name"] not in ("", key), key
        assert re.fullmatch(PREFIX + r"(/[^/]+)?", node["category"]), (key, node["category"])
        assert len(node["description"]) > 20, key


def test_every_input_and_output_has_a_tooltip(ours: Info) -> None:
    bare = []
    for key, node in ours.items():
        for inputs in (part for group, part in node["input"].items() if group != "hidden"):
            bare += [f"{key}.{name}" for name, spec in inputs.items() if len(_tooltip(spec)) < 10]
        tips = node["output_tooltips"] or [None] * len(node["output"])
        bare += [f"{key} -> {name}" for name, tip in zip(node["output_name"], tips, strict=True) if not tip]
    assert not bare


def test_outputs_are_named(ours: Info) -> None:
    """A name of its own, not the socket's type in capitals."""
    assert not [
        (key, node["output_name"]) for key, node in ours.items() if any(n.isupper() for n in node["output_name"])
    ]


def test_the_snapshot_for_tests_without_a_host_is_true(info: Info) -> None:
    """tests/workflows checks workflows against it where there is no host; core's own nodes differ between hosts."""
    kept, current = read_snapshot(), digest(info)
    assert {key for key in kept if key.startswith(PREFIX)} == {key for key in current if key.startswith(PREFIX)}
    for key in current:
        if key.startswith(PREFIX):
            assert current[key] == kept[key], f"{key} differs: python -m tests.workflows.node_info URL --write"


def _tooltip(spec: list) -> str:
    return spec[1].get("tooltip") or "" if len(spec) > 1 else ""

"""The nodes' names and tooltips in the languages of the page: English is what the nodes say, Chinese has all of it."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.schemas import ENGLISH, ROOT, node_defs
from tests.workflows.node_info import read_snapshot

CHINESE = ROOT / "locales" / "zh" / "nodeDefs.json"


def read(path: Any) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def texts(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """The leaves of nested dicts by their path."""
    if isinstance(tree, str):
        return {path: tree}
    return {key: text for name, part in tree.items() for key, text in texts(part, (*path, name)).items()}


def test_the_nodes_that_are_read_here_are_those_that_a_host_lists():
    """The snapshot was taken from a host; tests.schemas reads the same without one."""
    listed = {key: node for key, node in read_snapshot().items() if key.startswith("TalkFace")}
    read_here = {
        key: {
            "title": node["display_name"],
            "inputs": sorted(node["inputs"]),
            "outputs": [part["name"] for part in node["outputs"].values()],
        }
        for key, node in node_defs().items()
    }
    on_host = {
        key: {"title": node["title"], "inputs": sorted(node["inputs"]), "outputs": list(node["outputs"])}
        for key, node in listed.items()
    }
    assert read_here == on_host


def test_english_is_what_the_nodes_say():
    assert read(ENGLISH) == node_defs(), "write it anew: python -m tests.schemas --write"
    assert all(texts(node_defs()).values()), "a node, an input or an output without a text"


def test_chinese_has_every_text_and_no_other():
    assert list(texts(read(CHINESE))) == list(texts(node_defs()))


def test_chinese_is_chinese():
    names_that_stay = {"Checkpoint"}
    for path, text in texts(read(CHINESE)).items():
        assert text in names_that_stay or re.search(r"[\u4e00-\u9fff]", text), path
        assert not re.search(r"[\u4e00-\u9fff][,.;:!?]|[,;!?][\u4e00-\u9fff]", text.replace("秒:", "")), path


def test_chinese_gives_the_same_numbers():
    """A changed tooltip shows here when its numbers changed and the translation's did not."""
    english = texts(node_defs())
    for path, text in texts(read(CHINESE)).items():
        assert set(numbers(text)) >= set(numbers(english[path])), path


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![A-Za-z_])\d+(?:\.\d+)?(?![A-Za-z_])", text)


def test_one_english_word_has_one_chinese_word():
    """Inputs and outputs of one name are called alike on all nodes."""
    called: dict[str, set[str]] = {}
    for key, node in read(CHINESE).items():
        for kind in ("inputs", "outputs"):
            for name, part in node[kind].items():
                called.setdefault(node_defs()[key][kind][name]["name"], set()).add(part["name"])
    assert {name: words for name, words in called.items() if len(words) > 1} == {}


def test_the_page_takes_the_texts_as_they_are():
    """vue-i18n, which shows them, reads braces, bars and at signs as commands of its own."""
    for language in (ENGLISH, CHINESE):
        assert not [path for path, text in texts(read(language)).items() if re.search(r"[{}|@]", text)]

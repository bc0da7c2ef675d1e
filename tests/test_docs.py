"""The help pages: each node has one in both languages, and what a page says about the node is so."""

from __future__ import annotations

import ast
import json
import re
from functools import lru_cache
from pathlib import Path

import pytest

from tests.schemas import ROOT, node_defs
from tests.workflows.node_info import PREFIX, read_snapshot

DOCS = ROOT / "web" / "docs"
PAPERS = {
    "DAE-Talker": "https://arxiv.org/abs/2303.17550",
    "LaDTalk": "https://arxiv.org/abs/2410.00990",
    "Landmark Diffusion": "https://arxiv.org/abs/2408.05416",
    "See the Speaker": "https://arxiv.org/abs/2510.26819",
}
LANGUAGES = ("en", "zh")


@lru_cache(maxsize=1)
def nodes() -> dict[str, str]:
    """Node id -> system ("" for nodes of no system) of every schema in the sources."""
    systems = {}
    for path in sorted((ROOT / "nodes").glob("*.py")):
        names = constants(path)
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "schema":
                name, _, system = call.args[:3]
                systems[PREFIX + name.value] = names[system.id] if isinstance(system, ast.Name) else system.value
    return systems


def constants(path: Path) -> dict[str, str]:
    """The strings that a file assigns to names, or takes by name from a file beside it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            beside = path.with_name(f"{node.module}.py")
            there = constants(beside) if beside.exists() else {}
            found |= {alias.name: there[alias.name] for alias in node.names if alias.name in there}
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found[node.targets[0].id] = node.value.value
    return found


def page(node: str, language: str) -> str:
    """English is also what languages without a page of their own get."""
    path = DOCS / f"{node}.md" if language == "en" else DOCS / node / f"{language}.md"
    return path.read_text(encoding="utf-8")


def items(text: str, heading: str) -> list[tuple[str, str]]:
    """The list below a heading: what each item begins with, and the text below that. The page's panel is too narrow
    for tables."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [tuple(line[2:].split("<br>", 1)) for line in section.splitlines() if line.startswith("- ")]


HEADINGS = {
    "en": ("Inputs", "Outputs", "When something goes wrong"),
    "zh": ("输入", "输出", "出错时"),
}

every_page = pytest.mark.parametrize(("node", "language"), [(n, v) for n in sorted(nodes()) for v in LANGUAGES])


def test_the_sources_and_the_pack_name_the_same_nodes():
    assert nodes().keys() == node_defs().keys()


def test_there_is_no_page_of_a_node_that_is_not_there():
    assert {path.stem for path in DOCS.glob("*.md")} == nodes().keys()
    assert {path.parent.name for path in DOCS.glob("*/zh.md")} == nodes().keys()
    assert sorted(DOCS.rglob("*.md")) == sorted([*DOCS.glob("*.md"), *DOCS.glob("*/zh.md")])


@every_page
def test_a_page_has_its_parts(node, language):
    text = page(node, language)
    for heading in HEADINGS[language]:
        assert text.count(f"\n## {heading}\n") == 1, heading
    assert PAPERS.get(nodes()[node], "") in text
    assert len(text.splitlines()) <= 60, "longer than one looks at"
    assert "|" not in text, "tables do not fit into the panel that shows the page"


@every_page
def test_a_page_names_every_input_and_output_in_their_order(node, language):
    inputs, outputs, _ = HEADINGS[language]
    for heading, kind in ((inputs, "inputs"), (outputs, "outputs")):
        heads = [re.split(r"[:：]", head)[0] for head, _ in items(page(node, language), heading)]
        parts, local = node_defs()[node][kind].values(), names(language)[node][kind].values()
        local_names = ["" if language == "en" else f" {own['name']}" for own in local]
        assert heads == [f"**`{part['name']}`**{own}" for part, own in zip(parts, local_names, strict=True)]


@every_page
def test_ranges_and_defaults_are_those_of_the_node(node, language):
    for head, _ in items(page(node, language), HEADINGS[language][0]):
        name, about = re.split(r"[:：]", head)[0], re.split(r"[:：]", head, maxsplit=1)[-1]
        known = read_snapshot()[node]["inputs"][re.search(r"`(\w+)`", name)[1]]
        if "max" in known:
            largest = [] if known["max"] > 1e9 else [known["max"]]
            wanted = [known["min"], *largest, known["default"]]
            assert [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", about)] == wanted, name
        elif "options" in known and "default" in known:
            assert all(option in about for option in known["options"]), name
            assert about.endswith((f"default {known['default']}", f"默认 {known['default']}")), name


@every_page
def test_a_message_is_one_that_the_sources_give(node, language):
    """Messages stand in backticks, … for what differs each time."""
    for message, _ in items(page(node, language), HEADINGS[language][2]):
        quoted = re.findall(r"`([^`]+)`", message)
        assert quoted, message
        for piece in (piece for text in quoted for piece in text.split("…") if len(piece.strip()) > 3):
            assert any(piece.strip() in said for said in spoken()), piece


@lru_cache(maxsize=1)
def spoken() -> frozenset[str]:
    """Every string, and every fixed part of a formatted one, of the pack."""
    texts = set()
    for path in (*(ROOT / "nodes").rglob("*.py"), *(ROOT / "talkface_core").rglob("*.py")):
        for part in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                texts.update(re.split(r"%[ds.\df]+", part.value))
    return frozenset(texts)


def names(language: str) -> dict[str, dict]:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


@every_page
def test_pictures_are_there(node, language):
    """The page looks for them below web/docs, in whatever folder the text lies."""
    pictures = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", page(node, language))
    assert [target for _, target in pictures] == [f"pictures/{node}.jpg"]
    assert names(language)[node]["display_name"] in pictures[0][0]
    assert (DOCS / pictures[0][1]).read_bytes().startswith(b"\xff\xd8\xff")


@every_page
def test_links_lead_out(node, language):
    """A link to another node's page does not open it: the page would leave the workflow."""
    for target in re.findall(r"(?<!!)\[[^\]]+\]\(([^)]+)\)", page(node, language)):
        assert re.match(r"https?://", target), target


@pytest.mark.parametrize(
    ("node", "said", "measured"),
    [
        ("TalkFaceLoadDAETalker", "9.4 MiB", "9.4 MiB"),
        ("TalkFaceDAEEncode", "32.1 dB PSNR", "| PSNR | 32.1 dB |"),
        ("TalkFaceDAEDecode", "4 for the bundled one", "**Sampling**: 4 DDIM evaluations"),
        (
            "TalkFaceHeadPose",
            "yaw from -16 to 16, pitch from -7 to 12 and roll from -6 to 5 degrees",
            "yaw -16 to 16, pitch -7 to 12, roll -6 to 5 degrees",
        ),
    ],
)
def test_numbers_of_the_bundled_model_are_those_of_its_card(node, said, measured):
    """Chinese pages have the same numbers: see below."""
    card = ROOT / "talkface_core" / "pretrained" / "MODEL_CARD_dae_talker_tiny.md"
    assert said in page(node, "en")
    assert measured in card.read_text(encoding="utf-8")


@pytest.mark.parametrize("node", sorted(nodes()))
def test_both_languages_say_as_much(node):
    """As many items, the same links and numbers."""
    english, chinese = page(node, "en"), page(node, "zh")
    for pair in zip(HEADINGS["en"], HEADINGS["zh"], strict=True):
        counts = [len(items(text, heading)) for text, heading in zip((english, chinese), pair, strict=True)]
        assert counts[0] == counts[1], pair
    assert english.count("\n- ") == chinese.count("\n- ")
    assert re.findall(r"https?://[^)]+", english) == re.findall(r"https?://[^)]+", chinese)
    assert sorted(figures(english)) == sorted(figures(chinese))


def figures(text: str) -> list[str]:
    """Numbers, without those inside of words and of the authors' year."""
    return re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*[A-Za-z_])", re.sub(r"\b20\d\d\b", "", text))

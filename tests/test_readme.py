"""README and docs are true: their commands parse, their files exist, and the gate finds README's test command."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from talkface_core.cli.main import make_parser
from talkface_core.cli.public_weights import PUBLIC, size_text

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
BLOCKS = [block for text in PAGES.values() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
LINES = [line.split("#")[0].strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [part.strip() for line in LINES for part in line.split("&&") if "-m talkface_core" in part]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command):
    words = shlex.split(command)
    make_parser().parse_args(words[words.index("talkface_core") + 1 :])


@pytest.mark.parametrize("weights", PUBLIC, ids=lambda weights: weights.name)
def test_the_table_of_public_weights_is_that_of_models(weights):
    (row,) = re.findall(
        rf"^\| {re.escape(weights.name)} \|.*$", PAGES[ROOT / "docs" / "public_weights.md"], re.MULTILINE
    )
    size = size_text(weights.size, weights.exact)
    for said in (weights.gives, weights.page, weights.files[0].name, weights.licence, weights.terms, size):
        assert said in row, said
    assert (weights.measured or "not measured") in row


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_is_there(page):
    targets = [t.split("#")[0] for t in re.findall(r"\]\(<?([^)>]+)>?\)", PAGES[page]) if "://" not in t]
    assert targets
    assert [t for t in targets if t and not (page.parent / t).exists()] == []


def test_tables_name_every_node_and_template():
    def rows(title):
        return re.findall(r"^\| ([^|]+) \|", README[README.index(title) :].split("\n\n")[0], re.M)[1:]

    nodes = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8")).values()
    assert sorted(rows("| node |")) == sorted(node["display_name"] for node in nodes)
    templates = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
    assert [row[1 : row.index("]")] for row in rows("| template |")] == templates


def test_loaders_that_take_an_ear_say_so_in_the_table():
    nodes = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8")).values()
    for node in nodes:
        row = re.search(rf"^\| {re.escape(node['display_name'])} \| (.*) → ", README, re.M)
        assert row is not None
        if node["display_name"].startswith("Load "):
            assert ("ear" in node["inputs"]) == ("ear or none" in row[1])
            assert ("vae" in node["inputs"]) == ("VAE or none" in row[1])


def test_the_registry_leaves_out_nothing_that_readme_needs():
    """Neither what it links to nor what its commands run or install."""
    left_out = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    needed = [*re.findall(r"\]\(<?([^):>]+)>?\)", README), *re.findall(r"-r (\S+\.txt)", README), "tests/"]
    needed += [name.replace(".", "/") + ".py" for name in re.findall(r"-m (benchmarks\.\w+)", README)]
    assert "CONTRIBUTING.md" in needed
    assert not [name for name in needed if any(name.startswith(path) for path in left_out)]


def test_the_gate_runs_the_readme_command():
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extract = re.search(r"command=\$\((.*)\)\n", gate)[1]
    command = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert "python -m pytest" in command
    assert command in README

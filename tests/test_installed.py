"""Which packages are there: two OpenCV are found by their metadata, and install.py leaves the better one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from talkface_core.installed import OPENCV, TRAINING, opencv_packages, opencv_warning

ROOT = Path(__file__).parents[1]


def lay(folder: Path, name: str, version: str, installer: str = "pip") -> None:
    """A package as pip leaves its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "INSTALLER").write_text(f"{installer}\n")


@pytest.mark.parametrize("name", OPENCV)
def test_one_opencv_of_any_name_is_well(tmp_path, name):
    lay(tmp_path, name, "4.11.0.86")
    lay(tmp_path, "opencv", "4.0")
    assert opencv_packages([str(tmp_path)]) == {name: "4.11.0.86"}
    assert opencv_warning([str(tmp_path)]) is None


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (("opencv-python", "opencv-contrib-python-headless"), "opencv-contrib-python-headless"),
        (("opencv-python", "opencv-python-headless"), "opencv-python-headless"),
        (("opencv-python-headless", "opencv-contrib-python"), "opencv-contrib-python"),
        (OPENCV, "opencv-contrib-python-headless"),
    ],
)
def test_of_several_the_most_capable_is_kept_in_its_version(tmp_path, names, kept):
    for number, name in enumerate(names):
        lay(tmp_path / str(number), name, f"4.{number}")
    warning = opencv_warning([str(folder) for folder in tmp_path.iterdir()])
    assert warning.endswith(f"-m pip install --no-deps {kept}==4.{names.index(kept)}")
    removed = warning.split("uninstall -y ")[1].split(" && ")[0].split()
    assert sorted(removed) == sorted(names)
    assert "\n" not in warning


def test_what_is_not_installed_by_pip_does_not_count(tmp_path):
    lay(tmp_path, "opencv-python", "4.10", installer="conda")  # conda's one OpenCV bears two names
    lay(tmp_path, "opencv-python-headless", "4.10", installer="conda")
    (tmp_path / "opencv_contrib_python-4.9.dist-info").mkdir()  # what an interrupted pip leaves
    assert opencv_packages([str(tmp_path)]) == {}


def test_the_training_packages_are_those_of_the_file():
    lines = (ROOT / "requirements-train.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(line for line in lines if not line.startswith("#")) == sorted(TRAINING)


PIP = """
import json, os, pathlib, sys
with open(os.environ["TOLD"], "a") as told:
    held = [pathlib.Path(sys.argv[i + 1]).read_text() for i, word in enumerate(sys.argv) if word == "-c"]
    told.write(json.dumps([sys.argv[1:], *held]) + "\\n")
if "face-alignment" in sys.argv:
    info = pathlib.Path(__file__).with_name("face_alignment-1.5.0.dist-info")
    info.mkdir()
    lines = ("scipy>=0.17", "opencv-python", "onnxruntime; extra == 'scrfd'")
    needed = "".join(f"Requires-Dist: {line}\\n" for line in lines)
    (info / "METADATA").write_text(f"Name: face-alignment\\nVersion: 1.5.0\\n{needed}")
"""


def pip_calls(folder: Path) -> list[list[str]]:
    """What install.py, as the host's manager runs it, asks pip for where only the packages of `folder` are."""
    (folder / "pip.py").write_text(PIP)
    record = folder / "told.txt"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "TOLD": str(record)}
    script = [sys.executable, "-S", str(ROOT / "install.py")]  # -S: without this Python's own packages
    done = subprocess.run(script, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def requirements() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_where_nothing_is_installed_all_requirements_are(tmp_path):
    lay(tmp_path, "numpy", "1.26.4")
    lay(tmp_path, "setuptools", "65.5.0")  # which newer packages may well move
    [[words, constraints]] = pip_calls(tmp_path)
    wanted = [name for name in requirements() if name != "numpy"]
    assert words[: len(wanted) + 1] == ["install", *wanted]
    assert constraints == "numpy==1.26.4\n"


def test_beside_another_opencv_none_is_installed(tmp_path):
    lay(tmp_path, "opencv-contrib-python-headless", "4.11.0.86")
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").touch()
    calls = [words for words, *_ in pip_calls(tmp_path)]
    assert calls[0][0] == "install"
    assert calls[1][:3] == ["install", "--no-deps", "face-alignment"]
    assert calls[2][:2] == ["install", "scipy>=0.17"]
    assert not [word for words in calls for word in words if word.startswith("opencv")]


def test_two_become_one_and_nothing_else_is_touched(tmp_path):
    for name in (*requirements(), "opencv-contrib-python-headless"):
        lay(tmp_path, name, "4.11.0.86")
    fetched, removed, brought = (words for words, *_ in pip_calls(tmp_path))
    kept = "opencv-contrib-python-headless==4.11.0.86"
    assert (fetched[0], fetched[-1]) == ("download", kept)
    assert removed == ["uninstall", "-y", "opencv-python", "opencv-contrib-python-headless"]
    assert brought[:4] == ["install", "--no-deps", kept, "--no-index"]


def test_where_all_is_there_pip_is_not_called(tmp_path):
    for name in requirements():
        lay(tmp_path, name, "1.0")
    assert pip_calls(tmp_path) == []

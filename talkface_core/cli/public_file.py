"""What a published file and published weights are: where they lie, how large they are, under which licence."""

from __future__ import annotations

from dataclasses import dataclass

LICENCES = ("free", "non-commercial", "unclear")
"""Whether authors allow commercial use of their weights."""


@dataclass(frozen=True)
class PublicFile:
    """A file: where it lies ("": no program gets it), its bytes (`exact` or about; 0: unknown) and sha256, or ""."""

    name: str
    url: str = ""
    size: int = 0
    sha256: str = ""
    exact: bool = False


@dataclass(frozen=True)
class PublicWeights:
    """Weights: the page that publishes them, the licence in a word of `LICENCES` and in a line, what they give, and the
    system whose nodes list them once converted ("": they are used as they come; `models`: their folder in the host).

    `measured`: time on one core of a CPU and memory of their layout, see benchmarks/public_layouts.py.
    """

    name: str
    page: str
    licence: str
    terms: str
    gives: str
    system: str
    files: tuple[PublicFile, ...]
    models: str = "talkface"
    measured: str = ""

    @property
    def fetchable(self) -> bool:
        """Whether a program can fetch them: every file has an address."""
        return all(file.url for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def exact(self) -> bool:
        """Whether the bytes are known to the last one."""
        return all(file.exact for file in self.files)

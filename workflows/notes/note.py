"""What the notes in the workflows say, in English and in Chinese: the page translates neither notes nor group titles.

Steps are one large heading, which stays readable where a whole graph is in view; what is to know besides is smaller.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """One note: its title, steps in order, and more to know."""

    title: str
    steps: tuple[str, ...]
    more: tuple[str, ...]

    @property
    def text(self) -> str:
        """Markdown: a heading of several lines, which no `#` can make, and lines as smaller headings below it."""
        steps = "  \n".join(f"{number} {step}" for number, step in zip("①②③④⑤", self.steps, strict=False))
        return "\n\n".join([f"{steps}\n---", *(f"### {line}" for line in self.more)])


CONSENT, CONSENT_ZH = "Dub only people who agree to it.", "只为同意的人配音。"

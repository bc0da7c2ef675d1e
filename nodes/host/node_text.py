"""The pack's warnings, shown on the node that gives them: a log is read by nobody who works in the page.

The host sends such text to the page for any node; the page shows it below the node's inputs.
"""

from __future__ import annotations

import logging

from comfy_execution.utils import get_executing_context


class NodeWarnings(logging.Handler):
    """Shows the pack's warnings on the node that gives them, where the page has a place for text; the log has all."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: dict[str, tuple[str, list[str]]] = {}  # node -> the run, and what was told in it

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.show(record.getMessage().removeprefix("TalkFace: "))
        except Exception:  # of whatever kind: a warning may not end the work
            self.handleError(record)

    def show(self, line: str) -> None:
        """A line more on the node that works now; none where no node does, or in another thread."""
        node = get_executing_context()
        if node is None:
            return
        run, lines = self._shown.get(node.node_id, ("", []))
        lines = [*(lines if run == node.prompt_id else []), line]
        self._shown[node.node_id] = node.prompt_id, lines
        self._send("\n".join(dict.fromkeys(lines)), node.node_id)

    def clear(self) -> None:
        """Takes away what an earlier run of this node has shown."""
        node = get_executing_context()
        if node is not None and self._shown.get(node.node_id, (node.prompt_id,))[0] != node.prompt_id:
            del self._shown[node.node_id]
            self._send(" ", node.node_id)

    @staticmethod
    def _send(text: str, node_id: str) -> None:
        from server import PromptServer  # here, as only a running server has it

        if (running := getattr(PromptServer, "instance", None)) is not None:
            running.send_progress_text(text, node_id)


_warnings = NodeWarnings()


def show_warnings() -> None:
    """From now on the pack's warnings are shown on its nodes too."""
    logging.getLogger(__name__.rsplit(".", 3)[0]).addHandler(_warnings)


def say(line: str) -> None:
    """Shows a line on the node that works now, below those that it has said in this run."""
    _warnings.show(line)


def clear() -> None:
    """Takes away what an earlier run has shown on the node that works now."""
    _warnings.clear()

"""What a person reads in the page when something is wrong."""

from __future__ import annotations

from .page import Page


def test_wrong_keyframes_are_told_before_anything_runs(page: Page) -> None:
    page.template("dae_talker_pose")
    page.set("TalkFaceHeadPose", keyframes="0: 1, 2")
    assert page.run().ended == "rejected"
    assert page.soon(page.alerts)
    assert "keyframes, line 1: '0: 1, 2' is not" in page.shown_text()


def test_what_goes_wrong_within_a_node_is_told(page: Page) -> None:
    page.template("dae_talker_long")
    page.set("TalkFaceLoadAudio", start=100.0)
    assert page.run().ended == "execution_error"
    page.settle()
    assert page.alerts()
    assert "start of 100 s lies after the end of hello.flac, which is 8.000 s long" in page.shown_text()

"""The notes of the workflow of a person of one's own."""

from __future__ import annotations

from .note import Note

NOTES: dict[str, tuple[Note, Note]] = {
    "train_person": (
        Note(
            "A person of your own",
            (
                "Load Video: upload 2 to 5 minutes of one person who speaks",
                "Connect it straight to Train Your Person",
                "Give a name, and 120 minutes",
                "Press Run",
            ),
            (
                "As given it runs in two minutes or so, on the sample: that shows the way and no more.",
                "Cancel whenever you like: the next run goes on. Press R: both loaders list the checkpoint.",
                "Use footage only of people who have agreed to it.",
            ),
        ),
        Note(
            "说明：训练你自己的人物",
            (
                "加载视频：上传一个人说话的影片，2 到 5 分钟",
                "把它直接连到“训练你自己的人物”",
                "填写名称，预算 120 分钟",
                "点击运行",
            ),
            (
                "不作改动时用示例运行，大约两分钟，只是演示流程。",
                "随时可以取消：下次运行接着做。按 R：两个加载节点都会列出这个 Checkpoint。",
                "只使用本人已同意的素材。",
            ),
        ),
    ),
}

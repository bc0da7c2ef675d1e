"""The notes of the workflows of landmark diffusion."""

from __future__ import annotations

from .note import CONSENT, CONSENT_ZH, Note

NOTES: dict[str, tuple[Note, Note]] = {
    "landmark_dub": (
        Note(
            "New speech by landmarks",
            (
                "Load Video: footage of a face. Load Audio: what it is to say",
                "Press Run; see in Goal how lips and jaw will move",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "Too little motion, restless or late? strength, smoothing, shift in Adjust Mouth, before painting.",
                "Slow without a GPU? Fewer steps in TalkFormer Sampler.",
                CONSENT,
            ),
        ),
        Note(
            "说明：借助关键点换上新的语音",
            (
                "加载视频：有脸的素材。加载音频：要说的话",
                "点击运行；在“目标”中查看嘴唇和下颌的动作",
                "视频出现在“保存视频”节点和 output/talkface 中",
            ),
            (
                "动作太小、不稳或不同步？在作画之前，用“调整嘴部”的 strength、smoothing 和 shift。",
                "没有 GPU 太慢？减少“TalkFormer 采样器”的 steps。",
                CONSENT_ZH,
            ),
        ),
    ),
    "landmark_dub_long": (
        Note(
            "Any length of video, by landmarks",
            ("Load Video and Load Audio: footage, and what it is to say", "Press Run", "The video is in Save Video"),
            (
                "Frames go to disk as they are made: an hour needs little more memory than a minute.",
                "sovqae of Load LaDTalk restores what was painted: with the bundled weights little.",
                CONSENT,
            ),
        ),
        Note(
            "说明：借助关键点，任意长度的视频",
            ("加载视频和加载音频：素材，以及要说的话", "点击运行", "视频出现在“保存视频”节点中"),
            (
                "画面边生成边写入磁盘：一小时只比一分钟多占一点内存。",
                "“加载 LaDTalk”的 sovqae 只恢复画出来的部分：用自带权重时很少。",
                CONSENT_ZH,
            ),
        ),
    ),
    "landmark_portrait": (
        Note(
            "A portrait that speaks",
            (
                "Put a Load Image of your own in place of ImageFromBatch",
                "Load Audio: what the portrait is to say",
                "Press Run; see in Goal how its mouth will move",
            ),
            (
                "A shut mouth shows no teeth: give another picture of the person as reference_images.",
                "The head stays still; only the lower face moves.",
                CONSENT,
            ),
        ),
        Note(
            "说明：会说话的肖像",
            (
                "用自己的“加载图像”代替 ImageFromBatch",
                "加载音频：肖像要说的话",
                "点击运行；在“目标”中查看嘴的动作",
            ),
            (
                "闭着的嘴看不到牙齿：把这个人的另一张图片连接到 reference_images。",
                "头部不动，只有下半张脸在动。",
                CONSENT_ZH,
            ),
        ),
    ),
    "landmark_plus_sovqae": (
        Note(
            "Two papers joined: landmarks, then SOVQAE",
            (
                "Load Video and Load Audio: footage, and what it is to say",
                "TalkFormer paints the mouth, SOVQAE restores what it painted",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "With the bundled weights nearly all of a mouth is footage, moved: little is left to restore.",
                "Take out the mask, and it restores the whole mouth: sharper, with specks below some lips.",
                CONSENT,
            ),
        ),
        Note(
            "说明：两篇论文合在一起，先关键点后 SOVQAE",
            (
                "加载视频和加载音频：素材，以及要说的话",
                "TalkFormer 画嘴，SOVQAE 恢复画出来的部分",
                "视频出现在“保存视频”节点和 output/talkface 中",
            ),
            (
                "用自带权重时，嘴大多是素材自己的、移动过的像素：SOVQAE 能恢复的很少。",
                "断开遮罩就恢复整张嘴：更清晰，但有的嘴唇下方会出现斑点。",
                CONSENT_ZH,
            ),
        ),
    ),
    "landmark_two_people": (
        Note(
            "Two people, each with a sound of their own",
            (
                "Load Audio, upper: what the left one says; lower: the right one",
                "Press Run; see whether each face was found",
                "Both sounds are laid over each other for the video",
            ),
            (
                "Silence in a sound keeps that mouth shut, so people can take turns.",
                "length is once for both, so that the second finds the frames that its face was tracked in.",
                CONSENT,
            ),
        ),
        Note(
            "说明：两个人，各说各的",
            (
                "加载音频：上面是左边的人说的话，下面是右边的人",
                "点击运行，并检查两张脸是否找对",
                "两段声音叠加后放入视频",
            ),
            (
                "声音中的静默让该人闭嘴，因此两人可以轮流说话。",
                "两处 length 都是 once，使第二个人仍能找到跟踪过的那些帧。",
                CONSENT_ZH,
            ),
        ),
    ),
}

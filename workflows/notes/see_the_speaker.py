"""The notes of See the Speaker's workflows."""

from __future__ import annotations

from .note import Note

ANIMATED, ANIMATED_ZH = "Animate only people who agree to it.", "只为同意的人制作动画。"
GUESSED, GUESSED_ZH = "Say that the person is made up where you show the video.", "展示视频时，请说明这个人是虚构的。"

NOTES: dict[str, tuple[Note, Note]] = {
    "voice_to_talking_video": (
        Note(
            "A voice becomes a talking person",
            (
                "Load Audio: choose or upload somebody's speech",
                "Press Run: first a portrait appears, then the video",
                "Another person? Change seed. The video is in Save Video",
            ),
            (
                "The face is a guess at sex and age group. It is nobody, and says nothing about who speaks.",
                "Plainer guess: raise portrait_guidance. More variety: prior none, or portrait_guidance 1.",
                "Frames go to disk as they are drawn: an hour needs no more memory than a minute.",
                GUESSED,
            ),
        ),
        Note(
            "说明：只用声音生成说话的人",
            (
                "加载音频：选择或上传一个人的语音",
                "点击运行：先出现肖像，然后出现视频",
                "想换一个人？改 seed。视频在“保存视频”节点中",
            ),
            (
                "这张脸只是对性别和年龄段的猜测，不是任何人，也说明不了说话的是谁。",
                "让猜测更明显：调高 portrait_guidance。更多变化：prior 选 none，或 portrait_guidance 设为 1。",
                "画面边生成边写入磁盘：一小时的语音和一分钟的占用同样多的内存。",
                GUESSED_ZH,
            ),
        ),
    ),
    "animate_any_portrait": (
        Note(
            "Any picture talks",
            (
                "Load Image: a photo or painting with a face that looks ahead",
                "Load Audio: what it is to say",
                "Press Run; the video is in Save Video",
            ),
            (
                "Livelier: head_motion 1.3. Calmer: 0.5. Blinks and gaze have widgets of their own.",
                "Turn the head yourself: connect Head Pose to head_pose.",
                "region head gives the head's square alone.",
                ANIMATED,
            ),
        ),
        Note(
            "说明：让任何图片说话",
            (
                "加载图像：一张照片或画，脸大致朝向前方",
                "加载音频：它要说的话",
                "点击运行；视频在“保存视频”节点中",
            ),
            (
                "更活泼：head_motion 设为 1.3。更安静：0.5。眨眼和视线有各自的参数。",
                "自己转动头部：把“头部姿态”连接到 head_pose。",
                "region 选 head 时，只输出头部的方形画面。",
                ANIMATED_ZH,
            ),
        ),
    ),
    "portrait_then_landmark_diffusion": (
        Note(
            "Two papers joined: a portrait, then its mouth",
            (
                "Load Audio: choose or upload somebody's speech",
                "Press Run: the portrait, its landmarks, then the painted mouth",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "The head stays still and only the lower face moves; template 16 moves the whole head.",
                "Another person: another seed in Speech to Portrait.",
                GUESSED,
            ),
        ),
        Note(
            "说明：两篇论文结合，先肖像，后嘴部",
            (
                "加载音频：选择或上传一个人的语音",
                "点击运行：先是肖像，然后是关键点，最后画嘴",
                "视频出现在“保存视频”节点和 output/talkface 中",
            ),
            (
                "头部不动，只有下半张脸在动；模板 16 会让整个头部动起来。",
                "换一个人：在“语音生成肖像”中换一个 seed。",
                GUESSED_ZH,
            ),
        ),
    ),
    "voice_step_by_step": (
        Note(
            "The same, step by step",
            (
                "Speech to Portrait: change seed until you like the portrait",
                "Speech to Motion: head, blinks and gaze; Render Motion draws it",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "Only what changed is computed again: another head_motion keeps the portrait.",
                "A portrait of your own: put Load Image in place of Speech to Portrait.",
                GUESSED,
            ),
        ),
        Note(
            "说明：同样的过程，一步一步来",
            (
                "语音生成肖像：换 seed，直到满意",
                "语音生成动作：头部、眨眼和视线；“渲染动作”把它画出来",
                "视频出现在“保存视频”节点和 output/talkface 中",
            ),
            (
                "只重新计算改动过的部分：改 head_motion 不会换肖像。",
                "用自己的肖像：用“加载图像”代替“语音生成肖像”。",
                GUESSED_ZH,
            ),
        ),
    ),
}

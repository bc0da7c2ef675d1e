"""The notes of the workflows about faces."""

from __future__ import annotations

from .note import Note

NOTES: dict[str, tuple[Note, Note]] = {
    "faces_follow": (
        Note(
            "Follow a head",
            ("Load Video: whose head to follow", "Load Audio: what is said", "Press Run; look at the landmarks"),
            (
                "Where the sound is longer than the video, the last pose is held.",
                "Jittery? More smoothing. Too much of a turn? Less pose_strength.",
            ),
        ),
        Note(
            "说明：跟随另一个人的头部",
            ("加载视频：跟随谁的头部", "加载音频：说什么", "点击运行，并查看关键点"),
            ("声音比视频长时，保持最后的姿态。", "抖动？增大 smoothing。转得太多？减小 pose_strength。"),
        ),
    ),
    "faces_crop_paste": (
        Note(
            "Change a face, keep the rest",
            ("Crop Face cuts the face out, level and centred", "Change it: sharpen, upscale, restore, sample", "Paste"),
            (
                "What lies between Crop Face and Paste Face may be anything that keeps the number of pictures.",
                "Outside the mask of Paste Face not one pixel of the footage changes; connect a mask of your own.",
                "Evaluate Clip measures what has changed: pixels, mouths, sync, sharpness.",
            ),
        ),
        Note(
            "说明：修改脸，其余不变",
            ("裁切人脸：把脸裁出，摆正并居中", "修改它：锐化、放大、修复、采样", "贴回人脸"),
            (
                "裁切与贴回之间可以是任何不改变图片数量的节点。",
                "“贴回人脸”的遮罩以外，素材一个像素也不变；可以连接自己的遮罩。",
                "“评测片段”测量改变了什么：像素、嘴部、同步、清晰度。",
            ),
        ),
    ),
}

"""The notes of LaDTalk's workflows."""

from __future__ import annotations

from .note import CONSENT, CONSENT_ZH, Note

NOTES: dict[str, tuple[Note, Note]] = {
    "ladtalk_dub": (
        Note(
            "New speech for a video",
            (
                "Load Video: footage of a face. Load Audio: what it is to say",
                "Press Run; see in Landmarks whether the face was found",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "Sound longer than the video? length in Wav2Lip: bounce plays to and fro, stop ends, once plays once.",
                CONSENT,
            ),
        ),
        Note(
            "说明：为视频换上新的语音",
            (
                "加载视频：有脸的素材。加载音频：要说的话",
                "点击运行；在“关键点”中检查脸是否找对",
                "视频出现在“保存视频”节点和 output/talkface 中",
            ),
            ("声音比视频长？Wav2Lip 的 length：bounce 来回播放，stop 到较短者为止，once 只播一遍。", CONSENT_ZH),
        ),
    ),
    "ladtalk_dub_long": (
        Note(
            "Any length of video",
            ("Load Video and Load Audio: footage, and what it is to say", "Press Run", "The video is in Save Video"),
            (
                "Frames go to disk as they are made: an hour needs little more memory than a minute.",
                "match_texture makes mouths as sharp as the footage is.",
                CONSENT,
            ),
        ),
        Note(
            "说明：任意长度的视频",
            ("加载视频和加载音频：素材，以及要说的话", "点击运行", "视频出现在“保存视频”节点中"),
            (
                "画面边生成边写入磁盘：一小时只比一分钟多占一点内存。",
                "match_texture 让嘴部与素材一样清晰。",
                CONSENT_ZH,
            ),
        ),
    ),
    "ladtalk_two_people": (
        Note(
            "Two people, each with a sound of their own",
            (
                "Load Audio, upper: what the left one says; lower: the right one",
                "Press Run; see in Landmarks whether each face was found",
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
                "点击运行；在“关键点”中检查两张脸是否找对",
                "两段声音叠加后放入视频",
            ),
            (
                "声音中的静默让该人闭嘴，因此两人可以轮流说话。",
                "两处 length 都是 once，使第二个人仍能找到跟踪过的那些帧。",
                CONSENT_ZH,
            ),
        ),
    ),
    "sovqae_enhance_any_video": (
        Note(
            "Texture for any video of a face",
            (
                "ImageBlur only softens the sample: take it out",
                "Load Video: your soft footage. Press Run",
                "Report: did the mouth keep its shape? If not, less strength",
            ),
            (
                "Without a face_track, images are taken for faces themselves, as Crop Face makes them.",
                "A mask holds the change to a part of the frame.",
            ),
        ),
        Note(
            "说明：为任何有脸的视频恢复纹理",
            (
                "ImageBlur 只是把样片变模糊：请删除它",
                "加载视频：您的模糊素材。点击运行",
                "报告：嘴形保持了吗？没有就减小 strength",
            ),
            ("不连接 face_track 时，图片本身被当作“裁切人脸”得到的脸。", "遮罩把改动限制在画面的一部分。"),
        ),
    ),
}

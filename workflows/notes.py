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
ANIMATED, ANIMATED_ZH = "Animate only people who agree to it.", "只为同意的人制作动画。"
GUESSED, GUESSED_ZH = "Say that the person is made up where you show the video.", "展示视频时，请说明这个人是虚构的。"

NOTES: dict[str, tuple[Note, Note]] = {
    "dae_talker": (
        Note(
            "Speech to a talking face",
            ("Load Audio: choose or upload speech", "Press Run", "The video appears in Save Video and output/talkface"),
            (
                "Slow without a GPU? Set steps in DAE Decode to 1.",
                "expression opens the mouth wider, head_motion 0 holds the head still, idle off takes away blinks.",
            ),
        ),
        Note(
            "说明：语音生成说话的脸",
            ("加载音频：选择或上传语音", "点击运行", "视频出现在“保存视频”节点和 output/talkface 中"),
            (
                "没有 GPU 太慢？把“DAE 解码”的 steps 设为 1。",
                "expression 让嘴张得更大；head_motion 为 0 时头不动；关闭 idle 则不眨眼。",
            ),
        ),
    ),
    "dae_talker_long": (
        Note(
            "Any length of speech",
            (
                "Load Audio: choose or upload speech",
                "Press Run: the newest frame is shown",
                "The video is in Save Video",
            ),
            (
                "Frames go to disk as they are drawn: an hour needs no more memory than a minute.",
                "To try a part first, set start and duration in Load Audio.",
            ),
        ),
        Note(
            "说明：任意长度的语音",
            ("加载音频：选择或上传语音", "点击运行：显示最新的一帧", "视频出现在“保存视频”节点中"),
            (
                "画面边生成边写入磁盘：一小时与一分钟占用同样的内存。",
                "想先试一段，请设置“加载音频”的 start 和 duration。",
            ),
        ),
    ),
    "dae_talker_pose": (
        Note(
            "A head pose of your own",
            ("Head Pose: one line for each moment", "seconds: yaw, pitch, roll (degrees)", "Press Run"),
            (
                "Above 0, yaw turns to the right of the picture, pitch nods down, roll tilts counter-clockwise.",
                "pose_strength blends from the pose that the speech suggests (0) to yours (1).",
                "The bundled speaker has seen yaw -16 to 16, pitch -7 to 12 and roll -6 to 5 degrees.",
            ),
        ),
        Note(
            "说明：自定义头部姿态",
            ("头部姿态：每个时刻写一行", "秒: yaw, pitch, roll（单位为度）", "点击运行"),
            (
                "大于 0 时：yaw 转向画面右侧，pitch 低头，roll 逆时针倾斜。",
                "pose_strength 从语音推测的姿态（0）过渡到您的姿态（1）。",
                "自带的说话人见过的范围：yaw -16 到 16，pitch -7 到 12，roll -6 到 5 度。",
            ),
        ),
    ),
    "dae_talker_reconstruct": (
        Note(
            "What the model keeps of a face",
            ("DAE Encode reads one latent off each frame", "DAE Decode draws the frame from that latent alone"),
            (
                "What is missing in the video, no speech can bring back.",
                "Footage must show the speaker that the model was trained on, framed as in training; the sample does.",
            ),
        ),
        Note(
            "说明：模型保留了脸的哪些部分",
            ("DAE 编码从每帧读出一个潜变量", "DAE 解码只凭这个潜变量重新画出该帧"),
            ("视频里缺少的东西，语音也无法带回。", "素材必须是模型训练过的说话人，取景与训练时相同；自带样片即是。"),
        ),
    ),
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
            ),
        ),
        Note(
            "说明：修改脸，其余不变",
            ("裁切人脸：把脸裁出，摆正并居中", "修改它：锐化、放大、修复、采样", "贴回人脸"),
            (
                "裁切与贴回之间可以是任何不改变图片数量的节点。",
                "“贴回人脸”的遮罩以外，素材一个像素也不变；可以连接自己的遮罩。",
            ),
        ),
    ),
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
    "landmark_dub": (
        Note(
            "New speech by landmarks",
            (
                "Load Video: footage of a face. Load Audio: what it is to say",
                "Press Run; see in Goal how lips and jaw will move",
                "The video appears in Save Video and output/talkface",
            ),
            (
                "Too little motion? More strength in Landmark Complete, before anything is painted.",
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
                "动作太小？在作画之前，增大“补全关键点”的 strength。",
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

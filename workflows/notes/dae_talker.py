"""The notes of DAE-Talker's workflows."""

from __future__ import annotations

from .note import CONSENT, CONSENT_ZH, Note

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
    "dub_any_face": (
        Note(
            "Weights that you bring",
            (
                "models --fetch diffdub writes diffdub.safetensors; it goes into models/talkface",
                "chinese-hubert-large (TencentGameMate) goes into models/audio_encoders",
                "Press R, choose both files in the loaders, press Run",
            ),
            (
                "No bundled weights can do this. What they cost: docs/public_weights.md of the pack.",
                CONSENT,
            ),
        ),
        Note(
            "说明：自备权重",
            (
                "models --fetch diffdub 得到 diffdub.safetensors，放入 models/talkface",
                "chinese-hubert-large（TencentGameMate）放入 models/audio_encoders",
                "按 R，在加载器中选择这两个文件，点击运行",
            ),
            ("自带的权重做不到这一点。代价见本包的 docs/public_weights.md。", CONSENT_ZH),
        ),
    ),
}

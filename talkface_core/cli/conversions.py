"""Which converter public files belong to, by what they hold, never by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import InputError

_EXPECTED = "a public checkpoint (models lists what is known, models --help the files)"


def convert(files: Sequence[str], output: str | Path) -> Path:
    """Convert public files to the checkpoint `output` and return its path.

    Raises InputError, also for files that do not belong together.
    """
    from ..dae_talker.convert import convert_diffae
    from ..dae_talker.convert_diffdub import convert_diffdub
    from ..dae_talker.convert_diffdub import recognises as is_diffdub
    from ..ladtalk.convert import convert_wav2lip
    from ..ladtalk.convert import recognises as is_wav2lip
    from ..ladtalk.convert_restoreformer import convert_restoreformer
    from ..ladtalk.convert_restoreformer import recognises as is_restoreformer
    from ..landmark_diffusion.convert import convert_completion
    from ..landmark_diffusion.convert import recognises as is_completion
    from ..see_the_speaker.convert_joyvasa import convert_joyvasa
    from ..see_the_speaker.convert_joyvasa import recognises as is_joyvasa
    from ..see_the_speaker.convert_liveportrait import convert_liveportrait
    from ..see_the_speaker.convert_liveportrait import recognises as is_liveportrait
    from ..speech.convert_whisper import convert_whisper
    from ..speech.convert_whisper import recognises as is_whisper
    from ..sync.convert_evaluator import convert_evaluator
    from ..sync.convert_evaluator import recognises as is_evaluator

    paths = [Path(file) for file in files]
    if paths[0].is_dir() or any(_says(is_liveportrait, path) for path in paths):
        return convert_liveportrait(paths[0] if len(paths) == 1 and paths[0].is_dir() else paths, output)
    generators = [path for path in paths if _says(is_joyvasa, path)]
    if generators:
        templates = [path for path in paths if path not in generators]
        if len(paths) != 2 or len(templates) != 1:
            raise InputError(
                f"{generators[0].name} is JoyVASA's motion generator: give it and its motion_template.pkl, two files"
            )
        return convert_joyvasa(generators[0], templates[0], output)
    if any(_says(is_diffdub, path) for path in paths):
        return convert_diffdub(paths, output)
    if len(paths) > 1:
        raise InputError(
            f"{', '.join(path.name for path in paths)}: these do not make one model; give one file, all of "
            "LivePortrait's, JoyVASA's generator with its template, or both stages of DiffDub"
        )
    _check_readable(paths[0])
    if _says(is_whisper, paths[0]):
        return convert_whisper(paths[0], output)
    if is_evaluator(paths[0]):
        return convert_evaluator(paths[0], output)
    if is_wav2lip(paths[0]):
        return convert_wav2lip(paths[0], output)
    if is_restoreformer(paths[0]):
        return convert_restoreformer(paths[0], output)
    return convert_completion(paths[0], output) if is_completion(paths[0]) else convert_diffae(paths[0], output)


def _check_readable(path: Path) -> None:
    """Raise InputError for a checkpoint of ours, and for what no converter can read: none has a name to expect yet."""
    from ..checkpoints import read_header
    from ..foreign import load_foreign
    from ..tensor_file import read_shapes

    if path.suffix == ".safetensors" and path.is_file():
        read_shapes(path, _EXPECTED)
        try:
            system = read_header(path).system
        except InputError:
            return
        raise InputError(f"{path}: is a converted checkpoint already, of {system}; use it as it is")
    load_foreign(path, _EXPECTED)


def _says(recognises: Callable[[str | Path], object], path: Path) -> bool:
    """Whether a file is recognised; one that cannot be read is not, and is told of later."""
    try:
        return bool(recognises(path))
    except InputError:
        return False

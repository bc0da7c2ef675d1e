"""TalkFace: speech to talking-face video. A plain torch library; it knows nothing of ComfyUI."""

__version__ = "0.1.0"

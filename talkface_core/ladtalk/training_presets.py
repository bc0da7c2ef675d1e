"""What `train wav2lip` is told by its presets: batches, weights of the losses, the optimiser, steps.

`base` is as published (Wav2Lip, Prajwal et al. 2020). `tiny` adds what few data and little time need (losses.py,
training_batches.py): L1 counts the repainted half and the mouth more, and contrasts as well as colours; what is moved
has to do without paint as far as it can; most samples are single frames; the lips' shape is read off the vectors of
many further sounds, at the beginning of them alone, and off the pictures by a frozen landmark net
(faces/lip_reading.py). It does without the discriminator, since SOVQAE restores the texture afterwards.
"""

from ..training.config import TrainConfig
from .losses import Weights
from .training_batches import Wav2LipBatches

BATCHES = {
    "tiny": Wav2LipBatches(references=2),
    "base": Wav2LipBatches(16, 0, 1, 0.0, 0.0, 0.0, 0.0, 0, 0, augment=False),
}
WEIGHTS = {
    "tiny": Weights(
        sync=0.01,
        mouth=6.0,
        detail=0.4,
        upper=0.1,
        heard=0.03,
        carried=0.5,
        paint=0.03,
        lips=0.02,
        spread=0.02,
    ),
    "base": Weights(gan=0.07),
}
TRAINING = {
    "tiny": TrainConfig(
        lr=2e-3,
        schedule="cosine",
        warmup=100,
        final_lr=0.02,
        beta2=0.99,
        weight_decay=1e-2,
        ema_decay=0.998,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, optimiser="adam", beta1=0.5, ema_decay=0.999, grad_clip=0.0, precision="auto"),
}
STEPS = {"tiny": 4000, "base": 1_000_000}
EVAL_EVERY = {"tiny": 200, "base": 3000}

"""Every setting, once: its default, its unit and what it does. The command-line flags are made from these fields.

The defaults are the slides' numbers (Ledig et al. 2017, through TensorLayer's SRGAN); where the slides are silent, the
paper's. `python train.py --help` and `python evaluate.py --help` print this page.
"""

import dataclasses

from srgan_tf.cli.flags import AUTO, setting
from srgan_tf.cli.flags import parse as parse
from srgan_tf.cli.phases import BEFORE_THEM as BEFORE_THEM
from srgan_tf.cli.phases import OF_SRGAN as OF_SRGAN
from srgan_tf.cli.phases import resolve as resolve

MOST = 10**9  # steps, or crops


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """Train a generator for 4x super-resolution.

    python train.py --mode=srresnet --train_dir=PHOTOS     G alone, on the content loss
    python train.py --mode=srgan --train_dir=PHOTOS        then G against D
    python train.py --model=espcn --train_dir=PHOTOS       a smaller network
    python train.py --train_dir=PHOTOS --pack=PACKED       only writes PACKED, a faster --train_dir
    """

    # What to train
    mode: str = setting("srresnet", "phase: G on its content loss, or G against D", choices=("srresnet", "srgan"))
    run_dir: str = setting("runs/default", "folder of the run; each phase has its own inside: srresnet/, srgan/")
    resume: bool = setting(True, "go on from the newest checkpoint of the run folder, if it has one")
    weights: str = setting(
        "",
        "weights that G starts from, instead of the run's own: a file (*.weights.h5), or the package's srresnet, srgan,"
        " espcn or srcnn",
    )
    discriminator: str = setting(
        "", "folder of another run's SRGAN, runs/NAME/srgan, with whose D this one begins (empty: a new D)"
    )
    dry_run: bool = setting(False, "print device, sizes, memory and first losses, and stop")

    # Data
    train_dir: str = setting(
        "", "folder of HR photographs, searched recursively, or one written by --pack (empty: a few embedded ones)"
    )
    valid_dir: str = setting("", "folder of HR pictures, or with HR/ and LR/, to validate on (empty: an embedded one)")
    crop_size: int = setting(
        AUTO,
        "side of an HR crop, pixels; the LR crop is so much smaller as --scale says (auto: 384; 64 for srcnn, 17 times"
        " --scale for espcn, 40 for drcn)",
        lower=16,
        upper=2**15,
    )
    batch_size: int = setting(
        AUTO, "crops a step, on all devices together (auto: 16; 128 for srcnn, 64 for drcn)", lower=1, upper=MOST
    )
    accumulate: int = setting(
        1,
        "micro-batches that a step's crops are taken in, for the gradients of a large batch in the memory of a small"
        " one; BN takes its statistics from each",
        lower=1,
        upper=MOST,
    )
    crops_per_image: int = setting(
        1, "crops that come from one decoding of a photograph, in different batches", lower=1, upper=1024
    )
    cache_gb: float = setting(
        AUTO,
        "memory for decoded photographs, GB; they need 3 bytes a pixel (auto: a quarter of what is free, or none if a"
        " tenth of them would not fit there)",
        lower=0,
    )
    workers: int = setting(2, "threads that decode, crop and degrade", lower=1)
    pack: str = setting(
        "",
        "folder to write the photographs of --train_dir into, decoded, as TFRecords, for faster reading and the same"
        " batches: 3 bytes a pixel; nothing is trained; the same command goes on with what was stopped, and checks what"
        " is complete",
    )

    # Generator
    model: str = setting(
        "resnet",
        "resnet is G, of SRResNet and SRGAN; the others, of the tables, learn Y, in a folder of their name",
        choices=("resnet", "srcnn", "espcn", "drcn"),
    )
    scale: int = setting(4, "enlargement r: 2, 4 or 8", lower=2)
    blocks: int = setting(16, "residual blocks of G", lower=1)
    initial: str = setting(
        "upsampling",
        "G's first weights: 'upsampling' starts as a plain bilinear enlargement, 'random' as the slides do (Glorot)",
        choices=("upsampling", "random"),
    )
    freeze_bn_after: int = setting(
        -1, "step of a phase from which G uses BN's moving statistics (0: from the start; -1: never)", lower=-1
    )

    # Losses
    content_loss: str = setting(
        AUTO,
        "mse; or mse plus vgg22, vgg54, pool4 (the seminar's code) (auto: mse for srresnet, pool4 for srgan)",
        choices=(AUTO, "mse", "vgg22", "vgg54", "pool4"),
    )
    mse_loss_weight: float = setting(1.0, "weight of the MSE between pictures in [-1, 1]; 0 gives the paper's", lower=0)
    vgg_loss_weight: float = setting(
        AUTO,
        "weight of the mean squared difference of VGG19's features (auto: 2e-6 for pool4; for vgg22 and vgg54 measured"
        " once on 64 crops, so that it equals the MSE between HR and its bicubic)",
        lower=0,
    )
    adversarial_loss_weight: float = setting(1e-3, "weight of -log D(G(LR)) in G's loss", lower=0)
    consistency_loss_weight: float = setting(
        0.0, "weight of the MSE between LR and SR reduced again, which holds the colours (0: off)", lower=0
    )
    vgg_path: str = setting("", "VGG19 weights without top, Keras layout (empty: Keras downloads them)")
    sequential_updates: bool = setting(False, "update D first and G against the new D, as the slides do")

    # Optimisation
    steps: int = setting(
        AUTO,
        "optimisation steps of the phase, which the schedule plateau may end sooner (auto: 1000000 for srresnet, 200000"
        " for srgan)",
        lower=1,
        upper=MOST,
    )
    pretrain_steps: int = setting(
        AUTO,
        "steps of the SRResNet that mode srgan starts from and trains first as far as they are not done"
        " (auto: those that the run's own was begun with, or else 1000000)",
        lower=1,
        upper=MOST,
    )
    optimizer: str = setting(
        AUTO,
        "adam; gradient descent with momentum; or muon, with which srcnn and espcn need a twentieth of the steps (auto:"
        " adam; for srcnn, espcn and drcn momentum, the slow recipes of their papers)",
        choices=(AUTO, "adam", "momentum", "muon"),
    )
    learning_rate: float = setting(
        AUTO,
        "learning rate of the optimizer (auto: 1e-4; with muon 3e-3; with momentum the papers', in the unit of the loss"
        " here: 0.0053 for srcnn, 0.0018 for espcn, 1.55 for drcn)",
        lower=0,
    )
    last_layer_rate: float = setting(
        AUTO,
        "factor on the learning rate of each network's last layer (auto: 1; with momentum 0.1 for srcnn and espcn)",
        lower=0,
    )
    beta1: float = setting(0.9, "first-moment decay of Adam, or the momentum", lower=0)
    weight_decay: float = setting(
        AUTO,
        "weight of the sum of the squares of all kernels in G's loss (auto: 0; with momentum 6.5e-7 for drcn)",
        lower=0,
    )
    schedule: str = setting(
        AUTO,
        "of the learning rate: constant; step, times decay_rate at half the steps; cosine, to zero; plateau, times"
        " decay_rate after --patience validations without a better PSNR (auto: constant for srresnet, step for srgan;"
        " with momentum plateau for espcn and drcn)",
        choices=(AUTO, "constant", "step", "cosine", "plateau"),
    )
    decay_rate: float = setting(0.1, "factor of the schedules step and plateau", lower=0)
    patience: int = setting(
        5, "of the schedule plateau: validations without a better PSNR before the rate falls", lower=1, upper=MOST
    )
    lowest_rate: float = setting(
        AUTO,
        "of the schedule plateau: the phase ends instead of going below (auto: a ten-thousandth of --learning_rate; a"
        " hundredth for espcn)",
        lower=0,
    )
    warmup_steps: int = setting(0, "steps over which the learning rate rises from 0", lower=0)
    clip_norm: float = setting(
        AUTO,
        "largest norm of a network's gradients, all together; larger ones are scaled down to it (0: off; auto: 0, and"
        " with momentum 0.01 for drcn)",
        lower=0,
    )
    ema_decay: float = setting(
        0.0, "decay a step of a moving average of G, which is then what is validated and written (0: off)", lower=0
    )
    balance_colours: bool = setting(
        False, "at the end, move the last layer's bias in generator.weights.h5 so that the mean colours are right"
    )
    seed: int = setting(0, "of weights, shuffling, crops and flips", lower=0, upper=2**32 - 1)

    # Hardware
    precision: str = setting(
        AUTO,
        "float32, mixed_float16 or mixed_bfloat16 (auto: mixed_float16 on a GPU with tensor cores, else float32)",
        choices=(AUTO, "float32", "mixed_float16", "mixed_bfloat16"),
    )
    xla: str = setting(AUTO, "compile the step with XLA (auto: on a GPU that works alone)", choices=(AUTO, "on", "off"))
    strategy: str = setting(
        AUTO,
        "none; mirrored: all GPUs of this machine; multiworker: the processes that TF_CONFIG names, see the README"
        " (auto: multiworker or mirrored where there is more than one, else none)",
        choices=(AUTO, "none", "mirrored", "multiworker"),
    )
    max_bad_steps: int = setting(50, "skipped steps in a row, with gradients not finite, that stop the run", lower=1)

    # Reports, each every so many steps
    log_every: int = setting(50, "steps between lines of metrics.jsonl and points in TensorBoard", lower=1)
    valid_every: int = setting(1000, "steps between validations", lower=1)
    checkpoint_every: int = setting(1000, "steps between checkpoints", lower=1)

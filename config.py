"""Every setting of a training: `Settings` of `srgan_tf.cli.train`, which `python train.py --help` prints."""

from srgan_tf.cli.train import Settings as TrainSettings

__all__ = ["TrainSettings"]

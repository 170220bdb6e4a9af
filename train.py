"""`python train.py ...` is `srgan train ...`, and with --pack `srgan pack ...`."""

import sys

from srgan_tf.cli.main import main as srgan


def main(argv):
    """Runs the command line `argv`; returns the exit status."""
    packs = any(word.lstrip("-").partition("=")[0] == "pack" for word in argv[1:])
    return srgan(["srgan", "pack" if packs else "train", *argv[1:]])


if __name__ == "__main__":
    sys.exit(main(sys.argv))

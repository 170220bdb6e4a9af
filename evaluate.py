"""`python evaluate.py --mode=MODE ...` is `srgan MODE ...`; without a mode it scores networks on a test set."""

import sys

from srgan_tf.cli.main import evaluate_script as main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

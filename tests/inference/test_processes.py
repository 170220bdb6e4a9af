"""An `Upscaler` in other processes than the one that made it."""

import copy
import pickle
import textwrap

import numpy as np
import pytest

from srgan_tf.inference.upscaler import Upscaler

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)


def test_an_upscaler_of_a_file_is_pickled_as_its_arguments(weights):
    upscaler = Upscaler(weights, ensemble=True, tile=16)
    upscaler.max_memory = 2**34
    for other in (pickle.loads(pickle.dumps(upscaler)), copy.deepcopy(upscaler)):
        assert (other.tile, other.max_memory, other.faithful) == (16, 2**34, False)
        assert (other.upscale(IMAGE) == upscaler.upscale(IMAGE)).all()
    between = pickle.loads(pickle.dumps(Upscaler(weights, toward=weights, strength=0.5)))
    assert np.abs(between.upscale(IMAGE).astype(int) - Upscaler(weights).upscale(IMAGE)).max() <= 1


def test_an_upscaler_of_a_model_says_that_it_cannot_be_pickled(weights, generator):
    upscaler = Upscaler(generator)
    for each in (upscaler, Upscaler(weights).running(upscaler.network)):
        with pytest.raises(TypeError, match="an Upscaler of a model cannot be pickled; save the model"):
            pickle.dumps(each)
    assert copy.copy(upscaler).network is upscaler.network


def test_a_forked_process_says_so_instead_of_hanging(run_python):
    code = """
        import os
        import numpy as np
        from srgan_tf import Upscaler
        upscaler = Upscaler("espcn")
        for work in (lambda: upscaler.upscale(np.zeros((4, 4, 3), np.uint8)), lambda: Upscaler("espcn")):
            if not os.fork():
                try:
                    work()
                except RuntimeError as error:
                    print(error, flush=True)
                    os._exit(7)
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
    """
    lines = run_python("-c", textwrap.dedent(code), timeout=300).stdout.splitlines()
    assert len(lines) == 2 and all(line.startswith("TensorFlow hangs in a process that is forked") for line in lines)

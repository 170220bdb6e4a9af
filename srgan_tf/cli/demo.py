"""`srgan demo`: a page in the browser on which images are upscaled."""

import dataclasses
import importlib.util
import tempfile
import threading
from pathlib import Path

from srgan_tf.cli.flags import AUTO, setting, unless_auto
from srgan_tf.cli.shared import WEIGHTS_HELP, Limits
from srgan_tf.evaluation.systems import NONE, load_upscaler, named_weights
from srgan_tf.system import quiet
from srgan_tf.system.errors import UsageError, UserError
from srgan_tf.weights import DEFAULT_WEIGHTS, DIAL, PHOTO_WEIGHTS, general_names


@dataclasses.dataclass(frozen=True)
class Settings(Limits):
    """Serve a page on which images are upscaled and compared.

    srgan demo
    srgan demo --weights=mine=runs/mine/srgan/generator.weights.h5 --weights=srgan
    srgan demo --host=0.0.0.0 --port=7860                       for other computers, without a password
    """

    weights: str = setting((AUTO,), f"{WEIGHTS_HELP} (auto: the package's for 4x, but srresnet-faces)", many=True)
    host: str = setting("127.0.0.1", "address to listen on; 0.0.0.0 for all of this computer's")
    port: int = setting(AUTO, "port to listen on (auto: the first from 7860 on that is free)", lower=1, upper=65535)
    max_megapixels: float = setting(2.0, "larger images are refused; one at a time is upscaled", lower=0.01)

    def checked(self):
        if self.weights == (NONE,):
            raise UsageError("--weights=none: this mode needs a network; name a file or one of the package's")
        return super().checked()

    def named(self):
        """The weights files by name."""
        names = sorted([*general_names(), PHOTO_WEIGHTS], key=lambda name: name != DEFAULT_WEIGHTS)
        return named_weights(names if self.weights == (AUTO,) else self.weights)


def run(settings):
    """Serves the page until the process is interrupted."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("srgan demo needs gradio: pip install 'srgan_tf[demo]'")
    weights = settings.named()
    quiet.import_tensorflow()
    from srgan_tf.inference.demo import build_page, launch

    def load(name, strength):
        dial = {} if strength == 1 else {"strength": strength}
        return load_upscaler(None if dial else weights[name], **dial, **settings.limits())

    max_pixels = int(settings.max_megapixels * 1e6)
    dialed = DIAL[1] if settings.weights == (AUTO,) else ""
    with tempfile.TemporaryDirectory(prefix="srgan-demo-") as folder:
        page = build_page(load, tuple(weights), max_pixels, Path(folder), dialed)
        try:
            address = launch(page, settings.host, unless_auto(settings.port), max_pixels)
            print(f"{address} upscales images until you press Ctrl-C", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
        finally:
            page.close(verbose=False)

"""A page on which visitors upscale their own images, in Gradio; it also runs as a Hugging Face Space."""

import functools
import html
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srgan_tf.imaging import files
from srgan_tf.imaging.raster import open_raster
from srgan_tf.imaging.raster_writer import write_raster
from srgan_tf.inference import jobs
from srgan_tf.inference.invention import write_map
from srgan_tf.inference.plan import Job, output_name
from srgan_tf.system.errors import UserError

if TYPE_CHECKING:
    import gradio

    from srgan_tf.inference.upscaler import Upscaler

QUEUE = 16  # visitors that may wait
_LOOK_SECONDS = 60  # between checks for old files
KEEP_SECONDS = 600 - _LOOK_SECONDS  # for which an image is kept while a visitor leaves the page open
_BROWSERS_SHOW = ("png", "jpeg", "webp", "bmp")
_BYTES_OF_PIXEL = 8  # of RGBA with 16 bits; files are hardly larger
_ROWS = 256  # at once
_LABELS = {
    "srgan": "srgan, sharp",
    "srresnet": "srresnet, smooth and faithful",
    "espcn": "espcn, fast",
    "srcnn": "srcnn, of 2014",
}
_CACHED = 4  # networks
_CSS = """
.gradio-container { width: 100% !important; max-width: 1200px !important; margin: 0 auto !important; }
#message p { margin: 0; }
#map:not(.fullscreen) img { max-height: 640px; object-fit: contain; }
#message:has(p:empty) { display: none; }
#message .refused { color: var(--error-text-color, #b91c1c); }
"""
# An image that is pasted anywhere on the page is handled like a dropped one.
_PASTE = """
() => document.addEventListener("paste", (event) => {
    const field = document.querySelector("#picture input[type=file]");
    if (!field || !event.clipboardData.files.length) return;
    field.files = event.clipboardData.files;
    field.dispatchEvent(new Event("change", {bubbles: true}));
})
"""


class Pictures:
    """The folders of visitors' uploads and results; each is removed when its last visitor no longer needs it.

    A visitor is identified by Gradio's session, which is None in a call without one.
    """

    def __init__(self, folder: Path):
        self._folder, self._lock = folder, threading.Lock()
        self._of: dict[str | None, set[Path]] = {}
        self._given: dict[str | None, Path] = {}  # the last upload, by visitor

    def find(self, given: str | None) -> Path | None:
        """The upload that a client names; None if there is none there. A client can name any path, also this folder,
        and what is registered is removed with the folder that it is in."""
        path = Path(given or "").resolve()
        return path if path.parent.parent == self._folder.resolve() and path.is_file() else None

    def take(self, visitor: str | None, upload: Path) -> None:
        """Registers an upload of a visitor, in a folder of its own."""
        with self._lock:
            self._given[visitor] = upload.parent
            self._of.setdefault(visitor, set()).add(upload.parent)

    def start_answer(self, visitor: str | None, upload: Path) -> Path:
        """A new folder for the result of an upload. The visitor's other folders are removed, except for those of this
        upload and of the last one."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        self._set(visitor, {upload.parent, folder, self._given.get(visitor, folder)})
        return folder

    def forget(self, visitor: str | None) -> None:
        """Removes the folders of a visitor who leaves."""
        self._given.pop(visitor, None)
        self._set(visitor, set())

    def _set(self, visitor, folders):
        with self._lock:
            old = self._of.pop(visitor, set())
            if folders:
                self._of[visitor] = folders
            # Gradio keeps one copy of equal files of several visitors.
            for folder in old.difference(*self._of.values()):
                shutil.rmtree(folder, ignore_errors=True)


def upscale_upload(
    source: Path, folder: Path, upscaler: "Upscaler", max_pixels: int, progress: Callable[[float], object]
) -> tuple[Path, Path, Path]:
    """Upscales a visitor's file as `srgan upscale` does.

    Args:
        source: The file.
        folder: The folder for the results.
        upscaler: The `Upscaler`.
        max_pixels: Height times width that the image may have.
        progress: Called with the finished share, from 0 to 1.

    Returns:
        `(result, before, after)`: the result; and the image and the result as files that a browser shows.

    Raises:
        UserError: The file is refused; the message starts with its name without the folder.
    """
    try:
        height, width = files.probe(source)
        if height * width > max_pixels:
            megapixels = f"{height * width / 1e6:.1f} megapixels, and this page takes {max_pixels / 1e6:g} at most"
            raise UserError(f"{source}: {width}x{height} are {megapixels}; srgan upscale takes more")
        name, kind = output_name(source)
        result = folder / f"{Path(name).stem}_x{upscaler.scale}{Path(name).suffix}"
        advance = _advance(progress, height * width)
        failures = jobs.run([Job(source, result, kind)], upscaler, max_pixels=max_pixels, progress=advance)
        if failures:
            raise failures[0]
        before = _as_png(source, folder / "before.png", max_pixels)
        shown = kind in _BROWSERS_SHOW
        after = result if shown else _as_png(result, folder / "after.png", max_pixels * upscaler.scale**2)
    except UserError as error:
        raise UserError(str(error).replace(str(source), source.name).replace(str(folder) + os.sep, "")) from None
    return result, before, after


def _message(text="", refused=False):
    return f'<p role="status"{" class=refused" if refused else ""}>{html.escape(text)}</p>'


def _names_url(value):
    """Whether a value from a client is a file, or holds one, that Gradio would download."""
    if isinstance(value, dict):
        is_url = str(value.get("path")).lower().startswith(("http:", "https:"))
        return is_url or any(map(_names_url, value.values()))
    return isinstance(value, list) and any(map(_names_url, value))


def _advance(progress, pixels):
    """A function to be called with numbers of finished pixels, which calls `progress` with their share of `pixels`."""
    done = 0

    def advance(more):
        nonlocal done
        done += more
        progress(done / pixels)

    advance(0)
    return advance


def _as_png(source, target, max_pixels):
    """Converts an image to an upright PNG."""
    with open_raster(source, max_pixels) as raster:
        tops = range(0, raster.height, _ROWS)
        strips = (raster.rows(top, min(top + _ROWS, raster.height)) for top in tops)
        write_raster(target, raster, strips, (raster.height, raster.width), kind="png")
    return target


def build_page(
    load: Callable[[str, float], "Upscaler"], names: Sequence[str], max_pixels: int, folder: Path, dialed: str = ""
) -> "gradio.Blocks":
    """Builds the page, which `launch` serves.

    Args:
        load: `load(name, strength)` returns an `Upscaler`.
        names: The names of the weights to choose from, the default first.
        max_pixels: Height times width that an image may have.
        folder: The folder for images while they are needed.
        dialed: The name with an adjustable strength, 0 to 1; that of the others is 1.
    """
    # Gradio reads these when its components are made.
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
    import gradio as gr

    pictures, load = Pictures(folder), functools.lru_cache(_CACHED)(load)

    class Page(gr.Blocks):
        async def preprocess_data(self, block_fn, inputs, *args, **options):
            if _names_url(inputs):
                raise gr.Error("An image must be uploaded; this page downloads none.")
            return await super().preprocess_data(block_fn, inputs, *args, **options)

    bar = gr.Progress()  # as a default argument, it tells Gradio that the function reports progress

    def answer(upload, weights, strength, mapped, request: gr.Request, progress=bar):
        if (upload := pictures.find(upload)) is None:
            text = "Choose an image first; it is kept for ten minutes."
            return None, gr.skip(), gr.skip(), _message(text, refused=True)
        try:
            answers = pictures.start_answer(request.session_hash, upload)
            progress(0, desc=f"Loading {weights}")
            upscaler = load(weights, strength if weights == dialed else 1)
            show = functools.partial(progress, desc=f"Upscaling {upscaler.scale} times")
            result, before, after = upscale_upload(upload, answers, upscaler, max_pixels, show)
            invented, share = answers / "invention.png", ""
            if mapped:
                show = functools.partial(progress, desc="Mapping what is invented")
                advance = _advance(show, math.prod(files.probe(upload)))
                share = f" Invented: {write_map(upload, invented, upscaler, max_pixels, progress=advance)}."
        except (UserError, MemoryError) as error:
            text = str(error) or "out of memory; try a smaller image"
            return None, gr.Image(visible=False), gr.DownloadButton(interactive=False), _message(text, refused=True)
        (height, width), name = files.probe(result), result.name
        how = f"{weights} at strength {strength:g}" if weights == dialed else weights
        return (
            (str(before), str(after)),
            gr.Image(str(invented) if mapped else None, visible=mapped),
            gr.DownloadButton(value=str(result), interactive=True),
            _message(f"{name}: {width}x{height} pixels, with {how}. Move the line to compare; scroll to zoom.{share}"),
        )

    def take(upload, request: gr.Request):
        if path := pictures.find(upload):
            pictures.take(request.session_hash, path)

    def leave(request: gr.Request):
        pictures.forget(request.session_hash)

    limit = f"{max_pixels / 1e6:g} megapixels at most; PNG, JPEG, WebP, TIFF, BMP or GIF."
    with Page(title="srgan", analytics_enabled=False, delete_cache=(_LOOK_SECONDS, KEEP_SECONDS)) as page:
        gr.Markdown(
            f"# Larger images\nA photograph, upscaled by SRGAN. {limit} It is not kept after you leave the page."
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(label="Image: drop, paste or choose it", height=190, elem_id="picture")
                choices = [(_LABELS.get(name, name), name) for name in names]
                weights = gr.Radio(choices, value=names[0], label="Weights", elem_id="weights")
                strength = gr.Slider(
                    0,
                    1,
                    value=1,
                    step=0.05,
                    label="Strength",
                    info="1 is sharp; 0 invents the least",
                    visible=names[0] == dialed,
                    elem_id="strength",
                )
                mapped = gr.Checkbox(label="Map what is invented", info="three times the work", elem_id="mapped")
                start = gr.Button("Upscale", variant="primary", elem_id="start")
                message = gr.HTML(_message(), elem_id="message", padding=False)
                download = gr.DownloadButton("Download", interactive=False, elem_id="download")
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(
                    label="Before and after", type="filepath", buttons=["fullscreen"], max_height=640, elem_id="slider"
                )
                error_map = gr.Image(
                    label="What is invented: expected error",
                    type="filepath",
                    visible=False,
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id="map",
                )
        upload.upload(take, upload, api_visibility="private", queue=False, show_progress="hidden")
        start.click(
            answer,
            [upload, weights, strength, mapped],
            [slider, error_map, download, message],
            api_visibility="private",
            show_progress_on=slider,
            concurrency_limit=1,
        )
        weights.change(
            lambda name: gr.Slider(visible=name == dialed),
            weights,
            strength,
            api_visibility="private",
            queue=False,
            show_progress="hidden",
        )
        page.unload(leave)
    return page.queue(max_size=QUEUE, default_concurrency_limit=1)


def launch(page: "gradio.Blocks", host: str, port: int | None, max_pixels: int) -> str:
    """Serves a page by threads of this process. Neither the process nor the browser connects to other servers.

    Args:
        page: Of `build_page`.
        host: Address to listen on.
        port: Port to listen on; None: the first free one from 7860 on.
        max_pixels: As in `build_page`; it limits the size of files.

    Returns:
        The page's address.

    Raises:
        UserError: The address or port is not available.
    """
    import gradio as gr

    system = ["system-ui", "sans-serif"]
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            inbrowser=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=max_pixels * _BYTES_OF_PIXEL + 2**20,
            theme=gr.themes.Default(font=system, font_mono=["ui-monospace", "monospace"]),
            css=_CSS,
            js=_PASTE,
        )
    except OSError as error:
        raise UserError(
            f"{host}:{port or 7860}: cannot be listened on ({error}); give another --host or --port"
        ) from None
    return address

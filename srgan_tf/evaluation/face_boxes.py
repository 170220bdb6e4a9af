"""Finds faces by MTCNN (Zhang et al. 2016), as davidsandberg/facenet aligns them for FaceNet."""

import functools

import numpy as np
from numpy.typing import NDArray

from srgan_tf.system.errors import UserError

DETECTOR_BYTES = 400 << 20  # memory of MTCNN with 16 images
MARGIN = 16  # added on each side, pixels: `align_dataset_mtcnn.py --margin 32`
# The median box in LFW, deep-funneled, for images in which no face is found: left, top, width, height.
_MEDIAN = (79, 64, 91, 123)


def face_boxes(images: NDArray[np.uint8]) -> list[tuple[slice, slice]]:
    """The rows and columns of the face in each image of LFW, with a margin around it.

    Of several faces, the one with the largest area less twice the squared distance of its centre from the image's is
    taken, as in `align_dataset_mtcnn.py`.

    Args:
        images: uint8 RGB `(N, 250, 250, 3)`. Boxes may move by a pixel or two with the other images of the batch.

    Raises:
        UserError: The package `mtcnn` is not installed.
    """
    height, width = images.shape[1:3]

    def prominence(box):
        left, top, across, down = box
        return across * down - 2 * ((left + across / 2 - width / 2) ** 2 + (top + down / 2 - height / 2) ** 2)

    boxes = []
    for faces in _detector().detect_faces(list(images)):
        left, top, across, down = max((tuple(map(int, face["box"])) for face in faces), key=prominence, default=_MEDIAN)
        rows = slice(max(top - MARGIN, 0), min(top + down + MARGIN, height))
        boxes.append((rows, slice(max(left - MARGIN, 0), min(left + across + MARGIN, width))))
    return boxes


@functools.cache
def _detector():
    try:
        import mtcnn
    except ImportError:
        advice = "pip install 'srgan_tf[faces]', or give --face_crop=130"
        raise UserError(f"faces needs MTCNN to find the faces in LFW's 250x250 images: {advice}") from None
    return mtcnn.MTCNN()

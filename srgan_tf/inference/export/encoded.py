"""Decodes images inside a TensorFlow graph, after checking their headers."""

import tensorflow as tf

# Limit of the chunks or segments of a file, which take 20 microseconds each.
_MOST_PARTS = 2**16
_PNG, _RIFF, _WEBP, _GIF = b"\x89PNG\r\n\x1a\n", b"RIFF", b"WEBP", b"GIF8"
_ORIENTATION = 0x0112  # tag of EXIF


def require(condition, message: str, *others) -> tf.Operation:
    """An operation for `tf.control_dependencies` that fails a request if a condition does not hold."""
    return tf.debugging.Assert(condition, [message, *others])


def decode_upright(content: tf.Tensor, most: float) -> tf.Tensor:
    """Decodes an image to RGB, with the orientation of EXIF applied: PNG, JPEG, BMP, still WebP, the first of a GIF.

    Alpha is dropped, and 16 bits become 8.

    Args:
        content: A string `()`.
        most: Largest number of pixels; a larger image is refused by its header, before it is decoded.

    Returns:
        uint8 `(H, W, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: When it is computed: it has more pixels, or cannot be read.
    """
    with tf.control_dependencies([require(tf.strings.length(content) > 0, "image_bytes is empty")]):
        content = tf.identity(content)
    width, height, orientation, content = _header(content)
    known = require(width * height > 0, "Unknown image file format; give PNG, JPEG, BMP, GIF or a still WebP")
    few = require(width * height <= most, "An image is larger than this model takes, in pixels:", width * height, most)
    with tf.control_dependencies([known, few]):
        image = _decode(tf.identity(content))
    return _turned(image, orientation)


def _header(content):
    """Width and height, float64; orientation, 1 to 8, int64; and the content up to the end of the first image."""
    width = height = tf.constant(0.0, tf.float64)
    orientation = tf.constant(1, tf.int64)
    if _text(content, 0, 8) == _PNG:
        width, height = _float(_number(content, 16, 4)), _float(_number(content, 20, 4))
        orientation = _png_orientation(content)
    elif tf.io.is_jpeg(content):
        shape = tf.cast(tf.io.extract_jpeg_shape(content), tf.float64)
        width, height = shape[1], shape[0]
        orientation = _jpeg_orientation(content)
    elif _text(content, 0, 4) == _RIFF and _text(content, 8, 4) == _WEBP:
        width, height, orientation = _webp_header(content)
    elif _text(content, 0, 4) == _GIF:
        width, height, content = _gif_header(content)
    elif _text(content, 0, 2) == b"BM":
        # A negative number of 32 bits if the rows are stored from top to bottom.
        down = _number(content, 22, 4, little=True)
        width, height = _float(_number(content, 18, 4, little=True)), _float(tf.minimum(down, 2**32 - down))
    return width, height, orientation, content


def _png_orientation(content):
    orientation, at = tf.constant(1, tf.int64), tf.constant(8, tf.int64)
    while at + 12 <= _length(content):
        tf.autograph.experimental.set_loop_options(maximum_iterations=_MOST_PARTS)
        size = _number(content, at, 4)
        if _text(content, at + 4, 4) == b"eXIf":
            orientation = _exif_orientation(_text(content, at + 8, size))
        at += 12 + size
    return orientation


def _jpeg_orientation(content):
    orientation, at = tf.constant(1, tf.int64), tf.constant(2, tf.int64)
    while at + 4 <= _length(content):
        tf.autograph.experimental.set_loop_options(maximum_iterations=_MOST_PARTS)
        marker = _number(content, at, 2)
        size = _number(content, at + 2, 2)
        if marker == 0xFFE1 and _text(content, at + 4, 6) == b"Exif\0\0" and orientation == 1:
            orientation = _exif_orientation(_text(content, at + 10, tf.maximum(size - 8, 0)))
        if marker == 0xFFDA or marker < 0xFF01:  # the image data, or not a marker
            at = _length(content)
        elif marker == 0xFFFF:  # a marker may have any number of these before it
            at += 1
        else:
            at += 2 + size
    return orientation


def _webp_header(content):
    width = height = orientation = tf.constant(1, tf.int64)
    at = tf.constant(12, tf.int64)
    while at + 18 <= _length(content):
        tf.autograph.experimental.set_loop_options(maximum_iterations=_MOST_PARTS)
        name, size = _text(content, at, 4), _number(content, at + 4, 4, little=True)
        if name == b"VP8X":
            width = tf.maximum(width, 1 + _number(content, at + 12, 3, little=True))
            height = tf.maximum(height, 1 + _number(content, at + 15, 3, little=True))
        elif name == b"VP8L":
            bits = _number(content, at + 9, 4, little=True)
            width = tf.maximum(width, 1 + bits % 2**14)
            height = tf.maximum(height, 1 + bits // 2**14 % 2**14)
        elif name == b"VP8 ":
            width = tf.maximum(width, _number(content, at + 14, 2, little=True) % 2**14)
            height = tf.maximum(height, _number(content, at + 16, 2, little=True) % 2**14)
        elif name == b"EXIF":
            exif = _text(content, at + 8, size)
            prefix = tf.where(_text(exif, 0, 6) == b"Exif\0\0", 6, 0)
            orientation = _exif_orientation(_text(exif, prefix, size))
        at += 8 + size + size % 2
    # TensorFlow decodes the first image of an animation only with alpha, so animations are refused.
    animated = _text(content, 12, 4) == b"VP8X" and _number(content, 20, 1) // 2 % 2 == 1
    return _float(tf.where(animated, tf.zeros_like(width), width)), _float(height), orientation


def _webp_has_alpha(content):
    """Whether the first chunk says that it is a WebP with alpha."""
    if _text(content, 0, 4) != _RIFF:
        return False
    if _text(content, 12, 4) == b"VP8X":
        return _number(content, 20, 1) // 2**4 % 2 == 1
    return _text(content, 12, 4) == b"VP8L" and _number(content, 21, 4, little=True) // 2**28 % 2 == 1


def _gif_header(content):
    """The size of the first image, and the content up to its end, since TensorFlow would decode all images."""
    width, height = _number(content, 6, 2, little=True), _number(content, 8, 2, little=True)
    at, ended = 13 + _color_table(content, 10), tf.constant(False)
    while at + 2 <= _length(content) and not ended:
        tf.autograph.experimental.set_loop_options(maximum_iterations=_MOST_PARTS)
        introducer = _number(content, at, 1)
        if introducer == 0x21:  # an extension: its label, and blocks
            at = _after_blocks(content, at + 2)
        elif introducer == 0x2C:
            width = tf.maximum(width, _number(content, at + 5, 2, little=True))
            height = tf.maximum(height, _number(content, at + 7, 2, little=True))
            at = _after_blocks(content, at + 11 + _color_table(content, at + 9))
            ended = tf.constant(True)
        else:
            at = _length(content)
    return _float(width), _float(height), tf.strings.join([_text(content, 0, at), b";"])


def _color_table(content, at):
    """Bytes of the color table according to the flags at `at`."""
    flags = _number(content, at, 1)
    return tf.where(flags >= 128, 3 * 2 ** (flags % 8 + 1), 0)


def _after_blocks(content, at):
    """The end of the blocks that start at `at`; each starts with its size, and the last one has size 0."""
    size = tf.constant(1, tf.int64)
    while size > 0:
        tf.autograph.experimental.set_loop_options(maximum_iterations=_MOST_PARTS)
        size = _number(content, at, 1)
        at += 1 + size
    return at


def _exif_orientation(exif):
    """The orientation in EXIF, 1 to 8; 1 if there is none."""
    little = _text(exif, 0, 4) == b"II*\0"
    start = _either(exif, 4, 4, little)
    count = _either(exif, start, 2, little)
    entries = tf.cast(tf.io.decode_raw(_text(exif, start + 2, 12 * count), tf.uint8), tf.int64)
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))
    weights = tf.where(little, tf.constant([1, 256], tf.int64), tf.constant([256, 1], tf.int64))
    found = tf.boolean_mask(entries[:, 8:10], tf.reduce_sum(entries[:, :2] * weights, 1) == _ORIENTATION)
    # The first entry, or else 1.
    value = tf.concat([tf.reduce_sum(found * weights, 1), [1]], 0)[0]
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _decode(content):
    if tf.io.is_jpeg(content):
        # With TensorFlow's default, which is less accurate, JPEG comes out up to five levels off what Pillow reads.
        image = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    elif _webp_has_alpha(content):
        # It allows only the file's number of channels; with the default, TensorFlow 2.21 frees memory twice.
        image = tf.io.decode_image(content, channels=4, expand_animations=False)[..., :3]
    else:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
    return tf.ensure_shape(image, (None, None, 3))


def _turned(image, orientation):
    """Applies an EXIF orientation."""
    if orientation >= 5:
        image = tf.transpose(image, (1, 0, 2))
    if (orientation - 2) % 4 < 2:  # 2, 3, 6, 7
        image = image[:, ::-1]
    if (orientation - 3) % 4 < 2:  # 3, 4, 7, 8
        image = image[::-1]
    return image


def _length(content):
    return tf.cast(tf.strings.length(content), tf.int64)


def _text(content, at, count):
    """`count` bytes from `at` on, or fewer at the end."""
    at, count = tf.cast(at, tf.int64), tf.cast(count, tf.int64)
    return tf.strings.substr(content, tf.minimum(at, _length(content)), count)


def _number(content, at, count, little=False):
    """The number in `count` bytes from `at` on, int64; bytes beyond the end are 0."""
    digits = tf.io.decode_raw(tf.strings.join([_text(content, at, count), bytes(count)]), tf.uint8)[:count]
    powers = [256**place for place in range(count)]
    return tf.reduce_sum(tf.cast(digits, tf.int64) * (powers if little else powers[::-1]))


def _either(content, at, count, little):
    """`_number` with a byte order given by a tensor."""
    return tf.where(little, _number(content, at, count, True), _number(content, at, count))


def _float(number):
    return tf.cast(number, tf.float64)

"""VGG19's feature maps, the phi of equation (5)."""

import warnings
from pathlib import Path

import keras

import srgan_tf.system.keras_settings  # noqa: F401
from srgan_tf.models.hdf5 import open_hdf5, require_finite
from srgan_tf.system.errors import UserError, reason

# phi_(i,j): the j-th convolution, after its ReLU, before the i-th max pooling; pool4 is the seminar's choice.
LAYERS = {"vgg22": "block2_conv2", "vgg54": "block5_conv4", "pool4": "block4_pool"}


def build_vgg(features: str, path: str = "") -> keras.Model:
    """Builds VGG19 up to one layer, with Keras' own preprocessing in front.

    Args:
        features: `"vgg22"`, `"vgg54"` or `"pool4"`.
        path: A weights file without the top, in Keras' layout. Empty: Keras downloads its own.

    Returns:
        A frozen `keras.Model`. Input: `(N, H, W, 3)` RGB in [-1, 1]. Output: the feature map `(N, H', W', C)`.

    Raises:
        UserError: The file is missing, does not fit or is refused, see `hdf5`; or the download failed.
    """
    if path and not Path(path).is_file():
        raise UserError(f"{path}: no such VGG19 weights file (--vgg_path)")
    picture = keras.Input((None, None, 3), name="picture")
    # [-1, 1] -> [0, 255], then BGR with the ImageNet mean subtracted.
    caffe = keras.applications.vgg19.preprocess_input((picture + 1) * 127.5)
    try:
        if path:
            with open_hdf5(path):
                pass
        with warnings.catch_warnings():
            # Keras only warns where a layer finds nothing in the file and keeps its random weights.
            warnings.simplefilter("error", UserWarning)
            vgg = keras.applications.VGG19(weights=path or "imagenet", include_top=False, input_tensor=caffe)
    except UserError:
        raise
    except Exception as error:  # keras.utils.get_file raises a bare Exception when a download fails
        if path:
            raise UserError(f"{path}: not VGG19's weights without the top ({reason(error)})") from None
        how = "name a file with --vgg_path, or use --content_loss=mse"
        raise UserError(f"VGG19's weights cannot be downloaded ({reason(error)}); {how}") from None
    model = keras.Model(picture, vgg.get_layer(LAYERS[features]).output, name=features)
    require_finite(path or "VGG19", model)
    model.trainable = False
    return model

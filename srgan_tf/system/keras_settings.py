"""Overrides settings of the user's keras.json; imported for this purpose by modules that build Keras layers."""

import keras

keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
keras.config.set_epsilon(1e-7)

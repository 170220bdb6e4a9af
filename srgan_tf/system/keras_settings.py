"""Sets what the user's keras.json may have set otherwise; imported for this by what builds Keras layers."""

import keras

keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
keras.config.set_epsilon(1e-7)

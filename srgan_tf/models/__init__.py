"""Networks in pure Keras 3: they build under any Keras backend."""

"""SRGAN in TensorFlow and Keras: pictures four times as large, trained, measured and exported."""

"""The digits network as an introduction to deep learning writes it in Keras. Run by train_speed.py in .venv-bench."""

import argparse
import json
import os
import resource
import statistics
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int)
chosen = options.parse_args()
keras.utils.set_random_seed(chosen.seed)
kept = np.load(chosen.digits)
images, labels = kept["images"].reshape(-1, 28, 28, 1).astype("float32") / 255, kept["labels"]


class Clock(keras.callbacks.Callback):
    """Seconds an epoch, validation included."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.begin)


model = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(32, (3, 3), activation="relu"),
        keras.layers.MaxPooling2D((2, 2)),
        keras.layers.Conv2D(64, (3, 3), activation="relu"),
        keras.layers.MaxPooling2D((2, 2)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
clock = Clock()
history = model.fit(
    images[:4000],
    labels[:4000],
    batch_size=32,
    epochs=chosen.epochs,
    validation_data=(images[4000:], labels[4000:]),
    verbose=0,
    callbacks=[clock],
)
print(
    json.dumps(
        {
            "images_per_s": 4000 / statistics.median(clock.seconds[1:]),
            "accuracy": max(history.history["val_accuracy"]),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)

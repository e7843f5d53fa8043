"""Keras Tuner's BayesianOptimization, as its documentation shows it. Run by search_speed.py in .venv-bench."""

import argparse
import json
import os
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import keras_tuner
import numpy as np
from keras import layers, regularizers

TRAIN, VALIDATION = 3500, 750
options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--trials", type=int)
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int)
chosen = options.parse_args()
keras.utils.set_random_seed(chosen.seed)
kept = np.load(chosen.digits)
images, labels = kept["images"].reshape(-1, 28, 28, 1).astype("float32") / 255, kept["labels"]
end, epochs = TRAIN + VALIDATION, 0


class Digits(keras_tuner.HyperModel):
    """The network and its batch size."""

    def build(self, hp):
        activation = hp.Choice("activation", ["relu", "tanh", "sigmoid"])
        l2 = regularizers.L2(hp.Float("l2", 1e-6, 1e-2, sampling="log", default=1e-5))
        rate = hp.Float("lr", 1e-4, 1e-1, sampling="log", default=1e-3)
        kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[hp.Choice("optimizer", ["adam", "sgd"])]
        model = keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(32, (3, 3), activation=activation, kernel_regularizer=l2),
                layers.MaxPooling2D((2, 2)),
                layers.Conv2D(64, (3, 3), activation=activation, kernel_regularizer=l2),
                layers.MaxPooling2D((2, 2)),
                layers.Flatten(),
                layers.Dense(128, activation=activation, kernel_regularizer=l2),
                layers.Dropout(hp.Float("dropout", 0.0, 0.5, default=0.1)),
                layers.Dense(10, activation="softmax", kernel_regularizer=l2),
            ]
        )
        model.compile(kind(learning_rate=rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, **kwargs):
        global epochs
        history = model.fit(*args, batch_size=hp.Choice("batch", [32, 64, 128]), **kwargs)
        epochs += len(history.history["val_accuracy"])
        return history


with tempfile.TemporaryDirectory() as folder:
    tuner = keras_tuner.BayesianOptimization(
        Digits(),
        objective="val_accuracy",
        max_trials=chosen.trials,
        seed=chosen.seed,
        directory=folder,
        overwrite=True,
    )
    tuner.search(
        images[:TRAIN],
        labels[:TRAIN],
        validation_data=(images[TRAIN:end], labels[TRAIN:end]),
        epochs=chosen.epochs,
        verbose=0,
    )
    best = tuner.oracle.get_best_trials(1)[0].score
print(json.dumps({"best": best, "epochs": epochs}))

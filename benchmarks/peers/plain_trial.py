"""One trial of the digits network as PyTorch's tutorials write it, for the searches that drive it epoch by epoch."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

TRAIN, VALIDATION = 3500, 750
FIRST = {"activation": "relu", "lr": 1e-3, "l2": 1e-5, "dropout": 0.1, "batch": 32, "optimizer": "adam"}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def load(path: str) -> tuple[TensorDataset, TensorDataset]:
    kept = np.load(path)
    images = torch.from_numpy(kept["images"]).unsqueeze(1).float() / 255
    labels, end = torch.from_numpy(kept["labels"]), TRAIN + VALIDATION
    return TensorDataset(images[:TRAIN], labels[:TRAIN]), TensorDataset(images[TRAIN:end], labels[TRAIN:end])


def train(point: dict, data: tuple[TensorDataset, TensorDataset], epochs: int, seed: int) -> Iterator[float]:
    """The validation accuracy after each epoch."""
    torch.manual_seed(seed)
    active = ACTIVATIONS[point["activation"]]
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), active(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), active(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(1600, 128), active(), nn.Dropout(point["dropout"]), nn.Linear(128, 10),
    )  # fmt: skip
    kind = torch.optim.Adam if point["optimizer"] == "adam" else torch.optim.SGD
    optimizer = kind(model.parameters(), lr=point["lr"], weight_decay=point["l2"])
    loss_of = nn.CrossEntropyLoss()
    taught = DataLoader(data[0], batch_size=point["batch"], shuffle=True)
    judged = DataLoader(data[1], batch_size=point["batch"])
    for _ in range(epochs):
        model.train()
        for x, y in taught:
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            yield sum(int((model(x).argmax(1) == y).sum()) for x, y in judged) / len(data[1])

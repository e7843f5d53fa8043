"""The digits network in PyTorch as its tutorials write it: TensorDataset, DataLoader, Adam. Run by train_speed.py."""

import argparse
import json
import resource
import statistics
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

options = argparse.ArgumentParser()
options.add_argument("--digits")
options.add_argument("--epochs", type=int)
options.add_argument("--seed", type=int)
chosen = options.parse_args()
torch.manual_seed(chosen.seed)
device = "cuda" if torch.cuda.is_available() else "cpu"
kept = np.load(chosen.digits)
images = torch.from_numpy(kept["images"]).unsqueeze(1).float() / 255
labels = torch.from_numpy(kept["labels"])
train = DataLoader(TensorDataset(images[:4000], labels[:4000]), batch_size=32, shuffle=True)
validation = DataLoader(TensorDataset(images[4000:], labels[4000:]), batch_size=32)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(1600, 128),
    nn.ReLU(),
    nn.Linear(128, 10),
).to(device)
loss_of = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
seconds, best = [], 0.0
for _ in range(chosen.epochs):
    begin = time.perf_counter()
    model.train()
    for x, y in train:
        x, y = x.to(device), y.to(device)
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x.to(device)).argmax(1).cpu() == y).sum()) for x, y in validation)
    best = max(best, right / 1000)
    seconds.append(time.perf_counter() - begin)
print(
    json.dumps(
        {
            "images_per_s": 4000 / statistics.median(seconds[1:]),
            "accuracy": best,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    )
)

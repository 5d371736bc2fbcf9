# SPDX-License-Identifier: Apache-2.0
"""The reference network's training step in PyTorch, on the CPU: both memory layouts, single- and multi-tensor Adam."""
import peer
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 1024), nn.ReLU(), nn.Dropout(peer.DROPOUT), nn.Linear(1024, 10))

    def forward(self, x):
        return self.layers(x)


def make_step(images, labels, channels_last, foreach):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = Network().to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=peer.LEARNING_RATE, foreach=foreach)
    loss_of = nn.CrossEntropyLoss()
    x = [torch.from_numpy(b).permute(0, 3, 1, 2).contiguous(memory_format=layout) for b in images]
    y = [torch.from_numpy(b).long() for b in labels]

    def step(i):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(model(x[i % peer.BATCHES]), y[i % peer.BATCHES])
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def main():
    args = peer.ARGS
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    images, labels = peer.batches(args)
    variants = {}
    for channels_last in (False, True):
        for foreach in (False, True):
            name = ("NHWC" if channels_last else "NCHW") + (", foreach Adam" if foreach else "")
            variants[name] = make_step(images, labels, channels_last, foreach)
    peer.run("PyTorch", torch.__version__, args, variants)


if __name__ == "__main__":
    main()

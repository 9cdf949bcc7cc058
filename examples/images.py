"""A convolutional network for handwritten digits, with augmentation and a confusion matrix.

The 1,797 digits that scikit-learn carries are images of 8 x 8 pixels. Half of them train the network. In each batch every
image is shifted at random by up to one pixel: the network sees a new version of a digit each time, and learns that its place
means nothing. The shifts are part of the compiled program, as are the batches and the optimizer.

The baseline is the nearest mean: the digit whose average image is the closest.

    python examples/images.py
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

import retrograde as rg
from retrograde import nn, optim

EPOCHS, BATCH = 25, 32


def load():
    """Images (points, channels, height, width) from 0 to 1, as a convolution takes them, and their digits."""
    digits = load_digits()
    images = (digits.images / 16.0).astype(np.float32)[:, np.newaxis]
    return train_test_split(images, digits.target, test_size=0.5, stratify=digits.target, random_state=0)


def nearest_mean(X, y, X_test):
    means = np.stack([X[y == digit].mean(axis=0) for digit in range(10)])
    return np.square(X_test[:, np.newaxis] - means).sum(axis=(2, 3, 4)).argmin(axis=1)


def block(channels_in, channels_out):
    return nn.Conv2d(channels_in, channels_out, 3, padding="same", bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()


def main():
    X, X_test, y, y_test = load()
    net = nn.Sequential(
        *block(1, 16), *block(16, 16), nn.MaxPool2d(2),
        *block(16, 32), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 4, 10),
    )  # fmt: skip
    updates = EPOCHS * -(-len(X) // BATCH)
    schedule = optim.schedules.OneCycleLR(1e-2, updates)
    run = rg.fit(
        net, (X, y), loss=nn.CrossEntropyLoss(label_smoothing=0.05), optimizer=optim.Scheduled(optim.AdamW(), schedule),
        batch_size=BATCH, epochs=EPOCHS, augment=nn.augment.random_crop(1), seed=0,
    )  # fmt: skip
    found = run.model(X_test).argmax(axis=1)
    print(f"{net}\n{run.model.num_parameters:,} parameters, {run.updates_per_second:,.0f} updates a second\n")
    print(f"nearest mean: {100 * np.mean(nearest_mean(X, y, X_test) == y_test):.2f} % of {len(y_test)} test images are right")
    print(f"network:      {100 * np.mean(found == y_test):.2f} %\n")
    print("rows: the digit; columns: what the network says\n")
    print(f"    {'  '.join(f'{digit:2}' for digit in range(10))}")
    for digit, row in enumerate(confusion_matrix(y_test, found)):
        print(f"{digit}   {'  '.join(f'{count:2}' if count else ' .' for count in row)}")


if __name__ == "__main__":
    main()

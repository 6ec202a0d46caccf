"""What encoded gradients lose: error against bits and workers, training, and when they pay.

    python benches/gradients.py [--steps 200] [--repeats 5]

A network with one hidden layer learns to predict 64 coordinates of the shipped sentence embeddings
from the other 320. Workers have batches of their own. Each encodes its gradient in rows of some
4,096 values and sends the codes; all decode them and take the mean.

The first table is the error of the mean, E|mean of decoded − mean|² over the mean of |gradient|²,
which is the measure of DRIVE (arXiv 2105.08339), in the middle of the training. With a seed of its
own for each worker the errors are independent, and the error falls as one over the workers. With
one seed for all, workers with similar gradients make similar errors; the last columns are of equal
gradients, the worst case. The second table is the loss after a training with encoded gradients, on
the rows of the training and on others. Seeds change from step to step unless the line says
otherwise. With error feedback each worker adds to its gradient what was lost in the step before.
The third table is the time to encode and to decode on one thread, and the speed of the network
below which encoding is faster than a ring all-reduce of float32 values if nothing overlaps.
"""

import argparse
import time

import numpy as np

import blockquant as bq
import common

INPUTS, HIDDEN = 320, 512
ROWS_PER_BATCH = 64
#: The most values per row of a quantizer.
MOST = 4096
RATE = 0.05
METHODS = ("blockquant/unbiased", "eden/unbiased")


class Network:
    """Weights as one vector, and the gradient of the squared error."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.shapes = ((INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, 384 - INPUTS), (384 - INPUTS,))
        sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.ends = np.cumsum(sizes)[:-1]
        scales = (INPUTS**-0.5, 0.0, HIDDEN**-0.5, 0.0)
        parts = [
            scale * rng.standard_normal(size) for scale, size in zip(scales, sizes, strict=True)
        ]
        self.weights = np.concatenate(parts).astype(np.float32)

    def parts(self):
        pieces = np.split(self.weights, self.ends)
        return [piece.reshape(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def forward(self, x):
        first, bias, second, last = self.parts()
        hidden = np.tanh(x[:, :INPUTS] @ first + bias)
        return hidden, hidden @ second + last - x[:, INPUTS:]

    def loss(self, x):
        """The squared error as a share of that of predicting zeros."""
        _, error = self.forward(x)
        return float(np.square(error).sum() / np.square(x[:, INPUTS:]).sum())

    def gradient(self, x):
        _, _, second, _ = self.parts()
        hidden, error = self.forward(x)
        error = error / len(x)
        back = (error @ second.T) * (1 - hidden**2)
        parts = (x[:, :INPUTS].T @ back, back.sum(0), hidden.T @ error, error.sum(0))
        return np.concatenate([part.ravel() for part in parts])


def in_rows(gradient):
    """Rows of at most MOST values, as equal as they can be; few zeros fill the last."""
    count = -(-len(gradient) // MOST)
    return np.pad(gradient, (0, -len(gradient) % count)).reshape(count, -1)


def sent(name, bits, seed, gradient):
    """What the others decode."""
    rows = in_rows(gradient)
    q = bq.create(name, dim=rows.shape[1], bits=bits, seed=seed)
    return q.decode(q.encode(rows)).ravel()[: len(gradient)]


def batches(x, workers, rng):
    return [x[rng.integers(0, len(x), ROWS_PER_BATCH)] for _ in range(workers)]


def mean_error(gradients, name, bits, seeds):
    """E|mean of decoded − mean|² over the mean of |gradient|², with a seed for each worker."""
    decoded = [sent(name, bits, s, g) for s, g in zip(seeds, gradients, strict=True)]
    error = np.square(np.mean(decoded, 0) - np.mean(gradients, 0)).sum()
    return error / np.mean([np.square(g).sum() for g in gradients])


def errors(network, x, repeats):
    counts = (1, 4, 16)
    heads = [f"{count} own" for count in counts] + [f"{count} one" for count in counts[1:]]
    heads += [f"{count} equal" for count in counts[1:]]
    print(f"{'bits':>4} {'method':<20}" + "".join(f"{head:>10}" for head in heads))
    for bits in (0.5, 1, 2, 3, 4):
        for name in METHODS:
            if bits < 1 and name.startswith("eden"):
                continue
            rows = []
            for repeat in range(repeats):
                rng = np.random.default_rng(repeat)
                gradients = [network.gradient(part) for part in batches(x, counts[-1], rng)]
                own = [repeat * counts[-1] + i for i in range(counts[-1])]
                one = [repeat] * counts[-1]
                rows.append(
                    [mean_error(gradients[:n], name, bits, own[:n]) for n in counts]
                    + [mean_error(gradients[:n], name, bits, one[:n]) for n in counts[1:]]
                    + [mean_error(gradients[:1] * n, name, bits, one[:n]) for n in counts[1:]]
                )
            figures = "".join(f"{error:10.2g}" for error in np.mean(rows, 0))
            print(f"{bits:4g} {name:<20}{figures}")


def trained(x, workers, steps, code=None, feedback=False, seeds="own"):
    """A network after some steps. `code` is the method and bits, or none for float32."""
    network, rng = Network(0), np.random.default_rng(1)
    lost = [np.zeros_like(network.weights) for _ in range(workers)]
    for step in range(steps):
        decoded = []
        for worker, rows in enumerate(batches(x, workers, rng)):
            gradient = network.gradient(rows)
            if code is None:
                decoded.append(gradient)
                continue
            seed = {"own": step * workers + worker, "one": step, "fixed": 0}[seeds]
            if feedback:
                gradient = gradient + lost[worker]
            decoded.append(sent(*code, seed, gradient))
            if feedback:
                lost[worker] = gradient - decoded[-1]
        network.weights -= np.float32(RATE) * np.mean(decoded, 0)
    return network


def trainings(x, unseen, steps, workers=4):
    unbiased, mse = "blockquant/unbiased", "blockquant/mse"
    print(f"{'gradients of ' + str(workers) + ' workers':<58}{'trained':>8}{'others':>8}")
    lines = [("float32", None, {})]
    for bits in (0.5, 1, 2):
        lines += [
            (f"{bits} bits {unbiased}, a seed per worker", (unbiased, bits), {}),
            (f"{bits} bits {unbiased}, one seed for all", (unbiased, bits), {"seeds": "one"}),
            (f"{bits} bits {unbiased}, one seed, all steps", (unbiased, bits), {"seeds": "fixed"}),
            (f"{bits} bits {mse}, a seed per worker", (mse, bits), {}),
            (f"{bits} bits {mse}, with error feedback", (mse, bits), {"feedback": True}),
        ]
    for title, code, options in lines:
        network = trained(x, workers, steps, code, **options)
        print(f"{title:<58}{network.loss(x):8.4f}{network.loss(unseen):8.4f}")


def seconds(call):
    """The least of five times, after one call that prepares."""
    call()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def costs(gradient):
    """Time per value on one thread, and the speed of the network at which encoding pays."""
    counts = (2, 8, 32)
    heads = "".join(f"{f'{n} workers':>12}" for n in counts)
    print(f"{'bits':>4} {'method':<20}{'encode':>8}{'decode':>8}{heads}")
    bq.set_num_threads(1)
    rows = in_rows(gradient)
    for bits in (1, 2, 4):
        for name in METHODS:
            q = bq.create(name, dim=rows.shape[1], bits=bits)
            codes = q.encode(rows)
            encode = seconds(lambda q=q: q.encode(rows)) / rows.size
            decode = seconds(lambda q=q, codes=codes: q.decode(codes)) / rows.size
            speeds = []
            for n in counts:
                saved = 8 * (n - 1) / n - (n - 1) * codes.nbytes / rows.size
                speed = 8e-9 * saved / (encode + n * decode)
                speeds.append(f"{speed:.2f}" if saved > 0 else "never")
            figures = "".join(f"{speed:>12}" for speed in speeds)
            print(f"{bits:4g} {name:<20}{1e9 * encode:8.1f}{1e9 * decode:8.1f}{figures}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(common.machine())
    x = common.unit(bq.sample()[0]) * np.float32(384**0.5)
    x, unseen = x[:1600], x[1600:]
    network = trained(x, 4, options.steps // 2)
    size = len(network.weights)
    print(f"a network of {size} weights on {len(x)} shipped embeddings, {ROWS_PER_BATCH} per batch")
    print("\nerror of the mean of 1, 4 and 16 workers, with a seed of their own or one seed,")
    print(f"and of equal gradients with one seed; mean of {options.repeats} runs")
    errors(network, x, options.repeats)
    print(f"\nloss on {len(x)} rows of the training and {len(unseen)} others,", end=" ")
    print(f"after {options.steps} steps of rate {RATE}")
    trainings(x, unseen, options.steps)
    print("\nns per value on one thread, and Gbit/s of the network below which encoding pays")
    costs(network.gradient(x))


if __name__ == "__main__":
    main()

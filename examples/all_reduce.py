"""Trains with torch.distributed while the gradients travel at two bits per value.

    python examples/all_reduce.py [--workers 2] [--bits 2] [--steps 60]

Starts the workers as processes on this machine that talk by gloo. `compressed_mean` is the hook
that `DistributedDataParallel` calls with each bucket of gradients in place of its own all-reduce.
"""

import argparse
import socket
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch.multiprocessing import spawn
from torch.nn.parallel import DistributedDataParallel

import blockquant as bq

#: The most values per row of a quantizer.
MOST = 4096


@dataclass
class Compression:
    """How gradients are encoded, and what was sent."""

    bits: float
    method: str = "blockquant/unbiased"
    step: int = 0
    bytes_sent: int = 0
    values: int = 0


def compressed_mean(state, bucket):
    """The mean of the gradients of all workers, of which each sends codes.

    Unbiased codes, with a rotation for each worker and step: their errors are independent, so that
    the error of the mean falls as one over the workers, and errors do not add up over the steps.
    All workers know all seeds, so that no seed is sent.
    """
    flat = bucket.buffer()
    count = -(-len(flat) // MOST)  # rows that are as equal as they can be
    rows = torch.nn.functional.pad(flat, (0, -len(flat) % count)).view(count, -1)
    workers, rank = dist.get_world_size(), dist.get_rank()
    quantizers = [
        bq.create(state.method, dim=rows.shape[1], bits=state.bits, seed=seed)
        for seed in range(state.step * workers, (state.step + 1) * workers)
    ]
    codes = quantizers[rank].encode(rows).to_bytes()
    sent = torch.frombuffer(bytearray(codes), dtype=torch.uint8)
    received = [torch.empty_like(sent) for _ in range(workers)]
    gathered = dist.all_gather(received, sent, async_op=True).get_future()
    state.bytes_sent += len(sent)
    state.values += len(flat)
    state.step += bucket.is_last()

    def mean(_):
        total = torch.zeros_like(rows)
        for q, data in zip(quantizers, received, strict=True):
            total += torch.from_numpy(q.decode(q.codes_from(data.numpy().tobytes(), count)))
        return (total / workers).flatten()[: len(flat)]

    return gathered.then(mean)


def work(rank, workers, port, bits, steps):
    """One worker: a network that predicts a part of the embeddings from the rest."""
    torch.set_num_threads(1)
    bq.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=workers)
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(320, 256), torch.nn.Tanh(), torch.nn.Linear(256, 64)
    )
    parallel = DistributedDataParallel(network)
    state = Compression(bits)
    parallel.register_comm_hook(state, compressed_mean)
    rows = torch.from_numpy(bq.sample()[0].astype(np.float32) * 384**0.5)
    mine = torch.Generator().manual_seed(rank)
    optimizer = torch.optim.SGD(network.parameters(), lr=3.0)

    def loss(x):
        return torch.nn.functional.mse_loss(parallel(x[:, :320]), x[:, 320:])

    with torch.no_grad():
        before = float(loss(rows))
    for _ in range(steps):
        optimizer.zero_grad()
        loss(rows[torch.randint(len(rows), (64,), generator=mine)]).backward()
        optimizer.step()
    with torch.no_grad():
        after = float(loss(rows))
    # All workers decode the same codes, so that their weights stay equal bit for bit.
    weights = torch.cat([part.detach().flatten() for part in network.parameters()])
    all_weights = [torch.empty_like(weights) for _ in range(workers)]
    dist.all_gather(all_weights, weights)
    if rank == 0:
        print(
            f"{8 * state.bytes_sent / state.values:.2f} bits per value, loss {before:.3f}", end=""
        )
        equal = all(torch.equal(weights, other) for other in all_weights)
        print(f" -> {after:.3f}, weights of the workers {'equal' if equal else 'DIFFERENT'}")
    dist.barrier()  # the process of rank 0 serves the others, and may not end before them
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bits", type=float, default=2)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    with socket.socket() as free:  # a port that nobody uses
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (options.workers, port, options.bits, options.steps)
    spawn(work, arguments, nprocs=options.workers)


if __name__ == "__main__":
    main()

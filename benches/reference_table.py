"""Every cell of docs/specification.md, section 4, measured again, beside the figure printed there.

    python benches/reference_table.py [--data ../shared/data] [--seeds 3] [--rotations
    haar,hadamard]

Each cell has two figures on unit rows x and unit queries y: nmse = E|x - x_hat|^2/|x|^2, and
ip = d E[(<x_hat, y> - <x, y>)^2] over all pairs; both are means over rotation seeds. A deviation
above 2 % is marked '!', and then the exit status is 1. The output is kept in
benches/results/reference_table.txt.

The reference figures are those of the shared embeddings. On the shipped sample, which is measured
where those are missing, the `ip` of the biased scales is off by a few per cent.
"""

import argparse
import sys
import time

import numpy as np

import blockquant as bq
import common

# bits, name, block, nmse, ip (None: the table has no such cell)
CELLS = [
    (1, "blockquant/none", 8, 0.3222, 0.656),
    (1, "blockquant/mse", 8, 0.3220, 0.661),
    (1, "blockquant/unbiased", 8, 0.4755, 0.470),
    (1, "blockquant/none", 4, 0.3402, None),
    (1, "blockquant/mse", 4, 0.3401, None),
    (1, "blockquant/unbiased", 4, 0.5160, None),
    (1, "eden/mse", None, 0.3615, 0.792),
    (1, "eden/unbiased", None, 0.5674, 0.565),
    (1, "turboquant/mse", None, 0.3617, 0.793),
    (1, "turboquant/prod", None, 1.580, 1.564),
    (1, "rabitq/unbiased", None, 0.5678, 0.572),
    (2, "blockquant/none", 4, 0.0969, 0.128),
    (2, "blockquant/mse", 4, 0.0967, 0.127),
    (2, "blockquant/unbiased", 4, 0.1071, 0.1065),
    (2, "blockquant/none", 2, 0.1069, None),
    (2, "blockquant/mse", 2, 0.1067, None),
    (2, "blockquant/unbiased", 2, 0.1195, None),
    (2, "eden/mse", None, 0.1162, 0.160),
    (2, "eden/unbiased", None, 0.1316, 0.1307),
    (2, "turboquant/mse", None, 0.1165, 0.1605),
    (2, "turboquant/prod", None, 0.5728, 0.568),
    (2, "rabitq/unbiased", None, 0.1337, 0.1327),
    (3, "blockquant/none", 4, 0.0258, None),
    (3, "blockquant/mse", 4, 0.0257, None),
    (3, "blockquant/unbiased", 4, 0.0264, None),
    (3, "blockquant/none", 2, 0.0298, None),
    (3, "blockquant/mse", 2, 0.0297, None),
    (3, "blockquant/unbiased", 2, 0.0306, None),
    (3, "eden/mse", None, 0.0340, None),
    (3, "eden/unbiased", None, 0.0352, None),
    (3, "turboquant/mse", None, 0.0341, None),
    (3, "turboquant/prod", None, 0.1843, None),
    (3, "rabitq/unbiased", None, 0.0380, None),
    (4, "blockquant/none", 2, 0.00797, None),
    (4, "blockquant/mse", 2, 0.00793, None),
    (4, "blockquant/unbiased", 2, 0.00799, None),
    (4, "eden/mse", None, 0.00933, None),
    (4, "eden/unbiased", None, 0.00942, None),
    (4, "turboquant/mse", None, 0.00938, None),
    (4, "turboquant/prod", None, 0.0541, None),
    (4, "rabitq/unbiased", None, 0.0110, None),
]
LIMIT = 2.0

# The specification says "200 queries" of the 1,000. The figures of `mse` and `none` contain the
# squared bias sin^4 * d * E<x, y>^2, which moves by 2 % with the choice; those of `unbiased` are
# steady.
QUERIES = {"first": slice(200), "last": slice(-200, None), "spread": slice(None, None, 5)}


def measure(q, x, y, with_ip):
    x_hat = q.decode(q.encode(x))
    error = x_hat - x
    nmse = np.mean(np.sum(error.astype(np.float64) ** 2, axis=1))
    ip = x.shape[1] * np.mean((error @ y.T).astype(np.float64) ** 2) if with_ip else np.nan
    return nmse, ip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    common.add_data(parser)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--queries", choices=QUERIES, default="spread", help="which 200 queries")
    parser.add_argument("--rotations", default="haar,hadamard")
    options = parser.parse_args()
    print(common.machine())
    found = common.embeddings(options.data)
    x, y = common.unit(found.x[:4000]), common.unit(found.y[QUERIES[options.queries]])
    marked, start = 0, time.perf_counter()
    print(
        f"{len(x)} rows, {len(y)} queries, d = {x.shape[1]}, "
        f"mean of {options.seeds} rotation seeds; '!' is off by more than {LIMIT:g} %"
    )
    print(
        f"{'rotation':9} b {'method':20}  p"
        + "".join(f"  {name:>8}  section 4  dev % " for name in ("nmse", "ip"))
    )
    for rotation in options.rotations.split(","):
        for bits, name, block, *wanted in CELLS:
            extra = {} if block is None else {"block": block}
            results = []
            for seed in range(options.seeds):
                q = bq.create(
                    name, dim=x.shape[1], bits=bits, rotation=rotation, seed=seed, **extra
                )
                results.append(measure(q, x, y, wanted[1] is not None))
            line = f"{rotation:9} {bits} {name:20} {block or '-':>2}"
            for got, reference in zip(np.mean(results, axis=0), wanted, strict=True):
                if reference is not None:
                    deviation = 100 * (got / reference - 1)
                    mark = "!" if abs(deviation) > LIMIT else " "
                    marked += mark != " "
                    line += f"  {got:8.5f} {reference:10g} {deviation:+6.2f}{mark}"
            print(line.rstrip(), flush=True)
    print(f"{marked} figures deviate by more than {LIMIT:g} %; {time.perf_counter() - start:.0f} s")
    return int(marked > 0)


if __name__ == "__main__":
    sys.exit(main())

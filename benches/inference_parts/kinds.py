"""The caches that are compared, all under the same rule of pages, sinks and windows."""

from __future__ import annotations

from dataclasses import replace

from .caches import Spec
from .coders import Channels, Float8, Ggml, Half, Library, Tokens

OURS = "blockquant/unbiased"
TRELLIS = "trellis/unbiased"
#: How many scales are searched.
SCALES = 9
#: The name of each kind that a verdict or a picture asks for.
TWO, TWO_DEBIAS = "BlockQuant 2/2", "BlockQuant 2/2, debias"
TWO_CENTROIDS = "BlockQuant 2/2, 16 centroids"
THREE_TWO, FOUR = "BlockQuant 3/2", "BlockQuant 4/4"
THREE_TWO_SEARCHED = "BlockQuant 3/2, 9 scales"
TRELLIS_TWO, TRELLIS_THREE_TWO, TRELLIS_FOUR = "Trellis 2/2", "Trellis 3/2", "Trellis 4/4"
KIVI_TWO, TURBO_THREE, HADAMARD = "KIVI 2, groups of 32", "TurboQuant mse 3/3", "Hadamard + q4_0"


def ours(name: str, keys: float, values: float, *, method: str = OURS, **options) -> Spec:
    """The library's cache: unbiased, a rotary mean, byte scales."""
    pair = Library(method, keys, "byte", 0), Library(method, values, "byte", 1)
    return Spec(name, *pair, **{"center": "rotary", **options})


def searched(spec: Spec) -> Spec:
    """The same with a search over scales of what has at least 3 bits."""

    def of(coder: Library) -> Library:
        return replace(coder, search=SCALES) if coder.bits >= 3 else coder

    name = f"{spec.name}, {SCALES} scales"
    return replace(spec, name=name, keys=of(spec.keys), values=of(spec.values))


def of_states(spec: Spec, states: int) -> Spec:
    """The same with another number of states."""
    keys, values = (replace(coder, states=states) for coder in (spec.keys, spec.values))
    return replace(spec, name=f"{spec.name}, {states} states", keys=keys, values=values)


def plain(name: str, method: str, bits: float) -> Spec:
    """A method of the library for keys and values, with no center and float16 scales."""
    return Spec(name, Library(method, bits), Library(method, bits, seed=1))


def kivi(name: str, bits: int, group: int, **options) -> Spec:
    return Spec(name, Channels(bits, group), Tokens(bits, group), **options)


def quick() -> list[Spec]:
    """What the verdicts compare."""
    return [
        ours(TWO, 2, 2),
        ours(TWO_DEBIAS, 2, 2, debias=True),
        ours(TWO_CENTROIDS, 2, 2, centroids=16),
        ours(THREE_TWO, 3, 2),
        ours(FOUR, 4, 4),
        ours(TRELLIS_THREE_TWO, 3, 2, method=TRELLIS),
        searched(ours(THREE_TWO, 3, 2)),
        kivi(KIVI_TWO, 2, 32),
        plain(TURBO_THREE, "turboquant/mse", 3),
        Spec(HADAMARD, Ggml(4, rotated=True), Ggml(4, rotated=True)),
    ]


def everything() -> list[Spec]:
    """All kinds, those of the verdicts first."""
    main = quick()
    by_name = {spec.name: spec for spec in main}
    others = [
        ours("BlockQuant 2/2, 16 centroids, debias", 2, 2, centroids=16, debias=True),
        ours("BlockQuant 3/2, 16 centroids", 3, 2, centroids=16),
        ours("BlockQuant 3/2, debias", 3, 2, debias=True),
        ours("BlockQuant 2.5/2", 2.5, 2),
        ours("BlockQuant 3/3", 3, 3),
        ours("BlockQuant 4/3", 4, 3),
        ours("BlockQuant 3/2, static mean", 3, 2, center="static"),
        ours("BlockQuant 2/2, no mean", 2, 2, center=None),
        ours("BlockQuant 3/2, no mean", 3, 2, center=None),
        ours("BlockQuant 3/2, no sinks", 3, 2, sinks=0),
        kivi("KIVI 2, groups of 64", 2, 64),
        kivi("KIVI 4, groups of 64", 4, 64),
        Spec("q4_0", Ggml(4), Ggml(4)),
        Spec("q8_0", Ggml(8), Ggml(8)),
        Spec("fp8 e4m3", Float8(), Float8()),
        Spec("float16", Half(), Half()),
        plain("TurboQuant mse 2/2", "turboquant/mse", 2),
        plain("TurboQuant mse 4/4", "turboquant/mse", 4),
        plain("TurboQuant prod 3/3", "turboquant/prod", 3),
        plain("EDEN unbiased 2/2", "eden/unbiased", 2),
        plain("EDEN unbiased 3/3", "eden/unbiased", 3),
        plain("EDEN unbiased 4/4", "eden/unbiased", 4),
        plain("EDEN mse 3/3", "eden/mse", 3),
        plain("RaBitQ 3/3", "rabitq/unbiased", 3),
        plain("RaBitQ 4/4", "rabitq/unbiased", 4),
        plain("BlockQuant 3/3, plain", OURS, 3),
        plain("BlockQuant 4/4, plain", OURS, 4),
    ]
    rates = ((2, 2), (2.5, 2), (3, 2), (3, 3), (4, 3), (4, 4))
    trellis = [ours(f"Trellis {k}/{v}", k, v, method=TRELLIS) for k, v in rates]
    others += [spec for spec in trellis if spec.name not in by_name]
    others += [of_states(spec, 256) for spec in trellis if spec.name in (TRELLIS_TWO, TRELLIS_FOUR)]
    others.append(ours("Trellis 2/2, 16 centroids", 2, 2, method=TRELLIS, centroids=16))
    others += [searched(ours(f"BlockQuant {k}/{v}", k, v)) for k, v in rates[3:]]
    others += [
        searched(ours(f"EDEN {rule} {bits}/{bits}, mean", bits, bits, method=f"eden/{rule}"))
        for rule in ("unbiased", "mse")
        for bits in (3, 4)
    ]
    wide = (TWO, THREE_TWO, KIVI_TWO, HADAMARD)
    others += [replace(by_name[n], name=f"{n}, window 64", window=64) for n in wide]
    return main + others


#: What is asked for facts, besides float32.
NEEDLES = (
    *(TWO, TWO_DEBIAS, TWO_CENTROIDS, THREE_TWO, FOUR, TRELLIS_TWO, TRELLIS_THREE_TWO),
    *(KIVI_TWO, TURBO_THREE, HADAMARD),
)

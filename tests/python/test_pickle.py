"""Quantizers are carried by pickle, copies, spawned processes, joblib and cloudpickle."""

import copy
import multiprocessing
import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest

import blockquant as bq
from support import BUILT_IN, kept

X = np.random.default_rng(0).standard_normal((60, 24)).astype(np.float32) + 1
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def make(name="eden/mse", **options):
    return bq.create(name, **{"dim": 24, "bits": 2, "seed": 2**64 - 1, **options})


def same(found, q):
    assert type(found) is type(q)
    assert found == q
    assert hash(found) == hash(q)
    assert repr(found) == repr(q)
    codes = q.encode(X)
    assert found.encode(X) == codes
    np.testing.assert_array_equal(found.decode(codes), q.decode(codes))
    for center in (found.center, q.center):
        assert center is None or center.tobytes() == q.center.tobytes()


@pytest.mark.parametrize("center", [None, X], ids=["no center", "center"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_protocol_and_copy(name, center):
    q = make(name, store_norm=True, center=center)
    for protocol in PROTOCOLS:
        same(pickle.loads(pickle.dumps(q, protocol)), q)
    same(copy.copy(q), q)
    same(copy.deepcopy(q), q)
    assert copy.deepcopy([q, q])[0]._core is q._core


def test_options_that_are_not_the_defaults():
    for q in (
        bq.BlockQuant(24, 2.5, block=2, scale="none", rotation="haar"),
        bq.RaBitQ(24, 8, rotation="haar", seed=5),
        bq.BlockQuant(23, 3, store_norm=True),
        bq.Trellis(23, 3, states=256, scale="mse"),
        bq.Eden(24, 4, scale_search=9),
    ):
        found = pickle.loads(pickle.dumps(q))
        assert (found, found.block, found.rotation) == (q, q.block, q.rotation)
        assert (found.states, found.scale_search) == (q.states, q.scale_search)
        np.testing.assert_array_equal(found.codebook(), q.codebook())


def test_a_pickle_holds_parameters_alone():
    q = bq.BlockQuant(2048, 2, block=4, rotation="haar")
    repr(q)
    assert len(pickle.dumps(q)) < 500
    assert len(pickle.dumps(bq.Eden(2048, 2, center=np.ones(2048)))) < 4 * 2048 + 1000


def test_what_load_gives(tmp_path):
    path = tmp_path / "codes"
    q = make("turboquant/prod", store_norm=True, center=X)
    bq.save(path, q, q.encode(X))
    loaded, codes = bq.load(path)
    same(loaded, q)
    for found, back in (
        pickle.loads(pickle.dumps((loaded, codes))),
        copy.deepcopy((loaded, codes)),
    ):
        same(found, q)
        assert back == q.encode(X)
    assert back.packed.flags.owndata


def test_parameters_make_the_difference():
    options = [
        {},
        {"dim": 23},
        {"bits": 3},
        {"seed": 1},
        {"rotation": "haar"},
        {"store_norm": True},
        {"center": X},
        {"center": X + 1},
        {"center": np.zeros(24)},
        {"bits": 3, "scale_search": 3},
        {"bits": 3, "scale_search": 9},
    ]
    made = [make(**some) for some in options]
    made += [make("eden/unbiased"), make("turboquant/mse"), make("rabitq/mse")]
    made += [make("blockquant/mse"), make("blockquant/mse", block=2)]
    assert len(set(made)) == len(made)
    for i, a in enumerate(made):
        assert [a == b for b in made] == [i == j for j in range(len(made))]
    assert make("blockquant/mse", block=4) == make("blockquant/mse")
    assert make(scale_search=1) == make(scale_search=None) == make()
    assert make(bits=2.0, center=X) == make(center=X.mean(0, dtype=np.float64))
    assert make() != repr(make())


def test_the_center_is_compared_by_its_values():
    a, b = make(center=X), make(center=np.nextafter(X.mean(0), 2, dtype=np.float32))
    b._center_digest, b._repr = a._center_digest, None
    assert repr(a) == repr(b)
    assert a != b


class Named(bq.Eden):
    """A face with parameters and attributes of its own."""

    def __init__(self, label):
        super().__init__(dim=24, bits=2, center=X)
        self.label, self.seen = label, []


class Numbered(Named):
    pass


def test_subclasses_keep_their_class_and_attributes():
    q = Named("a")
    q.seen.append(1)
    for protocol in PROTOCOLS:
        found = pickle.loads(pickle.dumps(q, protocol))
        same(found, q)
        assert (found.label, found.seen) == ("a", [1])
    shallow, deep = copy.copy(q), copy.deepcopy(q)
    q.seen.append(2)
    assert (shallow.seen, deep.seen) == ([1, 2], [1])
    assert type(shallow) is type(deep) is Named
    assert Numbered("a") != q
    assert bq.Eden(24, 2, center=X) != q


def test_a_quantizer_within_itself():
    q = Named("a")
    q.seen.append(q)
    for found in (copy.deepcopy(q), pickle.loads(pickle.dumps(q))):
        assert found.seen[0] is found


def test_codes_and_their_quantizer_stay_together():
    x = np.random.default_rng(1).standard_normal((400, 24))
    q = make("eden/unbiased", store_norm=True, center=x)
    codes = q.encode(x)
    bare = len(pickle.dumps(codes))
    found = q.search(codes, x[:5])
    for _ in range(2):
        q.search(codes, x[0])
    assert kept(codes) > 0
    assert len(pickle.dumps(codes)) == bare  # what searches keep stays here
    other, back = pickle.loads(pickle.dumps((q, codes)))
    assert back == codes
    assert kept(back) == kept(copy.copy(codes)) == 0
    for a, b in zip(other.search(back, x[:5]), found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_damaged_parameters_are_refused():
    q = make()
    state = q.__getstate__()
    state["_core"]["bits"] = 77.0
    with pytest.raises(ValueError, match="bits=77"):
        make().__setstate__(state)


def test_results_of_measurements(sample):
    x, y = sample[0][:300], sample[1][:10]
    measured = bq.measure(bq.Eden(x.shape[1], 2), x, y)
    assert pickle.loads(pickle.dumps(measured)) == measured
    comparison = bq.compare(x, y, methods=["eden", "rabitq"], bits=(1,), seeds=2)
    assert pickle.loads(pickle.dumps(comparison)).to_dict() == comparison.to_dict()


def test_spawned_processes():
    q = make("blockquant/unbiased", store_norm=True, center=X)
    codes = q.encode(X)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (parts, back), decoded = (
            (pool.map(q.encode, [X[:20], X[20:]]), pool.apply(copy.copy, (q,))),
            pool.apply(q.decode, (codes,)),
        )
    assert bq.concatenate(parts) == codes
    same(back, q)
    np.testing.assert_array_equal(decoded, q.decode(codes))


def test_joblib():
    q = make("rabitq/unbiased", center=X)
    encode = joblib.delayed(q.encode)
    with joblib.parallel_config(backend="loky", n_jobs=2):
        parts = joblib.Parallel()(encode(X[start : start + 20]) for start in (0, 20, 40))
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)
    assert bq.concatenate(parts) == q.encode(X)
    assert joblib.hash(q) == joblib.hash(pickle.loads(pickle.dumps(q)))


def test_cloudpickle_carries_a_class_that_the_other_process_does_not_know():
    class Local(bq.Eden):
        def twice(self, x):
            return self.encode(np.concatenate([x, x]))

    q = Local(24, 2, center=X)
    work = cloudpickle.dumps(lambda: (q.twice(X), repr(q), type(q).__name__))
    code = (
        "import pickle, sys; data = pickle.loads(sys.stdin.buffer.read())(); "
        "sys.stdout.buffer.write(pickle.dumps(data))"
    )
    run = subprocess.run([sys.executable, "-c", code], input=work, capture_output=True, check=True)
    assert pickle.loads(run.stdout) == (q.twice(X), repr(q), "Local")

"""The transformer for scikit-learn: scikit-learn's own checks, and its use in pipelines."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline

import blockquant as bq
from blockquant.integrations.sklearn import BlockQuantTransformer

X = bq.sample()[0].astype(np.float32)

CHECKS = """
import json, sys, warnings
from sklearn.utils.estimator_checks import check_estimator
from blockquant.integrations.sklearn import BlockQuantTransformer

warnings.simplefilter("ignore")
for parameters in json.loads(sys.argv[1]):
    results = check_estimator(BlockQuantTransformer(**parameters), on_fail=None, on_skip=None)
    print(json.dumps([[r["check_name"], r["status"], str(r["exception"])] for r in results]))
"""
CHECKED = [
    {},
    {"output": "codes"},
    {"center": True},
    {"bits": 2, "method": "eden", "random_state": None},
]


def test_every_check_of_scikit_learn_passes():
    # One check is skipped unless SciPy is imported with this variable, so a process of its own runs
    # them.
    done = subprocess.run(
        [sys.executable, "-c", CHECKS, json.dumps(CHECKED)],
        env={**os.environ, "SCIPY_ARRAY_API": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for parameters, results in zip(CHECKED, found, strict=True):
        assert len(results) > 40
        assert [line for line in results if line[1] != "passed"] == [], parameters


@pytest.mark.parametrize("method", ["blockquant/mse", "eden", "rabitq", "turboquant"])
def test_rows_are_those_that_the_codes_hold(method):
    q = bq.create(method, dim=384, bits=3, seed=7)
    rows = BlockQuantTransformer(3, method=method, random_state=7).fit_transform(X)
    assert rows.dtype == np.float32
    assert (rows == q.decode(q.encode(X))).all()
    store = BlockQuantTransformer(3, method=method, random_state=7, output="codes").fit(X[:5])
    codes = store.transform(X)
    assert codes.tobytes() == q.encode(X).to_bytes()
    assert codes.flags.writeable
    assert (store.inverse_transform(codes) == rows).all()
    assert (store.inverse_transform(codes[::2]) == rows[::2]).all()


def test_the_mean_is_that_of_the_rows_of_fit():
    shifted = X + 3
    without, centered = (
        BlockQuantTransformer(2, center=center).fit(shifted[:1000]) for center in (False, True)
    )
    q = bq.create(
        "blockquant/mse", dim=384, bits=2, center=shifted[:1000].mean(axis=0, dtype=float)
    )
    assert centered.quantizer_ == q
    errors = [((one.transform(shifted) - shifted) ** 2).sum() for one in (without, centered)]
    assert errors[1] < 0.01 * errors[0]


def labels():
    axis = np.random.default_rng(0).standard_normal(384)
    return (X @ axis > np.median(X @ axis)).astype(int)


def test_a_pipeline_and_a_grid_search():
    y = labels()
    model = make_pipeline(BlockQuantTransformer(), LogisticRegression(max_iter=300, C=100))
    search = GridSearchCV(model, {"blockquanttransformer__bits": [1, 2, 6]}, cv=3).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] < scores[2]
    plain = LogisticRegression(max_iter=300, C=100).fit(X[:1500], y[:1500])
    model.set_params(blockquanttransformer__bits=8).fit(X[:1500], y[:1500])
    exact, coded = (one.score(X[1500:], y[1500:]) for one in (plain, model))
    assert abs(exact - coded) <= 0.02


def test_neighbors_of_coded_rows():
    exact = NearestNeighbors(n_neighbors=5).fit(X).kneighbors(X[:100], return_distance=False)
    shared = []
    for bits in (2, 8):
        rows = BlockQuantTransformer(bits).fit_transform(X)
        found = NearestNeighbors(n_neighbors=5).fit(rows).kneighbors(X[:100])[1]
        shared.append(
            np.mean([len(np.intersect1d(*lines)) for lines in zip(exact, found, strict=True)]) / 5
        )
    assert shared[0] < shared[1]
    assert shared[1] > 0.97


def test_random_states():
    def rows(state):
        return BlockQuantTransformer(2, random_state=state).fit_transform(X[:20])

    assert (rows(3) == rows(np.int64(3))).all()
    assert (rows(3) != rows(4)).any()
    states = [np.random.RandomState(5) for _ in range(2)]
    assert (rows(states[0]) == rows(states[1])).all()
    assert (rows(states[0]) != rows(np.random.RandomState(5))).any()
    assert (rows(None) != rows(None)).any()


def test_names_of_features():
    frame = pd.DataFrame(X[:9, :3], columns=["a", "b", "c"])
    named = BlockQuantTransformer().set_output(transform="pandas").fit_transform(frame)
    assert list(named.columns) == ["a", "b", "c"]
    store = BlockQuantTransformer(output="codes").set_output(transform="pandas").fit(frame)
    codes = store.transform(frame)
    assert list(codes.columns) == [f"code{i}" for i in range(codes.shape[1])]
    assert set(codes.dtypes) == {np.dtype(np.uint8)}
    assert (store.inverse_transform(codes) == named.to_numpy()).all()
    with pytest.raises(ValueError, match="feature names should match"):
        store.transform(frame[["b", "a", "c"]])


def test_a_clone_gives_the_same_codes():
    one = BlockQuantTransformer(2, options={"rotation": "haar"}, output="codes")
    assert (clone(one).fit_transform(X[:50]) == one.fit_transform(X[:50])).all()
    assert one.quantizer_ == bq.create("blockquant/mse", dim=384, bits=2, rotation="haar")


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"output": "both"}, ValueError, "output='both', expected 'rows' or 'codes'"),
        ({"bits": 0}, ValueError, "bits=0"),
        ({"method": "nothing"}, ValueError, "unknown method 'nothing'"),
        ({"center": "yes"}, TypeError, "center is str, expected bool"),
        ({"random_state": -1}, ValueError, "seed"),
        ({"options": {"colour": 1}}, TypeError, "colour"),
    ],
)
def test_wrong_parameters(parameters, error, text):
    with pytest.raises(error, match=text):
        BlockQuantTransformer(**parameters).fit(X[:5])


def test_wrong_codes():
    store = BlockQuantTransformer(output="codes").fit(X[:5])
    codes = store.transform(X[:5])
    with pytest.raises(TypeError, match="X has dtype float64, expected uint8"):
        store.inverse_transform(codes.astype(float))
    with pytest.raises(ValueError, match=r"X has shape \(5, 195\), expected rows of 196 bytes"):
        store.inverse_transform(codes[:, 1:])
    with pytest.raises(ValueError, match="X has shape"):
        store.inverse_transform(codes[0])

"""The command line with fitted axes: encode, info, and a warning about rows that are far away."""

from __future__ import annotations

import numpy as np
import pytest

import blockquant as bq
from commands import call, done, fails, found


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with two thousand rows, a model of them, and rows that are unlike them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(4)
    turn = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    deviations = 1 / (1 + np.arange(64))[:, None]
    x = (rng.standard_normal((2000, 64)) @ (deviations * turn) + 1).astype(np.float32)
    far = (rng.standard_normal((500, 64)) @ (deviations[::-1] * turn) + 1).astype(np.float32)
    np.save("rows.npy", x)
    np.save("far.npy", far)
    bq.fit(x).save("model.axes")
    return tmp_path


ENCODE = ("encode", "rows.npy", "--axes", "model.axes", "--method", "trellis", "--bits", "1")


def test_codes_are_those_of_the_library(files) -> None:
    for options, given in [
        ((), {}),
        (("--criterion", "reconstruction"), {"criterion": "reconstruction"}),
        (("--reserve", "0.3", "--store-norm"), {"reserve": 0.3, "store_norm": True}),
    ]:
        text = done(*ENCODE, *options, "--out", "codes.safetensors", "--force")
        q, codes = bq.load("codes.safetensors")
        axes = bq.Axes.load("model.axes")
        expected = bq.create("trellis", dim=64, bits=1, axes=axes, **given)
        assert q == expected
        assert codes == expected.encode(np.load("rows.npy"))
        assert f"axes of 2000 rows, for {q.criterion}; predicted: normalised MSE" in text
        assert f"drift {q.drift(codes):.2f}\n" in text


def test_rows_far_from_the_model_are_warned_about(files) -> None:
    arguments = ("encode", "far.npy", *ENCODE[2:], "--out")
    for out in ("far.safetensors", "far/"):
        workers = ("--workers", "1") if out == "far/" else ()
        code, _, errors = call(*arguments, out, *workers)
        assert code == 0
        assert errors.startswith(
            "Warning: the rows are far from those that model.axes was fitted on: "
        )
        assert errors.count("\n") == 1
        values = found("info", out)
        assert values["drift"] > 1.5
        assert f"on: {values['drift']:.2f} times" in errors
    values = found(*ENCODE, "--out", "near.safetensors")
    assert values["drift"] == pytest.approx(1, abs=0.1)


def test_info_describes_axes_and_codes(files) -> None:
    text = done("info", "model.axes")
    axes = bq.Axes.load("model.axes")
    assert text.startswith(f"model.axes: {axes.describe()}\n")
    assert axes.digest in text
    values = found("info", "model.axes")
    assert (values["kind"], values["rows"], values["dim"]) == ("axes", 2000, 64)
    done(*ENCODE, "--out", "codes.safetensors")
    lines = done("info", "codes.safetensors").splitlines()
    q, codes = bq.load("codes.safetensors")
    predicted = q.predicted
    assert predicted is not None
    assert lines[4].split() == ["axes", "bits", "method", "variance", "distortion", "error"]
    for line, group in zip(lines[5:], predicted.groups, strict=False):
        assert line.split()[:3] == [f"{group.axes}", f"{group.bits:g}", group.method or "–"]
    values = found("info", "codes.safetensors")
    assert values["predicted"]["nmse"] == predicted.nmse
    assert len(values["predicted"]["groups"]) == len(predicted.groups)
    assert values["drift"] == q.drift(codes)
    # The codes are not read, and so it is not known where their rows lie.
    assert found("info", "codes.safetensors", "--no-verify")["drift"] is None
    assert "drift –" in done("info", "codes.safetensors", "--no-verify")
    done("encode", "rows.npy", "--out", "plain.safetensors")
    assert "drift" not in found("info", "plain.safetensors")


def test_a_folder_has_the_drift_of_all_its_rows(files) -> None:
    done(*ENCODE, "--out", "codes/", "--shard-rows", "700", "--workers", "1")
    done(*ENCODE, "--out", "codes.safetensors")
    drifts = [found("info", name)["drift"] for name in ("codes/", "codes.safetensors")]
    assert drifts[0] == pytest.approx(drifts[1])
    assert "for recall; predicted:" in done("info", "codes/")


def test_what_does_not_fit_is_refused(files) -> None:
    np.save("other.npy", np.ones((3, 65), np.float32))
    np.save("nan.npy", np.full((3, 64), np.nan, np.float32))
    out = ("--out", "new.safetensors")
    fails(2, "encode", "other.npy", *ENCODE[2:], *out, ["model.axes has d = 64, other.npy has 65"])
    fails(2, "encode", "nan.npy", *ENCODE[2:], *out, ["row 0, column 0 is NaN"])
    fails(2, "encode", "rows.npy", "--axes", "rows.npy", *out, ["not a file of fitted axes"])
    fails(2, *ENCODE, "--reserve", "2", *out, ["reserve=2.0, expected a number from 0 to 1"])
    fails(2, *ENCODE, "--block", "4", "--method", "blockquant", *out, ["block is not an option"])
    for option, text in [
        (("--criterion", "recall"), "--criterion is for --axes"),
        (("--reserve", "0.1"), "--reserve is for --axes"),
        (("--axes", "model.axes", "--center-mean"), "--axes have a center of their own"),
        (("--axes", "model.axes", "--out", "codes.parquet"), "a .safetensors or a folder"),
    ]:
        code, _, errors = call("encode", "rows.npy", *out, *option)
        assert code == 2
        assert text in errors
    code, _, errors = call(*ENCODE, "--out", "model.axes", "--force")
    assert code != 0
    assert bq.Axes.load("model.axes").rows == 2000
    # Rows that are all equal, and a file without rows.
    np.save("equal.npy", np.ones((5, 64), np.float32))
    np.save("none.npy", np.ones((0, 64), np.float32))
    for name in ("equal", "none"):
        code, _, _ = call("encode", f"{name}.npy", *ENCODE[2:], "--out", f"{name}.safetensors")
        assert code == 0
        assert len(bq.load(f"{name}.safetensors")[1]) == len(np.load(f"{name}.npy"))
    assert "drift –" in done("info", "none.safetensors")

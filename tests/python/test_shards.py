"""Jobs over many files give the codes of all rows, and searches of them what one search gives."""

import importlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import blockquant as bq
from blockquant.shards import RowGroups
from blockquant.shards._sources import cuts
from rowfiles import SUFFIXES, parquet, write
from shardjobs import SPEC, contents, encode, parts, same_rows, same_search

KINDS = [
    {"name": "blockquant", "bits": 2, "store_norm": True},
    {"name": "eden/mse", "bits": 3, "seed": 5},
    {"name": "turboquant/prod", "bits": 2, "store_norm": True},
    {"name": "rabitq", "bits": 4, "rotation": "haar"},
    {"name": "trellis", "bits": 1, "states": 16},
    {"name": "eden", "bits": 1, "center": "mean", "store_norm": True},
    {"name": "blockquant", "bits": 2, "center": "mean"},
]


def quantizer(spec, x):
    """That of a spec; the mean is the sum in float64, as the parts of these tests have it."""
    options = dict(spec)
    if options.get("center") == "mean":
        options["center"] = np.mean(x, axis=0, dtype=np.float64)
    return bq.create(dim=x.shape[1], **options)


@pytest.mark.parametrize("spec", KINDS, ids=lambda spec: spec["name"])
@pytest.mark.parametrize("shard_rows", [7, 64, 1000])
def test_shards_hold_and_find_what_one_batch_does(tmp_path, x, spec, shard_rows):
    shards = encode(parts(tmp_path / "rows", x), tmp_path / "codes", spec, shard_rows=shard_rows)
    assert len(shards.files) == 3 * -(-100 // shard_rows)
    same_rows(shards, quantizer(spec, x), x)
    assert shards.verify() == []
    again = bq.shards.open(tmp_path / "codes")
    same_rows(again, quantizer(spec, x), x)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(tmp_path, x, suffix):
    path = write(tmp_path, suffix, x)
    shards = encode(path, tmp_path / "codes")
    same_rows(shards, bq.create(dim=32, **SPEC), x)
    assert max(len(bq.load(file)[1]) for file in shards.files) <= 64


def test_float16_and_a_named_array(tmp_path, x):
    np.savez(tmp_path / "x.npz", good=x.astype(np.float16), other=np.zeros((5, 3), np.float32))
    with pytest.raises(ValueError, match="pick one with array=NAME"):
        encode(tmp_path / "x.npz", tmp_path / "codes")
    assert not (tmp_path / "codes").exists()
    shards = encode(tmp_path / "x.npz", tmp_path / "codes", array="good")
    same_rows(shards, bq.create(dim=32, **SPEC), x.astype(np.float16).astype(np.float32))


def test_searches_with_masks_few_rows_and_exactly(tmp_path, x, rng):
    spec = {**SPEC, "name": "blockquant"}
    shards = encode(parts(tmp_path / "rows", x), tmp_path / "codes", spec, shard_rows=40)
    q = bq.create(dim=32, **spec)
    codes = q.encode(x)
    masks = [rng.random(300) < 0.5, np.arange(3), np.arange(120, 125), np.zeros(300, bool)]
    for metric in ("ip", "l2", "cosine"):
        for k in (1, 33, 300, 5000):
            for exact in (False, True):
                same_search(shards, q, codes, x[:5], k, metric, exact=exact)
        for mask in masks:
            same_search(shards, q, codes, x[0], 10, metric, mask=mask)
    for _ in range(3):  # later searches of few queries use the signs
        same_search(shards, q, codes, x[7], 10)
    same_search(shards, q, codes, x[:0], 10)


def test_equal_rows_come_in_order(tmp_path, x):
    twins = np.tile(x[:50], (6, 1))
    shards = encode(parts(tmp_path / "rows", twins), tmp_path / "codes", shard_rows=33)
    q = bq.create(dim=32, **SPEC)
    for metric in ("ip", "l2"):
        same_search(shards, q, q.encode(twins), x[:4], 10, metric)


def test_wrong_searches_are_refused(tmp_path, x):
    shards = encode(parts(tmp_path / "rows", x), tmp_path / "codes", {**SPEC, "store_norm": False})
    for arguments, error, text in (
        ((x[:, :5],), ValueError, "y has 5 columns, expected dim=32"),
        ((x, 0), ValueError, "k=0"),
        ((x, 1.5), TypeError, "k=1.5"),
        ((x, 1, "l2"), ValueError, "norms"),
        ((x, 1, "dot"), ValueError, "dot"),
        ((x, 1, "ip", np.ones(5, bool)), ValueError, "mask has 5 entries, expected 300"),
    ):
        with pytest.raises(error, match=text):
            shards.search(*arguments)
    with pytest.raises(TypeError, match="exact"):
        shards.search(x, exact=1)


# ---- sources


def test_folders_globs_and_lists(tmp_path, x):
    rows = parts(tmp_path / "rows", x)
    (rows / "_SUCCESS").write_text("")
    (rows / ".a.npy").write_text("hidden")
    (rows / "notes.txt").write_text("not rows")
    (rows / "year=2025").mkdir()
    np.save(rows / "year=2025" / "z.npy", x[:9])
    q = bq.create(dim=32, **SPEC)
    names = [["a.npy"], ["b.npy"], ["c.npy"], ["year=2025", "z.npy"]]
    shards = encode(str(rows), tmp_path / "of folder")
    assert shards.sources == [str(rows.joinpath(*name)) for name in names]
    same_rows(shards, q, np.concatenate([x, x[:9]]))
    same_rows(encode(rows / "*.npy", tmp_path / "of glob"), q, x)
    same_rows(encode(str(rows / "**" / "[az].npy"), tmp_path / "g"), q, np.vstack([x[:100], x[:9]]))
    some = encode([rows / "c.npy", str(rows / "[ab].npy")], tmp_path / "of list")
    same_rows(some, q, np.concatenate([x[200:], x[:200]]))
    # A second job does not take the codes for rows.
    inside = encode(rows, rows / "codes")
    assert encode(rows, rows / "codes").files == inside.files


def test_names_that_look_like_globs(tmp_path, x):
    np.save(tmp_path / "x[1].npy", x)
    same_rows(encode(tmp_path / "x[1].npy", tmp_path / "codes"), bq.create(dim=32, **SPEC), x)


def test_row_groups(tmp_path, x):
    path = parquet(tmp_path / "x.parquet", {"x": list(x)}, row_group_size=25)
    shards = encode(path, tmp_path / "all", shard_rows=60)
    manifest = json.loads((tmp_path / "all" / "manifest.json").read_text())
    assert [shard["row_groups"] for shard in manifest["shards"]] == [
        *([2 * i, 2 * i + 1] for i in range(6))
    ]
    q = bq.create(dim=32, **SPEC)
    same_rows(shards, q, x)
    some = encode(RowGroups(path, [1, 2, 5]), tmp_path / "some", shard_rows=60)
    same_rows(some, q, np.concatenate([x[25:75], x[125:150]]))
    source, row = some.locate([0, 49, 50])
    assert (source.tolist(), row.tolist()) == ([0, 0, 0], [25, 74, 125])
    some.append(RowGroups(path, [0]))
    same_rows(some, q, np.concatenate([x[25:75], x[125:150], x[:25]]))
    # A row group that is larger than a shard is cut.
    same_rows(encode(path, tmp_path / "small", shard_rows=10), q, x)
    for groups, text in (([12], "no row group 12"), ([2, 1], "ascending"), ([], "at least one")):
        with pytest.raises(ValueError, match=text):
            encode(RowGroups(path, groups), tmp_path / "new")
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="no row groups"):
        encode(RowGroups(tmp_path / "x.npy", [0]), tmp_path / "new")
    with pytest.raises(ValueError, match="given twice"):
        encode([RowGroups(path, [0, 1]), RowGroups(path, [1, 2])], tmp_path / "new")
    assert not (tmp_path / "new").exists()


@given(
    st.integers(0, 20),
    st.integers(1, 200),
    st.lists(st.integers(0, 220), max_size=12),
    st.integers(1, 90),
)
@settings(deadline=None)
def test_cuts_cover_all_rows_and_keep_row_groups(start, length, groups, most):
    stop = start + length
    groups = sorted({0, *groups})
    found = cuts(start, stop, groups, most)
    assert [row for a, b in found for row in range(a, b)] == list(range(start, stop))
    assert all(0 < b - a <= most for a, b in found)
    edges = [start, *(row for row in groups if start < row < stop), stop]
    for a, _ in found:
        group = max(edge for edge in edges if edge <= a)
        end = min(edge for edge in edges if edge > a)
        assert a == group or end - group > most


@pytest.mark.parametrize(
    ("sources", "error", "text"),
    [
        (["rows/none.npy"], FileNotFoundError, "none.npy"),
        (["rows/*.parquet"], ValueError, r"\*.parquet: no files of rows"),
        (["empty"], ValueError, "empty: no files of rows"),
        (["rows", "rows/b.npy"], ValueError, "b.npy is given twice"),
        (["rows", "wide.npy"], ValueError, "wide.npy has d = 5, expected 32"),
        (["text.txt"], ValueError, "text.txt: expected a name that ends in"),
        ([3], TypeError, "a source is int 3"),
        (["none.npy"], ValueError, "the 1 files of the sources hold no rows"),
        ([], ValueError, "the 0 files of the sources hold no rows"),
        (["nan.npy"], ValueError, r"nan.npy: row 123, column 5 is NaN, expected a finite"),
    ],
)
def test_bad_sources_are_named(tmp_path, x, monkeypatch, sources, error, text):
    monkeypatch.chdir(tmp_path)
    parts(tmp_path / "rows", x)
    (tmp_path / "empty").mkdir()
    np.save("wide.npy", x[:, :5])
    (tmp_path / "text.txt").write_text("1 2 3")
    np.save("nan.npy", np.where(np.arange(300)[:, None] * 32 + np.arange(32) == 3941, np.nan, x))
    if text.startswith("the 1"):
        np.save("none.npy", x[:0])
    with pytest.raises(error, match=text):
        encode(sources, "codes")
    assert (tmp_path / "codes").exists() == ("nan.npy" in sources)
    assert not (tmp_path / "codes" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"spec": "eden"}, TypeError, "spec is str 'eden'"),
        ({"spec": {"name": "eden"}}, ValueError, "spec has no 'bits'"),
        ({"spec": {"name": "edem", "bits": 2}}, ValueError, "unknown method 'edem'"),
        ({"spec": {**SPEC, "dim": 7}}, ValueError, "a.npy has d = 32, expected 7"),
        ({"spec": {**SPEC, "center": "median"}}, ValueError, "center='median'"),
        ({"spec": {**SPEC, "center": "mean", "bits": 99}}, ValueError, "bits=99"),
        ({"engine": "spark"}, ValueError, "engine='spark'"),
        ({"engine": 5}, TypeError, "engine is int 5"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"retries": -1}, ValueError, "retries=-1"),
        ({"address": "auto"}, ValueError, "address= is for the engine 'ray'"),
        ({"shard_rows": 0}, ValueError, "shard_rows=0"),
        ({"skip_bad": "yes"}, TypeError, "skip_bad"),
        ({"progress": 1}, TypeError, "progress"),
        ({"array": 1}, TypeError, "array is int"),
    ],
)
def test_wrong_options_are_refused(tmp_path, x, options, error, text):
    rows = parts(tmp_path / "rows", x)
    with pytest.raises(error, match=text):
        encode(rows, tmp_path / "codes", **options)
    assert not (tmp_path / "codes").exists()


def test_a_method_of_someone_else_has_no_files(tmp_path, x, monkeypatch):
    monkeypatch.setattr(bq.registry, "_FACTORIES", {**bq.registry._FACTORIES, "mine": dict})
    with pytest.raises(TypeError, match="'mine' is a registered method"):
        encode(parts(tmp_path / "rows", x), tmp_path / "codes", {"name": "mine", "bits": 1})


def test_ray_is_needed_for_ray(tmp_path, x, monkeypatch):
    monkeypatch.setitem(importlib.import_module("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'blockquant\[ray\]'"):
        encode(parts(tmp_path / "rows", x), tmp_path / "codes", engine="ray")


# ---- append


def test_append_is_like_encoding_all(tmp_path, x):
    rows = parts(tmp_path / "rows", x)
    names = [rows / f"{name}.npy" for name in "abc"]
    spec = {**SPEC, "center": "mean"}
    shards = encode(names[:2], tmp_path / "codes", spec)
    q = shards.quantizer
    np.testing.assert_array_equal(q.center, x[:200].mean(axis=0, dtype=np.float64).astype("f4"))
    shards.search(x[0])
    shards.append(names[2], workers=1)
    same_rows(shards, q, x)
    same_rows(bq.shards.open(tmp_path / "codes"), q, x)
    with pytest.raises(ValueError, match=r"c.npy is in .*codes already"):
        shards.append(names[2], workers=1)
    # Without the mean of all rows, encoding more sources is the same.
    before = contents(encode(names, tmp_path / "all").folder)
    some = encode(names[:2], tmp_path / "some")
    some.append(names[2], workers=1)
    assert contents(some.folder) == before
    assert contents(encode(names[:1], tmp_path / "fewer").folder) != before
    assert contents(encode(names, tmp_path / "fewer").folder) == before


def test_a_folder_that_another_job_has_changed(tmp_path, x):
    rows = parts(tmp_path / "rows", x)
    first = encode(rows / "a.npy", tmp_path / "codes")
    second = bq.shards.open(tmp_path / "codes")
    first.append(rows / "b.npy", workers=1)
    before = contents(tmp_path / "codes")
    with pytest.raises(ValueError, match="another job has changed"):
        second.append(rows / "c.npy", workers=1)
    assert contents(tmp_path / "codes") == before


# ---- bad rows


def bad(x):
    """Rows of which some are not finite in float32."""
    found = x.astype(np.float64)
    found[3, 1], found[70, 31], found[71, 0], found[299, 9] = np.nan, np.inf, 1e39, -np.inf
    return found, [3, 70, 71, 299]


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_bad_rows_are_left_out_and_listed(tmp_path, x, suffix):
    broken, places = bad(x)
    path = write(tmp_path, suffix, broken)
    with pytest.raises(ValueError, match=r"rows\.\w+: row \d+, column \d+ is"):
        encode(path, tmp_path / "strict")
    shards = encode(path, tmp_path / "codes", {**SPEC, "center": "mean"}, skip_bad=True)
    good = np.delete(x, places, axis=0)
    np.testing.assert_allclose(shards.quantizer.center, good.mean(axis=0), rtol=1e-5)
    same_rows(shards, shards.quantizer, good)
    assert [(file, row, n) for file, row, n, _ in shards.skipped] == [
        (str(path), row, 1) for row in places
    ]
    assert "row 70, column 31 is inf, expected a finite float32 value" in shards.skipped[1][3]
    source, row = shards.locate(np.arange(len(good)).reshape(2, -1))
    assert not source.any()
    assert row.ravel().tolist() == [i for i in range(300) if i not in places]
    assert shards.info()["sources"][0]["skipped"] == 4
    # A second run keeps the shards and their lists, though only the manifest has them now.
    before = contents(tmp_path / "codes")
    assert not [name for name in before if "skipped" in name]
    assert (
        encode(path, tmp_path / "codes", shards.quantizer, skip_bad=True).skipped == shards.skipped
    )
    assert contents(tmp_path / "codes").keys() == before.keys()


def test_lists_that_are_no_rows(tmp_path, x):
    lists = [row.tolist() for row in x]
    lists[5], lists[6], lists[130], lists[299][3] = None, [1.0], lists[130][:31], None
    path = parquet(tmp_path / "x.parquet", {"x": lists}, row_group_size=100)
    with pytest.raises(ValueError, match="row 5 of column 'x' is null"):
        encode(path, tmp_path / "codes")
    shards = encode(path, tmp_path / "skipping", skip_bad=True)
    same_rows(
        shards, bq.create(dim=32, **SPEC), np.delete(x.astype("f4"), [5, 6, 130, 299], axis=0)
    )
    reasons = [reason for *_, reason in shards.skipped]
    for reason, text in zip(
        reasons,
        (
            "row 5 of column 'x' is null",
            "row 6 of column 'x' has 1 value,",
            "row 130 of column 'x' has 31 values",
            "row 299, column 3 is null",
        ),
        strict=True,
    ):
        assert text in reason


def test_bad_files(tmp_path, x):
    rows = parts(tmp_path / "rows", x)
    (rows / "b.npy").write_bytes((rows / "b.npy").read_bytes()[:-7])
    np.save(rows / "d.npy", x[:4, :7])
    with pytest.raises(ValueError, match=r"b\.npy: it is truncated"):
        encode(rows, tmp_path / "strict")
    shards = encode(rows, tmp_path / "codes", skip_bad=True)
    (b, *at, truncated), (d, *_, narrow) = shards.skipped
    assert (b, d, at) == (str(rows / "b.npy"), str(rows / "d.npy"), [None, 0])
    assert "it is truncated" in truncated
    assert "d = 7, expected 32" in narrow
    same_rows(shards, bq.create(dim=32, **SPEC), np.concatenate([x[:100], x[200:]]))
    assert [source["error"] for source in shards.info()["sources"]] == [
        None,
        truncated,
        None,
        narrow,
    ]


@pytest.mark.parametrize("shard_rows", [50, 110, 1000])
def test_damage_in_the_middle(tmp_path, x, small_chunks, shard_rows):
    options = {"row_group_size": 50, "write_page_checksum": True, "use_dictionary": False}
    path = parquet(tmp_path / "x.parquet", {"x": list(x)}, **options)
    data = bytearray(path.read_bytes())
    at = bytes(data).index(x[120].tobytes())
    data[at] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="column 'x' is damaged after row 100"):
        encode(path, tmp_path / "strict", shard_rows=shard_rows)
    shards = encode(path, tmp_path / "codes", shard_rows=shard_rows, skip_bad=True)
    ((_, first, n, reason),) = shards.skipped
    assert (first, n) == (100, 50)
    assert "is damaged" in reason
    same_rows(shards, bq.create(dim=32, **SPEC), np.delete(x, np.s_[100:150], axis=0))
    assert shards.locate([99, 100])[1].tolist() == [99, 150]


def test_if_everything_is_bad(tmp_path, x):
    np.save(tmp_path / "x.npy", np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="all rows of the sources are bad"):
        encode(tmp_path / "x.npy", tmp_path / "codes", {**SPEC, "center": "mean"}, skip_bad=True)
    shards = encode(tmp_path / "x.npy", tmp_path / "codes", skip_bad=True)
    assert len(shards) == 0
    assert shards.search(x[:3])[0].shape == (3, 0)
    assert shards.decode().shape == (0, 32)
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"hold no rows: .*broken\.npy: it is truncated"):
        encode(tmp_path / "broken.npy", tmp_path / "new", skip_bad=True)


def test_positions_that_are_not_there(tmp_path, x):
    shards = encode(parts(tmp_path / "rows", x), tmp_path / "codes")
    source, row = shards.locate([[0, 99], [100, 299]])
    assert (source.tolist(), row.tolist()) == ([[0, 0], [1, 2]], [[0, 99], [0, 99]])
    for index in (300, [-1]):
        with pytest.raises(IndexError, match="outside of the 300 rows"):
            shards.locate(index)
    with pytest.raises(TypeError, match="float64"):
        shards.locate([0.5])


def test_ranges(tmp_path, x):
    shards = encode(parts(tmp_path / "rows", x), tmp_path / "codes")
    codes = bq.create(dim=32, **SPEC).encode(x)
    for start, stop in ((0, None), (0, 0), (63, 65), (99, 201), (-5, None), (250, 1000), (9, 3)):
        assert shards[start:stop] == codes[start:stop]
    assert repr(shards).startswith("<Shards of 300 rows in 6 shards, eden/unbiased, dim=32, bits=2")
    info = shards.info()
    assert (info["rows"], info["shards"], info["shard_rows"]) == (300, 6, 64)
    assert [source["rows"] for source in info["sources"]] == [100, 100, 100]
    assert json.loads(json.dumps(info)) == info

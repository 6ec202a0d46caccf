"""Search and MaxSim on codes beside those of sentence-transformers."""

import inspect

import numpy as np
import pytest
import torch
from sentence_transformers.util import maxsim as exact_maxsim
from sentence_transformers.util import semantic_search as exact_search
from sentence_transformers.util.quantization import semantic_search_faiss

import blockquant as bq
from blockquant.integrations import _multi_vector
from blockquant.integrations.sentence_transformers import MultiVectorCodes, maxsim, semantic_search

X, QUERIES = (rows.astype(np.float32) for rows in bq.sample())
Q = bq.BlockQuant(dim=384, bits=4)
CODES = Q.encode(X)


# ---- semantic_search


def test_the_signature_is_that_of_the_helper_for_faiss():
    theirs = inspect.signature(semantic_search_faiss).parameters
    ours = inspect.signature(semantic_search).parameters
    assert [*ours][: len(theirs)] == [*theirs]
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default
    assert all("KEYWORD_" in ours[name].kind.name for name in [*ours][len(theirs) : -1])


def test_rescored_hits_are_those_of_an_exact_search():
    hits, seconds = semantic_search(QUERIES, X, top_k=10, rescore_multiplier=10)
    exact = exact_search(QUERIES, X, top_k=10, score_function=lambda a, b: a @ b.T)
    assert seconds > 0
    for line, expected in zip(hits, exact, strict=True):
        assert [hit["corpus_id"] for hit in line] == [hit["corpus_id"] for hit in expected]
        scores = [[hit["score"] for hit in some] for some in (line, expected)]
        assert np.allclose(*scores, atol=1e-6)
    assert {type(hits[0][0]["corpus_id"]), type(hits[0][0]["score"])} == {int, float}


@pytest.mark.parametrize("corpus", ["rows", "index", "codes", "file"])
def test_estimates_are_those_of_the_quantizer(corpus, tmp_path):
    scores, rows = Q.search(CODES, QUERIES, k=5, exact=True)
    expected = [
        [{"corpus_id": i, "score": s} for i, s in zip(*line, strict=True)]
        for line in zip(rows.tolist(), scores.tolist(), strict=True)
    ]
    index = bq.Index.of(Q)
    index.add(CODES)
    bq.save(tmp_path / "codes", Q, CODES)
    given = {
        "rows": {"corpus_embeddings": X, "rescore": False, "bits": 4},
        "index": {"corpus_index": index},
        "codes": {"corpus_index": (Q, CODES)},
        "file": {"corpus_index": bq.load(tmp_path / "codes")},
    }[corpus]
    hits, _, used = semantic_search(QUERIES, **given, top_k=5, output_index=True)
    assert hits == expected
    again, _ = semantic_search(QUERIES, corpus_index=used, top_k=5)
    assert again == expected
    assert semantic_search(QUERIES, **given, top_k=5, exact=False)[0] == expected


def test_an_index_is_rescored_by_stored_rows(tmp_path):
    np.save(tmp_path / "rows.npy", X)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    expected, _ = semantic_search(QUERIES, X, top_k=5)
    stored = {"corpus_index": (Q, CODES), "rescore_embeddings": rows}
    assert semantic_search(QUERIES, **stored, top_k=5)[0] == expected
    estimated, _ = semantic_search(QUERIES, **stored, top_k=5, rescore=False)
    assert estimated != expected
    more, _ = semantic_search(QUERIES, **stored, top_k=5, rescore_multiplier=8)
    assert sum(line[4]["score"] for line in more) >= sum(line[4]["score"] for line in expected)


def test_ids_of_an_index_are_the_ids_of_hits():
    index = bq.Index(dim=384, bits=8)
    index.add(X[:3], ids=["a", "b", "c"])
    hits, _ = semantic_search(X[1], corpus_index=index)
    assert hits[0][0]["corpus_id"] == "b"
    assert len(hits[0]) == 3


def test_tensors_and_other_precisions_of_floats():
    expected, _ = semantic_search(QUERIES[:9], X[:500], top_k=3)
    for rows in (torch.from_numpy(X[:500]), torch.from_numpy(X[:500]).requires_grad_()):
        assert semantic_search(torch.from_numpy(QUERIES[:9]), rows, top_k=3)[0] == expected
    half = torch.from_numpy(X[:500]).bfloat16()
    hits, _ = semantic_search(QUERIES[:9], half, top_k=3)
    assert hits == semantic_search(QUERIES[:9], half.float(), top_k=3)[0]
    assert semantic_search(QUERIES[:9].tolist(), X[:500].tolist(), top_k=3)[0] == expected


def test_fewer_rows_than_asked_for_and_none():
    hits, _ = semantic_search(QUERIES[:2], X[:3], top_k=10)
    assert [len(line) for line in hits] == [3, 3]
    assert semantic_search(QUERIES[:2], X[:0])[0] == [[], []]
    assert semantic_search(QUERIES[:0], X[:3])[0] == []


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({}, ValueError, "give either corpus_embeddings or corpus_index, found none"),
        ({"corpus_embeddings": X, "corpus_index": (Q, CODES)}, ValueError, "found both"),
        ({"corpus_embeddings": X, "corpus_precision": "ubinary"}, ValueError, "expected 'float32'"),
        ({"corpus_embeddings": X, "ranges": X[:2]}, ValueError, "have no use here"),
        ({"corpus_embeddings": X[0]}, ValueError, r"corpus_embeddings has shape \(384,\)"),
        ({"corpus_embeddings": X, "top_k": 0}, ValueError, "top_k=0"),
        ({"corpus_embeddings": X, "rescore_multiplier": 0.5}, TypeError, "rescore_multiplier=0.5"),
        ({"corpus_embeddings": X.view(np.int32)}, TypeError, "x has dtype int32"),
        ({"corpus_index": X}, TypeError, "corpus_index is ndarray, expected an Index, or a pair"),
        ({"corpus_index": (Q, CODES), "seed": 1}, TypeError, "seed: options are for corpus_emb"),
        ({"corpus_index": (bq.Eden(384, 4), CODES)}, ValueError, "the codes were made by"),
        ({"corpus_index": (Q, CODES), "rescore_embeddings": X[:, :9]}, ValueError, "rerank has sh"),
    ],
)
def test_wrong_arguments(given, error, text):
    with pytest.raises(error, match=text):
        semantic_search(QUERIES, **given)


# ---- MaxSim

RNG = np.random.default_rng(0)


def ragged(rows, *lengths):
    return np.split(rows[: sum(lengths)], np.cumsum(lengths)[:-1])


DOCUMENTS = ragged(X, *RNG.integers(1, 60, 40))
ASKED = ragged(QUERIES, 1, 8, 30, 4, 12)
CODED = MultiVectorCodes.encode(DOCUMENTS, bits=4)


def decoded(documents):
    """The documents as the codes hold them, whose products estimates are, of any method."""
    rows = documents.quantizer.decode(documents.codes)
    return [torch.from_numpy(part) for part in np.split(rows, documents.offsets[1:-1])]


@pytest.mark.parametrize("method", ["blockquant/mse", "eden", "blockquant"])
def test_maxsim_is_that_of_the_library_on_decoded_vectors(method):
    documents = MultiVectorCodes.encode(DOCUMENTS, bits=3, method=method)
    for normalize in (False, True):
        found = maxsim(ASKED, documents, length_normalize=normalize)
        expected = exact_maxsim(
            [torch.from_numpy(query) for query in ASKED],
            decoded(documents),
            length_normalize=normalize,
        )
        assert found.shape == (5, 40)
        assert found.dtype == np.float32
        assert np.allclose(found, expected.numpy(), atol=1e-4)


def test_more_bits_come_nearer_to_the_exact_maxsim():
    exact = exact_maxsim(ASKED, DOCUMENTS).numpy()
    errors = []
    for bits in (2, 4, 8):
        found = maxsim(ASKED, MultiVectorCodes.encode(DOCUMENTS, bits=bits))
        errors.append(np.abs(found - exact).max())
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.05


def test_results_do_not_depend_on_the_parts(monkeypatch):
    expected = maxsim(ASKED, CODED)
    for name in ("_ENCODED", "_QUERIED", "_PRODUCTS"):
        monkeypatch.setattr(_multi_vector, name, 50)
    assert MultiVectorCodes.encode(iter(DOCUMENTS), bits=4).codes == CODED.codes
    assert (maxsim(ASKED, CODED) == expected).all()
    one_by_one = [maxsim(query, CODED)[0] for query in ASKED]
    assert (np.stack(one_by_one) == expected).all()


def padded(items, width):
    out = np.zeros((len(items), width, 384), np.float32)
    for row, item in zip(out, items, strict=True):
        row[: len(item)] = item
    return out


def test_padding_and_masks():
    expected = maxsim(ASKED, CODED)
    queries, documents = padded(ASKED, 40), padded(DOCUMENTS, 70)
    assert (maxsim(queries, MultiVectorCodes.encode(documents, bits=4)) == expected).all()
    assert (maxsim(torch.from_numpy(queries), CODED) == expected).all()

    mask = RNG.integers(0, 2, (40, 70))
    documents += (np.abs(documents).sum(axis=2, keepdims=True) == 0) * X[0]  # no rows of zeros
    coded = MultiVectorCodes.encode(documents, mask, bits=8)
    a_mask = RNG.integers(0, 2, (5, 40)).astype(bool)
    for normalize in (False, True):
        found = maxsim(queries, coded, a_mask, length_normalize=normalize)
        masks = {"a_mask": torch.from_numpy(a_mask), "b_mask": torch.from_numpy(mask)}
        exact = exact_maxsim(queries, documents, **masks, length_normalize=normalize).numpy()
        assert np.allclose(found, exact, atol=0.05)
    each = [line[: len(query)] for line, query in zip(a_mask, ASKED, strict=True)]
    same = maxsim(ASKED, CODED, each)
    a_mask &= padded(ASKED, 40).any(axis=2)
    assert (same == maxsim(queries, CODED, a_mask)).all()
    assert (same != expected).any()


@pytest.mark.filterwarnings("ignore")
def test_documents_and_queries_without_vectors():
    empty = np.empty((0, 384), np.float32)
    documents, queries = [X[:2], empty, X[2:5], empty], [empty, QUERIES[:3]]
    coded = MultiVectorCodes.encode(documents, bits=8)
    for normalize in (False, True):
        found = maxsim(queries, coded, length_normalize=normalize)
        exact = exact_maxsim(
            [torch.from_numpy(query) for query in queries],
            [torch.from_numpy(document) for document in documents],
            length_normalize=normalize,
        )
        assert np.allclose(found, exact.numpy(), rtol=1e-6, atol=0.02)
    assert maxsim([], coded).shape == (0, 4)
    none = MultiVectorCodes.encode([], quantizer=Q)
    assert len(none) == 0
    assert maxsim(queries, none).shape == (2, 0)
    assert none.search(queries) == [[], []]


def test_search_ranks_by_maxsim():
    scores = maxsim(ASKED, CODED)
    for hits, line in zip(CODED.search(ASKED, top_k=6), scores, strict=True):
        best = np.argsort(-line, kind="stable")[:6]
        assert [hit["corpus_id"] for hit in hits] == best.tolist()
        assert [hit["score"] for hit in hits] == line[best].tolist()
    exact = exact_maxsim(ASKED, DOCUMENTS).argmax(dim=1).tolist()
    wide = MultiVectorCodes.encode(DOCUMENTS, bits=8)
    assert [hits[0]["corpus_id"] for hits in wide.search(ASKED, top_k=1)] == exact


def test_a_document_is_found_by_its_own_vectors():
    found = CODED.search([document[:5] for document in DOCUMENTS], top_k=1)
    assert [hits[0]["corpus_id"] for hits in found] == list(range(40))


def test_files(tmp_path):
    bq.save(tmp_path / "codes", CODED.quantizer, CODED.codes)
    np.save(tmp_path / "offsets.npy", CODED.offsets)
    q, codes = bq.load(tmp_path / "codes")
    again = MultiVectorCodes(q, codes, np.load(tmp_path / "offsets.npy"))
    assert (maxsim(ASKED, again) == maxsim(ASKED, CODED)).all()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: maxsim(ASKED, DOCUMENTS), TypeError, "b is list, expected MultiVectorCodes"),
        (lambda: maxsim([X[0]], CODED), ValueError, r"a\[0\] has shape \(384,\), expected rows"),
        (lambda: maxsim([X[:2, :9]], CODED), ValueError, r"a\[0\] has 9 columns, expected dim=384"),
        (lambda: maxsim(3, CODED), TypeError, "a is int, expected a list of arrays"),
        (lambda: maxsim([X[:2]], CODED, [[1]]), ValueError, r"the mask of a\[0\] has shape \(1,\)"),
        (lambda: maxsim([X[:2]], CODED, [[1, 2]]), ValueError, "values other than 0 and 1"),
        (lambda: maxsim([X[:2]], CODED, []), ValueError, "the mask of a has 0 rows, expected 1"),
        (lambda: MultiVectorCodes.encode([]), ValueError, "found 0 documents"),
        (
            lambda: MultiVectorCodes.encode([X[:2], X[:2] * np.nan]),
            ValueError,
            r"documents\[1\]: row 0, column 0 is NaN",
        ),
        (lambda: MultiVectorCodes.encode(X), ValueError, "expected .items, tokens, dim"),
        (lambda: MultiVectorCodes(Q, CODES, [0, 9]), ValueError, "from 0 to 9, expected from 0"),
        (lambda: MultiVectorCodes(Q, CODES, [0, 9, 3, 2000]), ValueError, "none below the one"),
        (lambda: MultiVectorCodes(Q, CODES, [0.0, 2000.0]), ValueError, "dtype float64"),
        (lambda: MultiVectorCodes(Q, X, [0]), TypeError, "codes is ndarray, expected Codes"),
        (lambda: MultiVectorCodes(X, CODES, [0]), TypeError, "quantizer is ndarray"),
        (lambda: CODED.search(ASKED, top_k=0), ValueError, "top_k=0"),
    ],
)
def test_wrong_vectors(call, error, text):
    with pytest.raises(error, match=text):
        call()

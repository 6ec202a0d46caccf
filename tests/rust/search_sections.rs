//! Tests of search in rows with fitted axes, which have a gain for each of several sections.

use std::sync::Arc;

use blockquant::quantizer::Group;
use blockquant::rng::SeedStream;
use blockquant::scan::search::merge;
use blockquant::{Axes, Dense, Isa, Quantizer, Request, Signs, threads};

use crate::common::{encode, gaussian, spec};
use crate::search::{Case, Found, METRICS, plain};

/// Axes, method and bits of each group.
type Groups = &'static [(usize, &'static str, f64)];

/// Rows whose coordinates fall, along axes that are not those of the coordinates.
const KINDS: [(usize, Groups); 6] = [
    (40, &[(40, "trellis", 2.0)]),
    (70, &[(32, "trellis", 4.0), (38, "trellis", 1.5)]),
    (
        96,
        &[
            (32, "eden", 6.0),
            (24, "blockquant", 2.0),
            (20, "trellis", 1.0),
        ],
    ),
    (
        100,
        &[
            (16, "eden", 7.0),
            (16, "trellis", 3.0),
            (33, "blockquant", 2.0),
            (35, "eden", 1.0),
        ],
    ),
    // The first group has too many axes to be taken by its integers.
    (140, &[(130, "trellis", 2.0)]),
    (170, &[(130, "trellis", 2.0), (40, "trellis", 1.0)]),
];

/// How far rows fall along axis i.
fn deviation(i: usize) -> f64 {
    1.0 / (1.0 + i as f64 / 6.0)
}

/// Axes that are not those of the coordinates: a reflection I − 2vvᵀ.
fn axes(dim: usize) -> Axes {
    let v: Vec<f64> = gaussian(dim, 8).iter().map(|&v| f64::from(v)).collect();
    let square: f64 = v.iter().map(|v| v * v).sum();
    let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square;
    let turned = (0..dim * dim).map(|at| entry(at / dim, at % dim) as f32);
    let variances = (0..dim).map(|i| deviation(i).powi(2)).collect();
    let mean = gaussian(dim, 9).iter().map(|mean| 0.3 * mean).collect();
    Axes::new(mean, turned.collect(), variances, None, 1000, 0.0).unwrap()
}

/// Rows of such axes: the deviations of `of` times normal numbers, plus the mean.
fn rows(axes: &Axes, n: usize, seed: u64, of: impl Fn(usize, usize) -> f64) -> Vec<f32> {
    let dim = axes.dim();
    let mut stream = SeedStream::new(seed, 78);
    let mut out = Vec::new();
    for row in 0..n {
        let z: Vec<f64> = (0..dim).map(|i| of(row, i) * stream.gaussian()).collect();
        for j in 0..dim {
            let x: f64 = (0..dim)
                .map(|i| z[i] * f64::from(axes.axes()[i * dim + j]))
                .sum();
            out.push((x + f64::from(axes.mean()[j])) as f32);
        }
    }
    out
}

fn quantizer((dim, groups): (usize, Groups)) -> Quantizer {
    let group = |&(axes, method, bits): &(usize, &str, f64)| Group {
        axes,
        method: method.to_owned(),
        bits,
    };
    Quantizer::new(blockquant::Spec {
        axes: Some(Arc::new(axes(dim))),
        groups: Some(groups.iter().map(group).collect()),
        ..spec("trellis", dim, 8.0)
    })
    .unwrap()
}

/// Rows of all lengths and directions, or what a search has to bear: rows that lie in few axes,
/// equal rows, rows at the mean, and rows that are very long and very short.
fn case(kind: (usize, Groups), n: usize, is_hostile: bool) -> Case {
    let quantizer = quantizer(kind);
    let dim = kind.0;
    let model = axes(dim);
    let mut x = rows(&model, n, 1, |_, i| deviation(i));
    if is_hostile {
        let hostile = rows(&model, n, 2, |row, i| match row % 6 {
            0 if i < dim / 2 => 0.0,
            1 if i > 3 => 0.0,
            2 => 1e12 * deviation(i),
            3 => 1e-6 * deviation(i),
            4 => 0.0,
            _ => deviation(i),
        });
        x = hostile;
        let one = x[5 * dim..6 * dim].to_vec();
        for row in x.chunks_exact_mut(dim).skip(11).step_by(12) {
            row.copy_from_slice(&one);
        }
    }
    let codes = encode(&quantizer, Isa::detect(), &x);
    let mut queries = rows(&model, 6, 3, |_, i| deviation(i));
    // A query along one axis, and the mean itself.
    queries.extend((0..dim).map(|j| model.axes()[2 * dim + j]));
    queries.extend(model.mean());
    Case {
        quantizer,
        codes,
        queries,
    }
}

/// What decides how a search is done does not change what it finds.
#[test]
fn every_way_to_search_finds_the_same() {
    for kind in KINDS {
        for is_hostile in [false, true] {
            let (dim, groups) = kind;
            let n = if groups.len() == 3 { 9_000 } else { 1_300 };
            let case = case(kind, n, is_hostile);
            let signs = case.signs(Isa::Scalar);
            let some: Vec<bool> = (0..n).map(|row| row % 3 != 1).collect();
            for metric in METRICS {
                for allowed in [None, Some(&some[..])] {
                    let request = Request {
                        allowed,
                        ..Request::new(7, metric)
                    };
                    let expected = case.search(Isa::Scalar, request);
                    for isa in Isa::available() {
                        let what = format!("{groups:?} {is_hostile} {metric:?} {isa:?}");
                        let kept = Request {
                            signs: signs.as_ref(),
                            ..request
                        };
                        for count in [1, 2] {
                            threads::set_num_threads(count).unwrap();
                            assert_eq!(case.search(isa, request), expected, "{what} {count}");
                            assert_eq!(case.search(isa, kept), expected, "{what} {count} signs");
                        }
                        for request in [request, kept] {
                            let one = |query: &[f32]| {
                                let y = Dense::new(query, dim).unwrap();
                                let codes = case.codes.view();
                                let found = case.quantizer.search_with(isa, codes, &y, request);
                                plain(&found.unwrap()).remove(0)
                            };
                            let each: Found = case.queries.chunks(dim).map(one).collect();
                            assert_eq!(each, expected, "{what} one by one");
                        }
                    }
                }
            }
        }
    }
}

/// The bounds overlook a few hits among 10,000. So at most two of 160 hits may differ from those of
/// an exact search, and none where all rows are found.
#[test]
fn bounds_overlook_almost_nothing() {
    for kind in KINDS {
        for is_hostile in [false, true] {
            let case = case(kind, 2500, is_hostile);
            for metric in METRICS {
                for count in [20, 2499, 2500] {
                    let request = Request {
                        ranked: true,
                        ..Request::new(count, metric)
                    };
                    let exact = Request {
                        exact: true,
                        ..request
                    };
                    let all = case.search(Isa::detect(), exact);
                    let hits = case.request(Isa::detect(), request);
                    let found = plain(&hits);
                    let differ: usize = (all.iter().zip(&found))
                        .map(|(all, found)| all.iter().filter(|hit| !found.contains(hit)).count())
                        .sum();
                    let what = format!("{kind:?} {is_hostile} {metric:?} {count}: {differ}");
                    assert!(found.iter().all(|hits| hits.len() == count), "{what}");
                    assert!(differ <= if count == 2500 { 0 } else { 2 }, "{what}");
                    let signed = |score: f32| match metric {
                        blockquant::Metric::Euclidean => -score,
                        _ => score,
                    };
                    let all = || hits.iter().flatten();
                    assert!(all().all(|hit| hit.rank <= signed(hit.score)), "{what}");
                }
            }
        }
    }
}

/// The best rows of parts, merged by rank, are the best rows of all, whatever the parts are.
#[test]
fn merged_parts_are_one_search() {
    for kind in KINDS {
        let case = case(kind, 2000, false);
        let n = case.codes.len();
        for metric in METRICS {
            for count in [1, 10, 300] {
                let request = Request {
                    ranked: true,
                    ..Request::new(count, metric)
                };
                let whole = case.search(Isa::detect(), request);
                let mut parts = Vec::new();
                for cut in [0..1, 1..70, 70..1200, 1200..n] {
                    let part = case.part(cut.clone());
                    parts.push((cut.start as u32, part.request(Isa::detect(), request)));
                }
                for (q, expected) in whole.iter().enumerate() {
                    let parts = parts.iter().map(|(first, hits)| (*first, hits[q].clone()));
                    let merged = plain(&[merge(parts, count)]).remove(0);
                    assert_eq!(&merged, expected, "{kind:?} {metric:?} {count}");
                }
            }
        }
    }
}

/// Signs follow their codes: rows are appended, and rows are deleted.
#[test]
fn kept_signs_grow_and_shrink() {
    let isa = Isa::detect();
    for kind in [KINDS[0], KINDS[3], KINDS[5]] {
        let mut case = case(kind, 2500, true);
        let more = case.part(0..70).codes;
        let mut signs = case.part(0..1500).signs(isa).unwrap();
        signs = (case.quantizer)
            .extend_signs(isa, &signs, case.codes.view())
            .unwrap();
        let check = |case: &Case, signs: &Signs| {
            assert_eq!(signs.rows(), case.codes.len());
            for metric in METRICS {
                let request = Request::new(9, metric);
                let kept = Request {
                    signs: Some(signs),
                    ..request
                };
                assert_eq!(case.search(isa, kept), case.search(isa, request));
            }
        };
        check(&case, &signs);
        for step in [70, 3, 2] {
            let kept: Vec<bool> = (0..signs.rows()).map(|row| row % step != 1).collect();
            let rows: Vec<usize> = (0..signs.rows()).filter(|&row| kept[row]).collect();
            case.codes = case.codes.select(&rows).unwrap();
            signs = signs.kept(&kept);
            check(&case, &signs);
            case.codes.extend(&more).unwrap();
            signs = (case.quantizer)
                .extend_signs(isa, &signs, case.codes.view())
                .unwrap();
            check(&case, &signs);
        }
    }
}

//! Tests of search from Rust. The hits are the same on every instruction set and with any number of
//! threads, and they are those of a complete ranking of the estimates.

use blockquant::rng::SeedStream;
use blockquant::scan::search::{Hit, Metric, merge};
use blockquant::{Codes, Dense, Isa, Quantizer, Request, Signs, Spec, threads};

use crate::common::{encode, spec};

pub const METRICS: [Metric; 3] = [Metric::InnerProduct, Metric::Euclidean, Metric::Cosine];

fn quantizer(method: &str, dim: usize, bits: f64) -> Quantizer {
    let seed = 5;
    Quantizer::new(Spec {
        seed,
        ..spec(method, dim, bits)
    })
    .unwrap()
}

/// Gaussian rows, multiplied by random factors from 1 to e.
fn rows_of(n: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut stream = SeedStream::new(seed, 78);
    (0..n)
        .flat_map(|_| {
            let size = stream.uniform().exp();
            (0..dim)
                .map(|_| (size * stream.gaussian()) as f32)
                .collect::<Vec<f32>>()
        })
        .collect()
}

/// The row of each hit and the bits of its score, query by query.
pub type Found = Vec<Vec<(u32, u32)>>;

pub fn plain(hits: &[Vec<Hit>]) -> Found {
    let pair = |hit: &Hit| (hit.row, hit.score.to_bits());
    (hits.iter())
        .map(|hits| hits.iter().map(pair).collect())
        .collect()
}

pub struct Case {
    pub quantizer: Quantizer,
    pub codes: Codes,
    pub queries: Vec<f32>,
}

impl Case {
    fn new(method: &str, n: usize, dim: usize, bits: f64) -> Self {
        Self::of(quantizer(method, dim, bits), n)
    }

    /// Rows less a center whose length is half of theirs.
    fn centered(method: &str, n: usize, dim: usize, bits: f64) -> Self {
        let center = rows_of(1, dim, 9).iter().map(|value| value / 2.0).collect();
        let spec = Spec {
            center: Some(center),
            ..quantizer(method, dim, bits).spec().clone()
        };
        Self::of(Quantizer::new(spec).unwrap(), n)
    }

    /// All metrics; with a center and biased estimates those that are not refused.
    fn metrics(&self) -> Vec<Metric> {
        let spec = self.quantizer.spec();
        let is_biased = spec.center.is_some() && spec.method == "turboquant/mse";
        if is_biased {
            vec![Metric::Euclidean]
        } else {
            METRICS.to_vec()
        }
    }

    fn of(quantizer: Quantizer, n: usize) -> Self {
        let dim = quantizer.spec().dim;
        let x = rows_of(n, dim, 1);
        let codes = encode(&quantizer, Isa::detect(), &x);
        Self {
            quantizer,
            codes,
            queries: rows_of(5, dim, 2),
        }
    }

    pub fn request(&self, isa: Isa, request: Request<'_>) -> Vec<Vec<Hit>> {
        let y = Dense::new(&self.queries, self.quantizer.spec().dim).unwrap();
        let found = self
            .quantizer
            .search_with(isa, self.codes.view(), &y, request);
        found.unwrap()
    }

    pub fn search(&self, isa: Isa, request: Request<'_>) -> Found {
        plain(&self.request(isa, request))
    }

    pub fn signs(&self, isa: Isa) -> Option<Signs> {
        self.quantizer.signs(isa, self.codes.view()).unwrap()
    }

    /// The codes of some rows only.
    pub fn part(&self, rows: std::ops::Range<usize>) -> Self {
        let rows: Vec<usize> = rows.collect();
        Self {
            quantizer: Quantizer::new(self.quantizer.spec().clone()).unwrap(),
            codes: self.codes.select(&rows).unwrap(),
            queries: self.queries.clone(),
        }
    }
}

/// The bounds overlook a few hits among 10,000. So at most two of a hundred hits may differ from
/// those of an exact search.
#[test]
fn bounds_overlook_almost_nothing() {
    for (method, dim, bits) in [
        ("blockquant", 96, 2.0),
        ("eden", 50, 1.0),
        ("eden", 200, 4.0),
        ("rabitq", 64, 3.0),
        ("turboquant/mse", 33, 2.0),
        ("trellis", 64, 1.0),
        ("trellis", 50, 2.0),
        ("trellis", 200, 4.0),
    ] {
        for case in [
            Case::new(method, 3000, dim, bits),
            Case::centered(method, 3000, dim, bits),
        ] {
            for metric in case.metrics() {
                let request = Request::new(20, metric);
                let exact = Request {
                    exact: true,
                    ..request
                };
                let all = case.search(Isa::detect(), exact);
                let found = case.search(Isa::detect(), request);
                let differ: usize = (all.iter().zip(&found))
                    .map(|(all, found)| all.iter().filter(|hit| !found.contains(hit)).count())
                    .sum();
                assert!(found.iter().all(|hits| hits.len() == 20));
                assert!(differ <= 2, "{method} {metric:?}: {differ} of 100 differ");
            }
        }
    }
}

/// What decides how a search is done does not change what it finds: instruction sets, threads,
/// kept signs, and how the queries are divided into calls.
#[test]
fn every_way_to_search_finds_the_same() {
    for (method, bits) in [
        ("blockquant", 2.0),
        ("eden", 1.0),
        ("turboquant/prod", 2.0),
        ("trellis", 3.0),
    ] {
        // 33,000 rows are several parts.
        let n = if method == "eden" { 33_000 } else { 2_500 };
        let case = match method {
            "eden" => Case::new(method, n, 24, bits),
            _ => Case::centered(method, n, 24, bits),
        };
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
                    for count in [1, 2, 3] {
                        threads::set_num_threads(count).unwrap();
                        let what = format!("{method} {metric:?} {isa:?} {count}");
                        assert_eq!(case.search(isa, request), expected, "{what}");
                        let kept = Request {
                            signs: signs.as_ref(),
                            ..request
                        };
                        assert_eq!(case.search(isa, kept), expected, "{what} signs");
                    }
                    let one = |query: &[f32]| {
                        let y = Dense::new(query, 24).unwrap();
                        let codes = case.codes.view();
                        let found = case.quantizer.search_with(isa, codes, &y, request);
                        plain(&found.unwrap()).remove(0)
                    };
                    let each: Found = case.queries.chunks(24).map(one).collect();
                    assert_eq!(each, expected, "{method} {metric:?} {isa:?} one by one");
                }
            }
        }
    }
}

/// The best rows of parts, merged by rank, are the best rows of all, whatever the parts are.
#[test]
fn merged_parts_are_one_search() {
    for case in [
        Case::new("blockquant", 5000, 40, 2.0),
        Case::centered("eden", 3000, 33, 1.0),
    ] {
        let n = case.codes.len();
        for metric in METRICS {
            for count in [1, 10, 300] {
                let request = Request {
                    ranked: true,
                    ..Request::new(count, metric)
                };
                let whole = case.search(Isa::detect(), request);
                for cuts in [vec![n / 2], vec![1, 70, 71, 2000], vec![n - 3, n - 2]] {
                    let ends = cuts.iter().copied().chain([n]);
                    let mut parts = Vec::new();
                    let mut from = 0;
                    for end in ends {
                        let part = case.part(from..end);
                        parts.push((from as u32, part.request(Isa::detect(), request)));
                        from = end;
                    }
                    for (q, expected) in whole.iter().enumerate() {
                        let parts = parts.iter().map(|(first, hits)| (*first, hits[q].clone()));
                        let merged = plain(&[merge(parts, count)]).remove(0);
                        assert_eq!(&merged, expected, "{metric:?} {count} {cuts:?}");
                    }
                }
            }
        }
    }
}

/// Signs follow their codes: rows are appended, and rows are deleted.
#[test]
fn kept_signs_grow_and_shrink() {
    let mut case = Case::new("blockquant", 3000, 40, 2.0);
    let isa = Isa::detect();
    let mut signs = case.part(0..2500).signs(isa).unwrap();
    signs = case
        .quantizer
        .extend_signs(isa, &signs, case.codes.view())
        .unwrap();
    let check = |case: &Case, signs: &Signs| {
        assert_eq!(signs.rows(), case.codes.len());
        let some: Vec<bool> = (0..signs.rows()).map(|row| row % 5 != 2).collect();
        for allowed in [None, Some(&some[..])] {
            let request = Request {
                allowed,
                ..Request::new(9, Metric::Euclidean)
            };
            let kept = Request {
                signs: Some(signs),
                ..request
            };
            assert_eq!(case.search(isa, kept), case.search(isa, request));
        }
    };
    check(&case, &signs);
    let bytes = signs.bytes();
    assert!(bytes <= 3072 * (64 / 8 + 8), "{bytes}");
    for step in [700, 3, 64, 2] {
        let kept: Vec<bool> = (0..signs.rows()).map(|row| row % step != 1).collect();
        let rows: Vec<usize> = (0..signs.rows()).filter(|&row| kept[row]).collect();
        case.codes = case.codes.select(&rows).unwrap();
        signs = signs.kept(&kept);
        check(&case, &signs);
        let more = encode(&case.quantizer, isa, &rows_of(50, 40, step as u64));
        case.codes.extend(&more).unwrap();
        signs = case
            .quantizer
            .extend_signs(isa, &signs, case.codes.view())
            .unwrap();
        check(&case, &signs);
    }
}

/// Among equal rows the lower index comes first, whatever path found them.
#[test]
fn ties_go_to_the_lower_row() {
    let dim = 32;
    let quantizer = quantizer("blockquant", dim, 2.0);
    let one = rows_of(1, dim, 3);
    let x: Vec<f32> = one.iter().copied().cycle().take(1500 * dim).collect();
    let codes = encode(&quantizer, Isa::detect(), &x);
    let case = Case {
        quantizer,
        codes,
        queries: one.iter().copied().chain(rows_of(1, dim, 4)).collect(),
    };
    for exact in [false, true] {
        for metric in METRICS {
            let request = Request {
                exact,
                ..Request::new(9, metric)
            };
            for hits in case.search(Isa::detect(), request) {
                let found: Vec<u32> = hits.iter().map(|hit| hit.0).collect();
                assert_eq!(found, (0..9).collect::<Vec<u32>>(), "{exact} {metric:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let case = Case::new("eden", 10, 8, 2.0);
    let (isa, codes) = (Isa::detect(), case.codes.view());
    let y = Dense::new(&case.queries, 8).unwrap();
    let search = |codes, request| {
        let found = case.quantizer.search_with(isa, codes, &y, request);
        found.map(|_| ()).unwrap_err().to_string()
    };
    let ip = Metric::InnerProduct;
    assert_eq!(
        search(codes, Request::new(0, ip)),
        "k is 0, expected at least 1"
    );
    let without = blockquant::CodesRef {
        norm: None,
        ..codes
    };
    let cosine = Request::new(1, Metric::Cosine);
    assert!(search(without, cosine).contains("with store_norm: true"));
    let masked = Request {
        allowed: Some(&[true; 9]),
        ..Request::new(1, ip)
    };
    assert!(search(codes, masked).contains("9 entries, expected 10"));
    let other = Case::new("eden", 11, 8, 2.0);
    let signs = other.signs(isa);
    let wrong = Request {
        signs: signs.as_ref(),
        ..Request::new(1, ip)
    };
    assert_eq!(search(codes, wrong), "the signs are of other codes");
    let shorter = case.quantizer.extend_signs(isa, &signs.unwrap(), codes);
    assert!(shorter.unwrap_err().to_string().contains("other codes"));
}

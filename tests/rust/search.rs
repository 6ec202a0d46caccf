//! Tests of search from Rust. The hits are the same on every instruction set and with any number of
//! threads, and they are those of a complete ranking of the estimates.

use blockquant::rng::SeedStream;
use blockquant::scan::search::{Hit, Metric};
use blockquant::{Codes, Dense, Isa, Quantizer, Spec, threads};

use crate::common::{encode, spec};

const METRICS: [Metric; 3] = [Metric::InnerProduct, Metric::Euclidean, Metric::Cosine];

fn quantizer(method: &str, dim: usize, bits: f64) -> Quantizer {
    let seed = 5;
    Quantizer::new(Spec {
        seed,
        ..spec(method, dim, bits)
    })
    .unwrap()
}

/// Gaussian rows, multiplied by random factors from 1 to e.
fn rows(n: usize, dim: usize, seed: u64) -> Vec<f32> {
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

fn plain(hits: &[Vec<Hit>]) -> Vec<Vec<(u32, u32)>> {
    let pair = |hit: &Hit| (hit.row, hit.score.to_bits());
    (hits.iter())
        .map(|hits| hits.iter().map(pair).collect())
        .collect()
}

struct Case {
    quantizer: Quantizer,
    codes: Codes,
    queries: Vec<f32>,
}

impl Case {
    fn new(method: &str, n: usize, dim: usize, bits: f64) -> Self {
        Self::of(quantizer(method, dim, bits), n)
    }

    /// Rows less a center whose length is half of theirs.
    fn centered(method: &str, n: usize, dim: usize, bits: f64) -> Self {
        let center = rows(1, dim, 9).iter().map(|value| value / 2.0).collect();
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
        let x = rows(n, dim, 1);
        let codes = encode(&quantizer, Isa::detect(), &x);
        Self {
            quantizer,
            codes,
            queries: rows(5, dim, 2),
        }
    }

    fn search(
        &self,
        isa: Isa,
        sketched: bool,
        count: usize,
        metric: Metric,
        allowed: Option<&[bool]>,
    ) -> Vec<Vec<(u32, u32)>> {
        let codes = self.codes.view();
        let sketch = self.quantizer.sketch(isa, codes).unwrap();
        let y = Dense::new(&self.queries, self.quantizer.spec().dim).unwrap();
        let sketch = sketch.as_ref().filter(|_| sketched);
        plain(
            &self
                .quantizer
                .search(isa, codes, sketch, &y, count, metric, allowed)
                .unwrap(),
        )
    }
}

/// A sketch overlooks a few hits among 10,000. So at most two of a hundred hits may differ from
/// those of a search without it.
#[test]
fn a_sketch_overlooks_almost_nothing() {
    for (method, dim, bits) in [
        ("blockquant", 96, 2.0),
        ("eden", 50, 1.0),
        ("eden", 200, 4.0),
        ("rabitq", 64, 3.0),
        ("turboquant/mse", 33, 2.0),
    ] {
        for case in [
            Case::new(method, 3000, dim, bits),
            Case::centered(method, 3000, dim, bits),
        ] {
            for metric in case.metrics() {
                let all = case.search(Isa::detect(), false, 20, metric, None);
                let found = case.search(Isa::detect(), true, 20, metric, None);
                let differ: usize = (all.iter().zip(&found))
                    .map(|(all, found)| all.iter().filter(|hit| !found.contains(hit)).count())
                    .sum();
                assert!(found.iter().all(|hits| hits.len() == 20));
                assert!(differ <= 2, "{method} {metric:?}: {differ} of 100 differ");
            }
        }
    }
}

#[test]
fn every_instruction_set_and_number_of_threads_finds_the_same() {
    for (method, bits) in [("blockquant", 2.0), ("eden", 1.0), ("turboquant/prod", 2.0)] {
        // 33,000 rows are several segments.
        let n = if method == "eden" { 33_000 } else { 2_000 };
        let case = match method {
            "eden" => Case::new(method, n, 24, bits),
            _ => Case::centered(method, n, 24, bits),
        };
        let allowed: Vec<bool> = (0..n).map(|row| row % 3 != 1).collect();
        for metric in METRICS {
            let expected = case.search(Isa::Scalar, true, 7, metric, Some(&allowed));
            for isa in Isa::available() {
                for count in [1, 2, 3] {
                    threads::set_num_threads(count).unwrap();
                    let found = case.search(isa, true, 7, metric, Some(&allowed));
                    assert_eq!(found, expected, "{method} {metric:?} {isa:?} {count}");
                }
            }
        }
    }
}

/// Among equal rows the lower index comes first, whatever path found them.
#[test]
fn ties_go_to_the_lower_row() {
    let dim = 32;
    let quantizer = quantizer("blockquant", dim, 2.0);
    let one = rows(1, dim, 3);
    let x: Vec<f32> = one.iter().copied().cycle().take(1500 * dim).collect();
    let codes = encode(&quantizer, Isa::detect(), &x);
    let case = Case {
        quantizer,
        codes,
        queries: one.iter().copied().chain(rows(1, dim, 4)).collect(),
    };
    for sketched in [false, true] {
        for metric in METRICS {
            for hits in case.search(Isa::detect(), sketched, 9, metric, None) {
                let found: Vec<u32> = hits.iter().map(|hit| hit.0).collect();
                assert_eq!(found, (0..9).collect::<Vec<u32>>(), "{sketched} {metric:?}");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let case = Case::new("eden", 10, 8, 2.0);
    let (isa, codes) = (Isa::detect(), case.codes.view());
    let y = Dense::new(&case.queries, 8).unwrap();
    let search = |codes, sketch, count, metric, allowed| {
        let found = case
            .quantizer
            .search(isa, codes, sketch, &y, count, metric, allowed);
        found.map(|_| ()).unwrap_err().to_string()
    };
    let ip = Metric::InnerProduct;
    assert_eq!(
        search(codes, None, 0, ip, None),
        "k is 0, expected at least 1"
    );
    let without = blockquant::CodesRef {
        norm: None,
        ..codes
    };
    assert!(search(without, None, 1, Metric::Cosine, None).contains("with store_norm: true"));
    assert!(search(codes, None, 1, ip, Some(&[true; 9])).contains("9 entries, expected 10"));
    let other = Case::new("eden", 11, 8, 2.0);
    let sketch = other.quantizer.sketch(isa, other.codes.view()).unwrap();
    assert_eq!(
        search(codes, sketch.as_ref(), 1, ip, None),
        "the sketch is of other codes"
    );
}

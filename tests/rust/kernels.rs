//! Each kernel, on each instruction set of this machine, against a definition that is written here:
//! bit for bit, over awkward sizes.

use blockquant::Isa;
use blockquant::kernels::quantize::{self, Levels};
use blockquant::kernels::{convert, dense, fwht, pack, reduce, rescale};
use blockquant::rng::SeedStream;
use proptest::prelude::*;

use crate::common::values;

/// Sizes from 0 on, and around multiples of the lanes and of the registers.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        0usize..40,
        Just(63),
        Just(64),
        Just(65),
        Just(127),
        Just(200)
    ]
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// The sum of the contract in float64: element i goes to lane i mod 16, then the lanes are halved.
///
/// `step` adds element i to its lane.
fn lane_sum(n: usize, mut step: impl FnMut(usize, f64) -> f64) -> f64 {
    let mut lanes = [0f64; 16];
    for i in 0..n {
        lanes[i % 16] = step(i, lanes[i % 16]);
    }
    let mut width = 8;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Matrices of which blocks are copied, with whole blocks and parts of them.
#[test]
fn transposed_products_of_large_matrices_equal_their_sums() {
    for (rows, dim) in [
        (200, 200),
        (128, 320),
        (257, 145),
        (1, 40_000),
        (2000, 19),
        (40_000, 1),
    ] {
        let mut stream = SeedStream::new(rows as u64, dim as u64);
        let mut values =
            |n: usize| -> Vec<f32> { (0..n).map(|_| stream.gaussian() as f32).collect() };
        let matrix = values(rows * dim);
        for vectors in [0, 1, 2, 3, 5, 8, 15] {
            let x = values(vectors * rows);
            let mut expected = vec![0f32; vectors * dim];
            for (x, out) in x.chunks(rows).zip(expected.chunks_mut(dim)) {
                for (x, row) in x.iter().zip(matrix.chunks(dim)) {
                    for (out, entry) in out.iter_mut().zip(row) {
                        *out = x.mul_add(*entry, *out);
                    }
                }
            }
            for isa in Isa::available() {
                let mut out = vec![9.0; vectors * dim];
                dense::transposed_products(isa, &matrix, dim, &x, &mut out);
                assert_eq!(
                    bits(&out),
                    bits(&expected),
                    "{isa:?} {rows} {dim} {vectors}"
                );
            }
        }
    }
}

/// A machine must have the instruction set that is expected of its architecture (CI names it), so
/// that its kernels are tested, and use its best one by default.
#[test]
fn the_required_instruction_set_is_available() {
    let expected = std::env::var("BLOCKQUANT_REQUIRE_ISA").unwrap_or_else(|_| {
        if cfg!(target_arch = "aarch64") {
            "neon".into()
        } else {
            "avx2".into()
        }
    });
    let available = Isa::available();
    assert!(
        available.iter().any(|isa| isa.name() == expected),
        "the vector kernels would go untested"
    );
    assert_eq!(available[0], Isa::detect());
    assert_eq!(available.last(), Some(&Isa::Scalar));
    assert!(Isa::from_name("sse9").is_err());
}

/// Σ uᵢcᵢ and Σ cᵢ² in float32, with the lanes of the contract.
fn f32_sums(u: &[f32], c: &[f32]) -> [f32; 2] {
    [u, c].map(|a| {
        let mut lanes = [0f32; 16];
        for (i, (x, y)) in a.iter().zip(c).enumerate() {
            lanes[i % 16] = x.mul_add(*y, lanes[i % 16]);
        }
        for width in [8, 4, 2, 1] {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
        }
        lanes[0]
    })
}

/// The search at a real size finds what a walk through all critical values finds.
#[test]
fn rescaling_search_equals_a_full_walk_at_1536() {
    let mut stream = SeedStream::new(6, 0);
    let gaussian: Vec<f32> = (0..1536).map(|_| stream.gaussian() as f32).collect();
    let equal = vec![0.75f32; 1536];
    let near: Vec<f32> = (0..1536)
        .map(|i| if i % 2 == 0 { 1.5 } else { 1.5f32.next_up() })
        .collect();
    for u in [gaussian, equal, near] {
        let v: Vec<f64> = u
            .iter()
            .map(|x| (f64::from(x.abs()) * 16_777_216.0).round_ties_even() / 16_777_216.0)
            .collect();
        for most in [1u16, 7, 127] {
            let mut critical: Vec<(f64, f64, f64)> = Vec::new();
            for &x in &v {
                for k in 1..=most {
                    let k = f64::from(k);
                    let near = [(k / x).next_down(), k / x, (k / x).next_up()];
                    let t = near.into_iter().find(|t| t * x >= k).unwrap();
                    critical.push((t, x, k));
                }
            }
            critical.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut a: f64 = v.iter().map(|x| 0.5 * x).sum();
            let mut n = 0.25 * v.len() as f64;
            let mut best = (a * a / n, 0.0);
            for (i, &(t, x, k)) in critical.iter().enumerate() {
                a += x;
                n += 2.0 * k;
                if critical.get(i + 1).is_none_or(|next| next.0 > t) && a * a / n > best.0 {
                    best = (a * a / n, t);
                }
            }
            let expected: Vec<u16> = v
                .iter()
                .map(|x| (best.1 * x).floor().min(f64::from(most)) as u16)
                .collect();
            for isa in Isa::available() {
                let mut got = vec![9u16; u.len()];
                rescale::search(isa, &u, most, &mut rescale::Workspace::default(), &mut got);
                assert!(got == expected, "{isa:?} M={most}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn reduce_equals_the_contract(a in length().prop_flat_map(|n| (values(n), values(n)))) {
        let (a, b) = a;
        let mut lanes = [0f32; 16];
        for i in 0..a.len() {
            lanes[i % 16] = a[i].mul_add(b[i], lanes[i % 16]);
        }
        let mut width = 8;
        while width > 0 {
            for l in 0..width {
                lanes[l] += lanes[l + width];
            }
            width /= 2;
        }
        let norm = lane_sum(a.len(), |i, s| f64::from(a[i]).mul_add(f64::from(a[i]), s));
        let dot_f64 = lane_sum(a.len(), |i, s| f64::from(a[i]).mul_add(f64::from(b[i]), s));
        for isa in Isa::available() {
            prop_assert_eq!(reduce::dot(isa, &a, &b).to_bits(), lanes[0].to_bits(), "{:?}", isa);
            prop_assert_eq!(reduce::squared_norm(isa, &a).to_bits(), norm.to_bits(), "{:?}", isa);
            prop_assert_eq!(reduce::dot_f64(isa, &a, &b).to_bits(), dot_f64.to_bits(), "{:?}", isa);
        }
    }

    #[test]
    fn fwht_equals_the_butterflies((x, factors, elsewhere, order) in (0u32..12).prop_flat_map(|k| {
        let n = 1usize << k;
        (values(n), values(n), values(n + 11), prop::collection::vec(0u32..(n as u32 / 8 + 1), n / 8))
    }), moved in any::<bool>()) {
        let n = x.len();
        let moved = moved && n >= 8;
        let runs = moved.then_some(fwht::Runs { values: &elsewhere, order: &order });
        let read: Vec<f32> = (0..n)
            .map(|i| if moved { elsewhere[order[i / 8] as usize * 8 + i % 8] } else { x[i] })
            .collect();
        let transform = |mut v: Vec<f32>| {
            let mut stride = 1;
            while stride < n {
                for i in (0..n).filter(|i| i & stride == 0) {
                    (v[i], v[i + stride]) = (v[i] + v[i + stride], v[i] - v[i + stride]);
                }
                stride *= 2;
            }
            v
        };
        let times = |v: &[f32]| -> Vec<f32> { v.iter().zip(&factors).map(|(a, f)| a * f).collect() };
        let forward = transform(times(&read));
        let backward = times(&transform(read));
        for isa in Isa::available() {
            let mut got = x.clone();
            fwht::forward(isa, runs, &factors, &mut got);
            prop_assert_eq!(bits(&got), bits(&forward), "{:?}", isa);
            let mut got = x.clone();
            fwht::backward(isa, runs, &factors, &mut got);
            prop_assert_eq!(bits(&got), bits(&backward), "{:?}", isa);
        }
    }

    #[test]
    fn dense_products_equal_their_sums((dim, matrix, x, y) in (1usize..20, 1usize..70, 0usize..9).prop_flat_map(|(r, d, n)| {
        (Just(d), values(r * d), values(n * d), values(n * r))
    })) {
        let rows = matrix.len() / dim;
        let line = |j: usize| &matrix[j * dim..(j + 1) * dim];
        let forward: Vec<f32> = x.chunks(dim)
            .flat_map(|x| (0..rows).map(move |j| reduce::dot(Isa::Scalar, line(j), x)))
            .collect();
        let backward: Vec<f32> = y.chunks(rows)
            .flat_map(|y| (0..dim).map(move |k| (0..rows).fold(0f32, |sum, j| y[j].mul_add(line(j)[k], sum))))
            .collect();
        for isa in Isa::available() {
            let (mut out, mut back) = (vec![9.0; y.len()], vec![9.0; x.len()]);
            dense::products(isa, &matrix, dim, &x, &mut out);
            dense::transposed_products(isa, &matrix, dim, &y, &mut back);
            prop_assert_eq!(bits(&out), bits(&forward), "{:?}", isa);
            prop_assert_eq!(bits(&back), bits(&backward), "{:?}", isa);
        }
    }

    #[test]
    fn pack_equals_bits_one_by_one(first in prop_oneof![Just(0usize), Just(8), Just(3), Just(13)], raw in prop::collection::vec(any::<u16>(), 0..150)) {
        for width in 1u32..=16 {
            let index: Vec<u16> = raw.iter().map(|v| (u32::from(*v) & ((1 << width) - 1)) as u16).collect();
            let total = first + index.len() * width as usize;
            let mut expected = vec![0u8; total.div_ceil(8)];
            for (i, &k) in index.iter().enumerate() {
                for b in 0..width as usize {
                    let bit = first + i * width as usize + b;
                    expected[bit / 8] |= ((k >> b & 1) as u8) << (bit % 8);
                }
            }
            for isa in Isa::available() {
                let mut row = vec![0u8; expected.len()];
                pack::pack(isa, &index, width, first, &mut row);
                prop_assert_eq!(&row, &expected, "{:?} {}", isa, width);
                let mut back = vec![0u16; index.len()];
                pack::unpack(isa, &row, width, first, &mut back);
                prop_assert_eq!(&back, &index, "{:?} {}", isa, width);
            }
        }
    }

    #[test]
    fn scaling_rounds_once((x, c) in length().prop_flat_map(|n| (values(n), values(n))), factor in prop_oneof![
        -3f64..3.0, Just(0.0), Just(1e-31), Just(1e-30), Just(1e30), Just(1e31)
    ]) {
        let moderate = (1e-30..=1e30).contains(&factor.abs());
        let expected: Vec<f32> = x.iter()
            .map(|&v| if moderate { v * factor as f32 } else { (f64::from(v) * factor) as f32 })
            .collect();
        let sums = f32_sums(&x, &c);
        let difference: Vec<f32> = x.iter().zip(&c).map(|(x, c)| x - c).collect();
        let sum: Vec<f32> = x.iter().zip(&c).map(|(x, c)| x + c).collect();
        let error_sums = f32_sums(&x, &difference);
        for isa in Isa::available() {
            let (mut out, mut same) = (vec![9f32; x.len()], x.clone());
            convert::scaled(isa, &x, factor, &mut out);
            convert::scale(isa, &mut same, factor);
            prop_assert_eq!(bits(&out), bits(&expected), "{:?}", isa);
            prop_assert_eq!(bits(&same), bits(&expected), "{:?}", isa);
            convert::subtract(isa, &x, &c, &mut out);
            same.copy_from_slice(&x);
            convert::add(isa, &mut same, &c);
            prop_assert_eq!(bits(&out), bits(&difference), "{:?}", isa);
            prop_assert_eq!(bits(&same), bits(&sum), "{:?}", isa);
            let got = reduce::dot_and_square(isa, &x, &c);
            prop_assert_eq!(bits(&[got.0, got.1]), bits(&sums), "{:?}", isa);
            let got = reduce::error_sums(isa, &x, &c);
            prop_assert_eq!(bits(&[got.0, got.1]), bits(&error_sums), "{:?}", isa);
        }
    }

    #[test]
    fn nearest_level_counts_boundaries_below(u in length().prop_flat_map(values), mut levels in prop_oneof![Just(1usize), Just(2), Just(3), Just(4), Just(5), Just(8), Just(9), Just(16), Just(17), Just(256), 1usize..300]
        .prop_flat_map(|n| prop::collection::vec(-3f32..3.0, n))) {
        levels.sort_by(f32::total_cmp);
        let cuts: Vec<f32> = levels.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
        let u: Vec<f32> = u.iter().copied().chain(cuts.iter().copied().take(20)).collect();
        let expected: Vec<u16> = u.iter().map(|v| cuts.iter().filter(|c| v > c).count() as u16).collect();
        let values: Vec<f32> = expected.iter().map(|&k| levels[usize::from(k)]).collect();
        let levels = Levels::new(&levels);
        for isa in Isa::available() {
            let mut got = vec![7u16; u.len()];
            quantize::quantize(isa, &u, &levels, &mut got);
            prop_assert_eq!(&got, &expected, "{:?}", isa);
            let mut c = vec![9f32; u.len()];
            quantize::dequantize(isa, &got, &levels, &mut c);
            prop_assert_eq!(bits(&c), bits(&values), "{:?}", isa);
        }
    }

    #[test]
    fn rescaling_search_equals_the_full_sweep(
        u in (1usize..80).prop_flat_map(values), coarse in any::<bool>(), most in prop_oneof![Just(0u16), Just(1), Just(3), Just(7), Just(15), Just(127)],
    ) {
        // Coarse values have many equal critical values.
        let u: Vec<f32> = u.iter().map(|v| if coarse { (v * 2.0).round() / 2.0 } else { *v }).collect();
        let v: Vec<f64> = u.iter().map(|x| (f64::from(x.abs()) * 16_777_216.0).round() / 16_777_216.0).collect();
        // The quotient and its neighbors: one of them is the smallest t with t·x ≥ k.
        let mut critical: Vec<f64> = v.iter().filter(|x| **x > 0.0)
            .flat_map(|x| (1..=most).map(move |k| f64::from(k) / x))
            .flat_map(|t| [t.next_down(), t, t.next_up()]).collect();
        critical.push(0.0);
        critical.sort_by(f64::total_cmp);
        critical.dedup();
        let grid = |t: f64| -> Vec<u16> {
            v.iter().map(|x| (t * x).floor().min(f64::from(most)) as u16).collect()
        };
        let score = |g: &[u16]| {
            let a: f64 = v.iter().zip(g).map(|(x, k)| x * (f64::from(*k) + 0.5)).sum();
            let n: f64 = g.iter().map(|k| (f64::from(*k) + 0.5).powi(2)).sum();
            a * a / n
        };
        // All critical values in most cases, and every few of them in the largest.
        let step = (critical.len() / 1200).max(1);
        let mut best = (f64::NEG_INFINITY, vec![]);
        for t in critical.iter().step_by(step) {
            let g = grid(*t);
            let s = score(&g);
            if s > best.0 {
                best = (s, g);
            }
        }
        let mut work = rescale::Workspace::default();
        let mut first = None;
        for isa in Isa::available() {
            let mut got = vec![9u16; u.len()];
            rescale::search(isa, &u, most, &mut work, &mut got);
            if step == 1 {
                prop_assert_eq!(&got, &best.1, "{:?}", isa);
            }
            prop_assert!(score(&got) >= best.0, "{:?}: {} < {}", isa, score(&got), best.0);
            prop_assert_eq!(first.get_or_insert(got.clone()), &got, "{:?}", isa);
        }
    }
}

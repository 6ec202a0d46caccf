//! Each kernel of attention, on each instruction set of this machine, against the scalar
//! definition: bit for bit, over awkward sizes and extreme values.

use blockquant::Isa;
use blockquant::kernels::attention::{
    self, Codewords, Integer, MAX_LOGIT, PADDING, Part, ROWS_PER_TILE, Softmax, Terms, Tile, padded,
};
use blockquant::rng::SeedStream;
use proptest::prelude::*;

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|value| value.to_bits()).collect()
}

/// The results of `compute` on every instruction set but the scalar one.
fn agrees<T: PartialEq + std::fmt::Debug>(compute: impl Fn(Isa) -> T) {
    let expected = compute(Isa::Scalar);
    for isa in Isa::available() {
        assert!(compute(isa) == expected, "{} differs", isa.name());
    }
}

fn dims() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 3, 7, 16, 50, 64, 80, 96, 100, 128, 192, 256, 576])
}

fn rows() -> impl Strategy<Value = usize> {
    prop_oneof![1..=ROWS_PER_TILE, Just(ROWS_PER_TILE)]
}

/// The shapes (coordinates per block, bits per index) of the methods, and some that nothing is
/// special about.
fn shapes() -> impl Strategy<Value = (usize, u32)> {
    let shapes = [
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
        (1, 5),
        (1, 6),
        (1, 8),
        (2, 4),
        (2, 5),
        (2, 6),
        (2, 8),
        (2, 12),
        (3, 7),
        (4, 4),
        (4, 8),
        (4, 12),
        (4, 13),
        (5, 8),
        (8, 8),
        (8, 12),
        (12, 6),
    ];
    prop::sample::select(shapes.to_vec())
}

/// Random words of all magnitudes, in blocks with a tail.
fn codewords<T: Integer>(
    dim: usize,
    (block, width): (usize, u32),
    stream: &mut SeedStream,
    convert: impl Fn(i32) -> T,
    most: i32,
) -> Codewords<T> {
    let block = block.min(dim);
    let mut words = |count: usize| {
        (0..count)
            .map(|_| convert((stream.next_u64() % (2 * most as u64 + 1)) as i32 - most))
            .collect()
    };
    let (count, tail) = (dim / block, dim % block);
    let mut parts = vec![Part {
        first: 0,
        width,
        count,
        block,
        words: words(block << width),
    }];
    let mut end = count * width as usize;
    if tail > 0 {
        parts.push(Part {
            first: end,
            width: 5,
            count: 1,
            block: tail,
            words: words(tail << 5),
        });
        end += 5;
    }
    Codewords::new(parts, end.div_ceil(8))
}

fn bytes(count: usize, stream: &mut SeedStream) -> Vec<u8> {
    (0..count).map(|_| stream.next_u64() as u8).collect()
}

fn floats(count: usize, stream: &mut SeedStream) -> Vec<f32> {
    (0..count).map(|_| stream.gaussian() as f32).collect()
}

/// Queries whose sums of magnitudes are as large as an exact sum allows.
fn queries(count: usize, dim: usize, most: i32, stream: &mut SeedStream) -> Vec<i16> {
    let stride = padded(dim);
    let largest = (i32::MAX / most / dim as i32).min(32767) as u64;
    let mut out = vec![0; count * stride];
    for query in out.chunks_exact_mut(stride) {
        for q in &mut query[..dim] {
            let magnitude = (largest - stream.next_u64() % 3 * (largest / 3)) as i16;
            *q = if stream.next_u64().is_multiple_of(2) {
                magnitude
            } else {
                -magnitude
            };
        }
    }
    out
}

/// Weights with zeros and magnitudes from 1e−30 to 1e30.
fn weights(count: usize, stream: &mut SeedStream) -> Vec<f32> {
    (0..count)
        .map(|_| match stream.next_u64() % 6 {
            0 => 0.0,
            1 => 1e30 * stream.gaussian() as f32,
            2 => 1e-30 * stream.gaussian() as f32,
            _ => stream.gaussian() as f32,
        })
        .collect()
}

fn tile(stream: &mut SeedStream) -> Tile {
    let values = weights(ROWS_PER_TILE, stream);
    std::array::from_fn(|i| values[i])
}

/// The entries of each tile that belong to rows.
fn live(tiles: &[Tile], rows: usize) -> Vec<u32> {
    tiles.iter().flat_map(|tile| bits(&tile[..rows])).collect()
}

proptest! {
    #[test]
    fn codewords_of_8_bits(
        dim in dims(), shape in shapes(), rows in rows(), count in 1usize..10, seed: u64,
    ) {
        let mut stream = SeedStream::new(seed, 1);
        let words = codewords(dim, shape, &mut stream, |k| k as i8, 127);
        let packed = bytes(rows * words.row_bytes(), &mut stream);
        let stride = words.stride();
        let q = queries(count, dim, 127, &mut stream);
        let (p, sums) = (
            weights(count * ROWS_PER_TILE, &mut stream),
            floats(count * stride, &mut stream),
        );
        let mut expected = vec![0i8; rows * stride];
        for (row, out) in packed.chunks_exact(words.row_bytes()).zip(expected.chunks_mut(stride)) {
            let mut at = 0;
            for part in words.parts() {
                for i in 0..part.count {
                    let first = part.first + i * part.width as usize;
                    let k = (0..part.width as usize)
                        .map(|b| usize::from(row[(first + b) / 8] >> ((first + b) % 8) & 1) << b)
                        .sum::<usize>();
                    let word = &part.words[k * part.block..][..part.block];
                    out[at..at + part.block].copy_from_slice(word);
                    at += part.block;
                }
            }
        }
        for isa in Isa::available() {
            let mut out = vec![1i8; rows * stride];
            attention::expand_i8(isa, &packed, &words, &mut out);
            prop_assert_eq!(&out, &expected, "{}", isa.name());
        }
        // Exact sums, each in 64 bits.
        let exact: Vec<Tile> = q.chunks_exact(stride).map(|q| {
            std::array::from_fn(|i| match expected.chunks_exact(stride).nth(i) {
                Some(row) => {
                    let products = row.iter().zip(q).map(|(&k, &q)| i64::from(k) * i64::from(q));
                    i32::try_from(products.sum::<i64>()).unwrap() as f32
                }
                None => 0.0,
            })
        }).collect();
        for isa in Isa::available() {
            let mut out = vec![[0f32; ROWS_PER_TILE]; count];
            attention::dots_i8(isa, &expected, &q, &mut out);
            prop_assert_eq!(live(&out, rows), live(&exact, rows), "{}", isa.name());
            let mut out = vec![[0f32; ROWS_PER_TILE]; count];
            attention::packed_dots_i8(isa, &packed, &words, &mut Vec::new(), &q, &mut out);
            prop_assert_eq!(live(&out, rows), live(&exact, rows), "packed {}", isa.name());
        }
        agrees(|isa| {
            let mut out = sums.clone();
            attention::sums_i8(isa, &p, &expected, count, &mut out);
            bits(&out)
        });
        agrees(|isa| {
            let mut out = sums.clone();
            attention::packed_sums_i8(isa, &packed, &words, &mut vec![7], &p, count, &mut out);
            bits(&out)
        });
    }

    #[test]
    fn codewords_of_16_bits(
        dim in dims(), shape in shapes(), rows in rows(), count in 1usize..10, seed: u64,
    ) {
        let mut stream = SeedStream::new(seed, 2);
        let words = codewords(dim, shape, &mut stream, |k| k as i16, 2047);
        let packed = bytes(rows * words.row_bytes(), &mut stream);
        let stride = words.stride();
        let mut expanded = vec![0i16; rows * stride];
        attention::expand_i16(Isa::Scalar, &packed, &words, &mut expanded);
        agrees(|isa| {
            let mut out = vec![1i16; rows * stride];
            attention::expand_i16(isa, &packed, &words, &mut out);
            out
        });
        let q = queries(count, dim, 2047, &mut stream);
        agrees(|isa| {
            let mut out = vec![[0f32; ROWS_PER_TILE]; count];
            attention::dots_i16(isa, &expanded, &q, &mut out);
            live(&out, rows)
        });
        let p = weights(count * ROWS_PER_TILE, &mut stream);
        let sums = floats(count * stride, &mut stream);
        agrees(|isa| {
            let mut out = sums.clone();
            attention::sums_i16(isa, &p, &expanded, count, &mut out);
            bits(&out)
        });
    }

    #[test]
    fn rows_of_floats(dim in dims(), rows in rows(), count in 1usize..10, seed: u64) {
        let mut stream = SeedStream::new(seed, 3);
        let k = weights(rows * dim, &mut stream);
        let p = floats(count * ROWS_PER_TILE, &mut stream);
        let sums = floats(count * dim, &mut stream);
        agrees(|isa| {
            let mut out = sums.clone();
            attention::sums_f32(isa, &p, &k, count, &mut out);
            bits(&out)
        });
        agrees(|isa| {
            let mut out = k.clone();
            attention::multiply(isa, &mut out, 0.3);
            bits(&out)
        });
        let (pair, phase) = (floats(2 * dim, &mut stream), floats(2 * dim, &mut stream));
        agrees(|isa| {
            let mut out = vec![0f32; 2 * dim];
            attention::shift(isa, &pair, &phase, &mut out);
            bits(&out)
        });
        agrees(|isa| {
            let mut out = vec![0i16; k.len()];
            attention::to_i16(isa, &k, 1e4, &mut out);
            out
        });
    }

    #[test]
    fn logits_and_weights(
        visible in 0usize..=ROWS_PER_TILE, hidden in 0usize..3, debias in 0usize..3,
        factor in prop::sample::select(vec![0.0f32, 1e-3, -2.0, 1e30, f32::MAX]),
        max in prop::sample::select(vec![f32::NEG_INFINITY, -3.0, 2.0, MAX_LOGIT]), seed: u64,
    ) {
        let mut stream = SeedStream::new(seed, 4);
        let (products, scale, added) = (tile(&mut stream), tile(&mut stream), tile(&mut stream));
        let mask: Tile = std::array::from_fn(|i| match hidden {
            0 => 0.0,
            1 if i % 3 == 0 => f32::NEG_INFINITY,
            1 => stream.gaussian() as f32,
            _ => f32::NEG_INFINITY,
        });
        let terms = Terms {
            factor,
            scale: &scale,
            added: &added,
            debias: [0.0, 0.1, 1e38][debias],
            mask: &mask,
            visible,
        };
        agrees(|isa| {
            let mut out = products;
            attention::logits(isa, &mut out, terms);
            assert!(out.iter().all(|x| !x.is_nan() && *x <= MAX_LOGIT), "a bad logit");
            assert!(out[visible..].iter().all(|&x| x == f32::NEG_INFINITY), "a row is not hidden");
            bits(&out)
        });
        let mut logits = products;
        attention::logits(Isa::Scalar, &mut logits, terms);
        let start = Softmax { max, sum: if max.is_finite() { 2.5 } else { 0.0 } };
        agrees(|isa| {
            let (mut out, mut state) = (logits, start);
            let factor = attention::softmax(isa, &mut out, &scale, &mut state);
            (bits(&out), bits(&[factor, state.max, state.sum]))
        });
        let (mut out, mut state) = (logits, start);
        let ones = [1.0; ROWS_PER_TILE];
        attention::softmax(Isa::detect(), &mut out, &ones, &mut state);
        for (p, logit) in out.iter().zip(logits) {
            // A row that is not seen has no weight at all, and the others are those of the law.
            let exact = if logit == f32::NEG_INFINITY {
                0.0
            } else {
                (f64::from(logit) - f64::from(state.max)).exp()
            };
            prop_assert!(*p == 0.0 || exact > 0.0);
            prop_assert!((f64::from(*p) - exact).abs() <= 1e-6 * exact + 2e-38, "{p} {exact}");
        }
        prop_assert!(state.sum.is_finite());
    }
}

/// e^x of a difference that is exact in float32 has the relative error that the definition states.
#[test]
fn exponentials_are_accurate() {
    let mut worst = 0f64;
    for from in 0..2000 {
        let x: Tile = std::array::from_fn(|i| {
            if i == 0 {
                0.0
            } else {
                -87.0 * ((from * 63 + i) as f32) / (2000.0 * 63.0)
            }
        });
        for isa in Isa::available() {
            let (mut p, mut state) = (x, Softmax::EMPTY);
            attention::softmax(isa, &mut p, &[1.0; ROWS_PER_TILE], &mut state);
            assert_eq!((p[0], state.max), (1.0, 0.0));
            for (p, x) in p.iter().zip(x).filter(|(_, x)| *x > -87.0) {
                worst = worst.max((f64::from(*p) / f64::from(x).exp() - 1.0).abs());
            }
        }
    }
    assert!(worst < 1e-7, "{worst}");
}

/// Rows are padded to whole vectors of 16-bit integers.
#[test]
fn padding_is_a_whole_number_of_vectors() {
    assert_eq!([0, 1, 16, 17].map(padded), [0, 16, 16, 32]);
    assert_eq!(PADDING, 16);
}

//! The trellis code against what its mathematics says, and every instruction set against the
//! definition.

use blockquant::Isa;
use blockquant::codebook::trellis::designs;
use blockquant::kernels::trellis::{Code, Definition, Workspace, assign, codewords, indexes};
use blockquant::rng::SeedStream;

const LABELS: usize = 16;

/// A code with what the tests need to know about it.
struct Tried {
    memory: u32,
    /// One per step, and at half rates those of the coordinates between.
    generators: Vec<[u32; 4]>,
    words: Vec<i16>,
    unit: u32,
    range: u32,
    code: Code,
}

impl Tried {
    fn new(memory: u32, generators: &[[u32; 4]], words: Vec<i16>, unit: u32, range: u32) -> Self {
        let code = Code::new(&Definition {
            memory,
            generators: generators[0],
            between: generators.get(1).copied(),
            words: &words,
            unit,
            range,
        });
        let generators = generators.to_vec();
        Self {
            memory,
            generators,
            words,
            unit,
            range,
            code,
        }
    }

    fn states(&self) -> usize {
        1 << self.memory
    }

    /// The squared distance to the nearest codeword of the label, with u in units of 2⁻¹².
    fn distance(&self, u: f64, label: usize) -> f64 {
        let words = self.words[label..].iter().step_by(LABELS);
        words.fold(f64::INFINITY, |least, &word| {
            least.min((u - f64::from(word)).powi(2))
        })
    }

    fn describe(&self) -> String {
        let rate = if self.generators.len() == 2 {
            "half"
        } else {
            "whole"
        };
        let words = self.words.len();
        format!("{} states, {rate} rate, {words} words", self.states())
    }
}

/// The frozen designs.
fn frozen() -> Vec<Tried> {
    let tried = designs().iter().map(|design| {
        let unit = if design.half_bits() <= 4 { 64 } else { 128 };
        let range = design.cap() * design.distortion;
        Tried::new(
            design.memory,
            design.generators,
            design.codewords(),
            unit,
            range,
        )
    });
    tried.collect()
}

/// Codes with evenly spaced words: at half rates, and of numbers of states that no design has.
fn made() -> Vec<Tried> {
    let generators: [(u32, &[[u32; 4]]); 6] = [
        (4, &[[0o14, 0o16, 0o12, 0o37], [0o1, 0o2, 0o6, 0o11]]),
        (5, &[[0o36, 0o16, 0o32, 0o55], [0o35, 0o12, 0o14, 0o23]]),
        (6, &[[0o153, 0o70, 0o76, 0o103], [0o56, 0o45, 0o30, 0o67]]),
        (
            8,
            &[[0o653, 0o342, 0o23, 0o416], [0o177, 0o176, 0o54, 0o355]],
        ),
        (9, &[[0o350, 0o1126, 0o242, 0o1723]]),
        (
            9,
            &[[0o350, 0o1126, 0o242, 0o1723], [0o177, 0o576, 0o54, 0o755]],
        ),
    ];
    let tried = generators.iter().enumerate().flat_map(|(i, (memory, of))| {
        // A mean squared error is some six squared steps between words: with the lower range most
        // metrics are 255, and the higher one is that of the designs.
        [(i % 3, 4), ((i + 2) % 4, 480)].map(|(uncoded, range)| {
            let count = LABELS << uncoded;
            let word = |at: usize| ((2 * at + 1) as i32 - count as i32) * 10_000 / count as i32;
            let words: Vec<i16> = (0..count).map(|at| word(at) as i16).collect();
            let step = 20_000 / count as u32;
            let range = range * step * step;
            Tried::new(*memory, of, words, 32 << uncoded, range)
        })
    });
    tried.collect()
}

/// A row of a kind; most kinds are hostile.
fn row(kind: usize, dim: usize, stream: &mut SeedStream) -> Vec<f32> {
    let mut row: Vec<f32> = (0..dim).map(|_| stream.gaussian() as f32).collect();
    match kind % 12 {
        0..3 => {}
        3 => row.fill(0.0),
        4 => row.fill(-0.0),
        5 => row.fill(0.7),
        6 => {
            row.fill(0.0);
            row[dim / 2] = (dim as f32).sqrt();
        }
        7 => (row.iter_mut()).for_each(|u| *u = 9f32.copysign(*u)),
        8 => (row.iter_mut().enumerate()).for_each(|(i, u)| *u = [1.0, -1.0][i % 2]),
        9 => row.iter_mut().for_each(|u| *u *= 1e30),
        10 => row.iter_mut().for_each(|u| *u *= 1e-30),
        // Ties: every coordinate is half a step of q away from a whole one.
        _ => (row.iter_mut()).for_each(|u| *u = ((*u * 64.0).round() + 0.5) / 64.0),
    }
    row
}

fn assigned(isa: Isa, code: &Code, dim: usize, u: &[f32]) -> Vec<u8> {
    let mut packed = vec![0xa5; u.len() / dim * code.row_bytes(dim)];
    assign(isa, code, dim, u, &mut Workspace::default(), &mut packed);
    packed
}

/// Compares the instruction sets on 1 to 5 rows, together and one by one.
fn compare(tried: &Tried, dim: usize) {
    let mut stream = SeedStream::new(dim as u64, u64::from(tried.memory));
    let first = dim * 5 + tried.words.len();
    let count = 1 + (dim + tried.words.len() / LABELS) % 5;
    let rows: Vec<_> = (first..first + count)
        .map(|kind| row(kind, dim, &mut stream))
        .collect();
    let u = rows.concat();
    let expected = assigned(Isa::Scalar, &tried.code, dim, &u);
    let what = format!("{}, d = {dim}, {count} rows", tried.describe());
    for isa in Isa::available() {
        let name = isa.name();
        assert_eq!(
            assigned(isa, &tried.code, dim, &u),
            expected,
            "{name}: {what}"
        );
        if isa == Isa::Scalar {
            continue;
        }
        let alone = rows
            .iter()
            .flat_map(|row| assigned(isa, &tried.code, dim, row));
        assert!(
            alone.eq(expected.iter().copied()),
            "{name}, one by one: {what}"
        );
    }
}

#[test]
fn every_instruction_set_assigns_what_the_definition_says() {
    for tried in frozen().iter().chain(&made()) {
        // The definition takes long for many states, above all below 32 steps.
        let dims: Vec<usize> = match tried.memory {
            4 => (1..71)
                .chain([100, 127, 128, 129, 384, 1000, 1536])
                .collect(),
            5..=6 => (2..71)
                .step_by(3)
                .chain([7, 16, 31, 33, 64, 127, 129, 384, 1000, 1536])
                .collect(),
            7..=8 => vec![1, 7, 8, 9, 15, 24, 31, 32, 33, 47, 62, 65, 128, 130, 385],
            _ => vec![1, 8, 11, 32, 33, 66, 129],
        };
        dims.into_iter().for_each(|dim| compare(tried, dim));
    }
}

#[test]
fn a_workspace_serves_rows_of_any_code_and_length() {
    let mut work = Workspace::default();
    let mut stream = SeedStream::new(4, 4);
    for isa in Isa::available() {
        for (dim, tried) in [200, 33, 7, 20, 64, 3].into_iter().cycle().zip(frozen()) {
            let u = row(0, dim, &mut stream);
            let mut packed = vec![0; tried.code.row_bytes(dim)];
            assign(isa, &tried.code, dim, &u, &mut work, &mut packed);
            assert_eq!(packed, assigned(Isa::Scalar, &tried.code, dim, &u));
        }
    }
}

#[test]
fn each_word_is_the_nearest_of_its_label() {
    let isa = Isa::detect();
    let mut stream = SeedStream::new(2, 2);
    for tried in frozen().iter().chain(&made()) {
        for dim in [5, 31, 77, 300] {
            let u = row(0, dim, &mut stream);
            let packed = assigned(isa, &tried.code, dim, &u);
            let (mut index, mut c) = (vec![0; dim], vec![0.0; dim]);
            indexes(isa, &tried.code, &packed, &mut index);
            codewords(isa, &tried.code, &packed, &mut c);
            for ((&u, &index), &c) in u.iter().zip(&index).zip(&c) {
                let unit = tried.unit as f32;
                let q = (u * unit).round_ties_even().clamp(-4.0 * unit, 4.0 * unit);
                let place = f64::from(q / unit) * 4096.0;
                let word = f64::from(tried.words[usize::from(index)]);
                let least = tried.distance(place, usize::from(index) % LABELS);
                assert_eq!((place - word).powi(2), least, "{}", tried.describe());
                assert_eq!(f64::from(c) * 4096.0, word, "{}", tried.describe());
            }
        }
    }
}

/// The least sum of squared errors of a circular path, by a plain search for each first state.
fn optimum(tried: &Tried, u: &[f32]) -> f64 {
    let states = tried.states();
    let label = |window: usize, phase: usize| -> usize {
        let generators = tried.generators[phase].iter().enumerate();
        let bits = generators.map(|(i, g)| ((window as u32 & g).count_ones() as usize & 1) << i);
        bits.sum()
    };
    let per_step = tried.generators.len();
    let distances: Vec<[f64; LABELS]> = (u.iter())
        .map(|&u| std::array::from_fn(|label| tried.distance(f64::from(u) * 4096.0, label)))
        .collect();
    let windows: Vec<_> = (0..2 * states).map(|window| label(window, 0)).collect();
    let between = (0..states).map(|state| if per_step == 2 { label(state, 1) } else { 0 });
    let between: Vec<_> = between.collect();
    let searched = (0..states).map(|first| {
        let mut errors = vec![f64::INFINITY; states];
        errors[first] = 0.0;
        for step in distances.chunks(per_step) {
            let to = |state: usize| {
                let from = |window: usize| errors[window / 2] + step[0][windows[window]];
                let error = from(state).min(from(state + states));
                error + step.get(1).map_or(0.0, |of| of[between[state]])
            };
            errors = (0..states).map(to).collect();
        }
        errors[first]
    });
    searched.fold(f64::INFINITY, f64::min)
}

#[test]
fn the_path_is_near_the_best_one() {
    let isa = Isa::detect();
    let mut stream = SeedStream::new(6, 6);
    let (frozen, made) = (frozen(), made());
    let made = made.iter().skip(1).step_by(2);
    let small = frozen.iter().chain(made);
    for tried in small.filter(|tried| tried.memory <= 6) {
        // Few steps try every first state, so that only the rounding of the metrics costs; the
        // search for the first state costs more.
        for (dim, most) in [(16, 1.01), (31, 1.01), (64, 1.06), (100, 1.06)] {
            let (mut found, mut best) = (0.0, 0.0);
            for _ in 0..20 {
                let u = row(0, dim, &mut stream);
                let packed = assigned(isa, &tried.code, dim, &u);
                let mut c = vec![0.0; dim];
                codewords(isa, &tried.code, &packed, &mut c);
                let errors = u
                    .iter()
                    .zip(&c)
                    .map(|(&u, &c)| f64::from(4096.0 * (u - c)).powi(2));
                found += errors.sum::<f64>();
                best += optimum(tried, &u);
            }
            assert!(
                found < most * best,
                "{}, range {}, d = {dim}: {}",
                tried.describe(),
                tried.range,
                found / best
            );
        }
    }
}

/// The mean of sin²θ over rows on a sphere.
fn error(code: &Code, dim: usize, count: usize) -> f64 {
    let mut stream = SeedStream::new(5, 77);
    let mut u: Vec<f32> = (0..dim * count).map(|_| stream.gaussian() as f32).collect();
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    for u in u.chunks_exact_mut(dim) {
        let scale = (dim as f64 / dot(u, u)).sqrt() as f32;
        u.iter_mut().for_each(|u| *u *= scale);
    }
    let packed = assigned(Isa::detect(), code, dim, &u);
    let mut c = vec![0.0; dim];
    let errors = u
        .chunks_exact(dim)
        .zip(packed.chunks_exact(code.row_bytes(dim)));
    let errors = errors.map(|(u, packed)| {
        codewords(Isa::detect(), code, packed, &mut c);
        1.0 - dot(u, &c).powi(2) / dot(u, u) / dot(&c, &c)
    });
    errors.sum::<f64>() / count as f64
}

#[test]
fn errors_are_at_the_level_of_the_design() {
    let expected = [(2, 1.130), (4, 1.182), (6, 1.217), (8, 1.242)];
    for (half_bits, expected) in expected {
        let of_64 = |d: &&_| matches!(d, blockquant::codebook::trellis::Design { memory: 6, .. });
        let design = designs()
            .iter()
            .filter(of_64)
            .find(|d| d.half_bits() == half_bits);
        let code = design.expect("a design of 64 states").code();
        let found = error(&code, 1536, 400) * 2f64.powi(half_bits as i32);
        assert!(
            (found / expected - 1.0).abs() < 0.01,
            "{half_bits} half bits: {found}"
        );
    }
}

#[test]
fn any_bytes_are_a_row() {
    let mut stream = SeedStream::new(3, 3);
    for tried in frozen().iter().chain(&made()) {
        for dim in [1, 3, 9, 21, 67] {
            let bytes = tried.code.row_bytes(dim);
            let packed: Vec<u8> = (0..bytes).map(|_| stream.next_u64() as u8).collect();
            let mut filled = packed.clone();
            let free = 8 * bytes - tried.code.bits(dim);
            filled[bytes - 1] ^= !(0xff >> free);
            for isa in Isa::available() {
                let (mut index, mut of_filled) = (vec![0; dim], vec![0; dim]);
                indexes(isa, &tried.code, &packed, &mut index);
                indexes(isa, &tried.code, &filled, &mut of_filled);
                assert!(index.iter().all(|&i| usize::from(i) < tried.words.len()));
                assert_eq!(index, of_filled, "{}, d = {dim}", tried.describe());
            }
        }
    }
}

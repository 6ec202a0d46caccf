//! The search for generators: the best of many random ones, then hill climbing from those.
//!
//! Generators are compared by the mean of error·4^b over three rates b after few rounds of
//! training. All comparisons use the same rows, so they differ by less than errors vary.

use blockquant::rng::SeedStream;
use blockquant::threads;

use super::training::{Groups, LABEL_TRELLIS, first_words, gaussian_rows, round};
use super::viterbi::Trellis;

/// The generators of one phase or of two.
pub type Generators = Vec<[u32; 4]>;

/// How long to search.
pub struct Effort {
    /// Random generators.
    pub tries: usize,
    /// The best of them, from which to climb.
    pub starts: usize,
    /// Changes that are tried on each.
    pub climbs: usize,
}

/// Numbers of uncoded bits that generators are compared at, while climbing and at the end.
const QUICK_AT: [u32; 2] = [0, 1];
const LAST_AT: [u32; 3] = [0, 1, 3];
/// Rounds of training before a comparison of random generators, of changed ones, and of those that
/// the climbs end with.
const ROUNDS: [usize; 3] = [2, 4, 20];

/// The seeds of the rows that generators are compared on. The rows of the last comparison are more,
/// so that the choice among the best is not one by chance.
const SEED_QUICK: u64 = 1;
const SEED_LAST: u64 = 2;

/// Finds generators for 2^`memory` states and `phases` phases. Climbs from `known` ones too, and
/// returns those if none are better.
pub fn search(
    memory: u32,
    phases: usize,
    known: Option<Generators>,
    effort: &Effort,
) -> Generators {
    let quick = gaussian_rows(SEED_QUICK, 6, 512);
    let mut stream = SeedStream::new(u64::from(memory) * 2 + phases as u64, LABEL_TRELLIS);
    let drawn = (0..effort.tries).map(|_| draw(memory, phases, &mut stream));
    let mut found = threads::map(drawn.collect(), |_, generators| {
        let score = score(memory, &generators, &QUICK_AT, &quick, ROUNDS[0]);
        (score, generators)
    });
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best = found.into_iter().take(effort.starts);
    let starts: Vec<_> = known
        .iter()
        .cloned()
        .chain(best.map(|(_, start)| start))
        .collect();
    let starts: Vec<_> = starts
        .into_iter()
        .map(|start| (start, stream.next_u64()))
        .collect();
    let climbed = threads::map(starts, |_, (start, seed)| {
        let mut stream = SeedStream::new(seed, LABEL_TRELLIS);
        climb(memory, start, &quick, effort.climbs, &mut stream)
    });
    let last = gaussian_rows(SEED_LAST, 8, 2048);
    let ends: Vec<_> = known.into_iter().chain(climbed).collect();
    let scores = threads::map(ends.iter().collect(), |_, generators: &Generators| {
        score(memory, generators, &LAST_AT, &last, ROUNDS[2])
    });
    for (score, generators) in scores.iter().zip(&ends) {
        eprintln!("ν = {memory}: {score:.4} {}", octal(generators));
    }
    let best = scores
        .into_iter()
        .zip(ends)
        .min_by(|a, b| a.0.total_cmp(&b.0));
    best.expect("at least one start").1
}

/// Generators as text.
pub fn octal(generators: &[[u32; 4]]) -> String {
    let phases = generators
        .iter()
        .map(|phase| phase.map(|g| format!("0o{g:o}")).join(", "));
    let phases: Vec<_> = phases.map(|phase| format!("[{phase}]")).collect();
    format!("[{}]", phases.join(", "))
}

/// Bits of the window of a phase.
fn window(memory: u32, phase: usize) -> u32 {
    memory + u32::from(phase == 0)
}

/// A random generator that looks at some bit.
fn draw_one(memory: u32, phase: usize, stream: &mut SeedStream) -> u32 {
    loop {
        let generator = (stream.next_u64() >> (64 - window(memory, phase))) as u32;
        if generator != 0 {
            return generator;
        }
    }
}

/// Random generators. In phase 0 only the coarsest bit of a label sees the oldest and the newest
/// bit of the window, so the labels that leave a state or enter it are far apart (Ungerboeck 1982).
fn draw(memory: u32, phases: usize, stream: &mut SeedStream) -> Generators {
    let ends = 1 << memory | 1;
    (0..phases)
        .map(|phase| {
            let mut generators = [0; 4].map(|_| draw_one(memory, phase, stream));
            if phase == 0 {
                for generator in &mut generators[..3] {
                    *generator &= !ends;
                }
                generators[3] |= ends;
            }
            generators
        })
        .collect()
}

/// Keeps each random change of one generator that scores better.
fn climb(
    memory: u32,
    mut best: Generators,
    rows: &Groups,
    climbs: usize,
    stream: &mut SeedStream,
) -> Generators {
    let mut least = score(memory, &best, &QUICK_AT, rows, ROUNDS[1]);
    for _ in 0..climbs {
        let mut below = |n: usize| (stream.uniform() * n as f64) as usize;
        let (phase, i, kind) = (below(best.len()), below(4), below(3));
        let bits = window(memory, phase) as usize;
        let flip = 1 << below(bits) | if kind == 1 { 1 << below(bits) } else { 0 };
        let mut changed = best.clone();
        changed[phase][i] = match kind {
            2 => draw_one(memory, phase, stream),
            _ => changed[phase][i] ^ flip,
        };
        if changed[phase][i] == 0 || changed == best {
            continue;
        }
        let score = score(memory, &changed, &QUICK_AT, rows, ROUNDS[1]);
        if score < least {
            (least, best) = (score, changed);
        }
    }
    best
}

/// The mean of error·4^b over the rates with these numbers of uncoded bits.
fn score(
    memory: u32,
    generators: &[[u32; 4]],
    uncoded: &[u32],
    rows: &Groups,
    rounds: usize,
) -> f64 {
    let mut sum = 0.0;
    for &uncoded in uncoded {
        let mut trellis = Trellis::new(memory, generators, first_words(uncoded));
        let mut error = 0.0;
        for _ in 0..rounds {
            error = round(&mut trellis, rows, true);
        }
        // 4^b is 2^(2t + 2), or 2^(2t + 1) with two phases.
        sum += error * f64::from(1u32 << (2 * uncoded + 2 / generators.len() as u32));
    }
    sum / uncoded.len() as f64
}

impl Effort {
    /// What the frozen generators were found with.
    pub fn of(memory: u32) -> Self {
        Self {
            tries: 1 << 16 >> memory,
            starts: 3,
            climbs: 1 << 14 >> memory,
        }
    }
}

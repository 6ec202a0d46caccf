//! Makes the designs of the trellis code, `rust/codebook/trellis/tables.rs`. The result is
//! deterministic.
//!
//! ```sh
//! cargo run --release --example freeze_trellis [search] [MEMORY ...] > tables.rs
//! ```
//!
//! Without `search` it trains the codewords for the generators that are frozen, which takes some
//! minutes. With it, it also searches for better generators. A MEMORY is ν; all are made without
//! one. `cargo fmt` puts the result into the form that the repository has.
//!
//! FROZEN: the numbers in the repository are made again only for a new major version.

use std::error::Error;

use blockquant::codebook::trellis::{Design, designs};
use search::{Effort, Generators, octal, search};
use training::{distortion, rows_for_training, train};

mod search;
mod training;
mod viterbi;

/// The values of ν.
const MEMORIES: [u32; 5] = [4, 5, 6, 7, 8];
/// The most uncoded bits per coordinate.
const MOST_UNCODED: u32 = 3;

/// The generators that are frozen for 2^`memory` states and `phases` phases.
fn frozen(memory: u32, phases: usize) -> Option<Generators> {
    let fits = |design: &&Design| design.memory == memory && design.generators.len() == phases;
    Some(designs().iter().find(fits)?.generators.to_vec())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let searches = args.first().is_some_and(|arg| arg == "search");
    if searches {
        args.remove(0);
    }
    let mut memories: Vec<u32> = args
        .iter()
        .map(|arg| arg.parse())
        .collect::<Result<_, _>>()?;
    if memories.is_empty() {
        memories = MEMORIES.to_vec();
    }
    let (groups, others) = rows_for_training();
    let mut designs = Vec::new();
    for memory in memories {
        let generators = |phases| {
            let frozen = frozen(memory, phases);
            if searches {
                Ok(search(memory, phases, frozen, &Effort::of(memory)))
            } else {
                frozen.ok_or_else(|| format!("nothing is frozen for ν = {memory}"))
            }
        };
        let generators = [generators(2)?, generators(1)?];
        for uncoded in 0..=MOST_UNCODED {
            for generators in &generators {
                let words = train(memory, generators, uncoded, &groups);
                let error = distortion(memory, generators, &words, &others);
                let half_bits = 2 * uncoded + 2 / generators.len() as u32;
                let bits = f64::from(half_bits) / 2.0;
                let excess = f64::from(error) / f64::from(1 << 24) * 4f64.powf(bits);
                eprintln!("{} states, {bits} bits: {excess:.4} × Shannon", 1 << memory);
                let positive = &words[words.len() / 2..];
                if positive.iter().any(|&c| c <= 0) {
                    return Err("the highest bit of the index is not the sign".into());
                }
                designs.push(format!(
                    "    Design {{ memory: {memory}, uncoded: {uncoded}, generators: &{}, \
                     distortion: {error}, positive: &{positive:?} }},",
                    octal(generators),
                ));
            }
        }
    }
    println!("//! The numbers of the designs, as `examples/freeze_trellis` prints them.");
    println!("//!\n//! FROZEN.\n\nuse super::Design;\n");
    println!("pub(super) static DESIGNS: [Design; {}] = [", designs.len());
    println!("{}\n];", designs.join("\n"));
    Ok(())
}

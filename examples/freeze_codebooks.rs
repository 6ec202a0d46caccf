//! Makes the frozen codebooks for N(0, I), `rust/codebook/gaussian.bin`. The result is
//! deterministic and takes a quarter of an hour on two cores.
//!
//! ```sh
//! cargo run --release --example freeze_codebooks OUT
//! ```
//!
//! FROZEN: the file in the repository is made again only for a new major version.

use std::error::Error;

use blockquant::codebook::frozen::{FROZEN_UNIT, frozen_shapes};
use blockquant::codebook::kmeans::{Samples, anneal};
use blockquant::rng::SeedStream;

/// The label of the seed stream that these tables are drawn from.
const LABEL_FREEZE: u64 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args()
        .nth(1)
        .ok_or("expected the path of the file to write")?;
    let mut bytes = Vec::new();
    for (block, width) in frozen_shapes() {
        let (tries, samples_per_word, noisy_steps) = match width {
            0..=6 => (24, 256, 600),
            7..=8 => (4, 256, 600),
            9..=10 => (2, 256, 600),
            _ => (1, 128, 300),
        };
        let mut stream = SeedStream::new(block as u64 * 64 + u64::from(width), LABEL_FREEZE);
        let validation = Samples::draw(None, block, 1 << 20, &mut stream);
        let mut best: Option<(f64, Vec<f32>)> = None;
        for _ in 0..tries {
            let words: Vec<f32> = anneal(block, width, samples_per_word, noisy_steps, &mut stream)
                .iter()
                .map(|c| (c / FROZEN_UNIT).round().clamp(-32768.0, 32767.0) * FROZEN_UNIT)
                .collect();
            let nmse = validation.distortion(&words);
            if best.as_ref().is_none_or(|(least, _)| nmse < *least) {
                best = Some((nmse, words));
            }
        }
        let (nmse, words) = best.ok_or("no try")?;
        println!("p={block} w={width} nmse={nmse:.5}");
        bytes.extend(
            words
                .iter()
                .flat_map(|c| ((c / FROZEN_UNIT) as i16).to_le_bytes()),
        );
    }
    std::fs::write(out, bytes)?;
    Ok(())
}

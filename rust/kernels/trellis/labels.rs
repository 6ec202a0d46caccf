//! The labels of windows.

/// The number of labels.
pub const LABELS: usize = 16;

/// The label of each window of so many bits: bit i is the parity of window & generator i.
pub fn labels(bits: u32, generators: [u32; 4]) -> Vec<u8> {
    let parity = |window: u32, generator: u32| ((window & generator).count_ones() & 1) as u8;
    let label = |window| (0..4).map(|i| parity(window, generators[i]) << i).sum();
    (0..1 << bits).map(label).collect()
}

//! The rows whose keys are the greatest so far: those that a bound is made from.

use crate::kernels::scan::GROUP;

/// How many rows are tried for the bound of the `count` best.
pub fn seeds_for(count: usize) -> usize {
    2 * count + GROUP / 2
}

/// The rows with the greatest keys.
#[derive(Debug, Clone)]
pub struct Seeds {
    count: usize,
    /// Keys and rows, more than `count` of them until cut.
    pub kept: Vec<(f32, u32)>,
    /// Only greater keys are wanted.
    pub least: f32,
    /// The greatest key of each group of rows.
    pub greatest: Vec<f32>,
}

impl Seeds {
    /// For the bound of the `count` best.
    pub fn new(count: usize) -> Self {
        Self {
            count: seeds_for(count),
            kept: Vec::new(),
            least: f32::NEG_INFINITY,
            greatest: Vec::new(),
        }
    }

    /// Takes a row in.
    pub fn add(&mut self, key: f32, row: u32) {
        self.kept.push((key, row));
        if self.kept.len() >= 2 * self.count {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.count {
            let order = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            self.kept.select_nth_unstable_by(self.count - 1, order);
            self.kept.truncate(self.count);
            self.least = self.kept[self.count - 1].0;
        }
    }

    /// The best `count`.
    pub fn finish(mut self) -> Vec<(f32, u32)> {
        self.cut();
        self.kept
    }
}

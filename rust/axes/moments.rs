//! The sums of a sample that its mean and covariance follow from.
//!
//! Σ(x − o) and Σ(x − o)(x − o)ᵀ are kept about an origin o, because uncentred sums lose all digits
//! of rows that are far from 0. The origin is the median of the first rows, coordinate by
//! coordinate: unlike their mean, it is near most rows even if one row is enormous.
//!
//! Every sum takes its rows one after the other in their order ([`moments`]). Rows wait until
//! [`BATCH`] of them are there, so the origin and all sums are the same however the rows are
//! divided among calls, and also on every instruction set and number of threads.

use crate::aligned::Aligned;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::kernels::moments::{self, Tile, WIDTH};
use crate::rows::{Dense, Rows};
use crate::threads;

/// Rows that are added together: as float64, 64 rows of 1,024 coordinates fill a second-level cache
/// of 512 KiB.
pub(super) const BATCH: usize = 64;

/// Coordinates of the rows that are read at once, in float64 4 MiB.
const COORDINATES_PER_ROUND: usize = 1 << 19;

/// Panels whose tiles one thread adds to while the panels of a batch are in its cache.
const PANELS_PER_GROUP: usize = 8;

/// The sums of some rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Moments {
    pub dim: usize,
    /// The number of rows in the sums.
    pub rows: u64,
    /// o; empty before the first sums.
    pub origin: Vec<f32>,
    /// Σ(x − o), panel by panel.
    pub sums: Vec<[f64; WIDTH]>,
    /// The lower triangle of Σ(x − o)(x − o)ᵀ: for each panel of left coordinates, a tile for each
    /// panel of right ones up to itself.
    pub tiles: Vec<Tile>,
    /// Fewer than [`BATCH`] rows that are not yet in the sums.
    pub waiting: Vec<f32>,
}

/// The number of tiles before those of a panel.
fn tiles_before(panel: usize) -> usize {
    panel * (panel + 1) / 2
}

/// The number of tiles for rows of `dim` coordinates.
pub(super) fn tile_count(dim: usize) -> usize {
    tiles_before(dim.div_ceil(WIDTH))
}

/// Some rows that follow those that wait.
struct Source<'a> {
    waiting: &'a [f32],
    rows: &'a dyn Rows,
    dim: usize,
}

impl Source<'_> {
    fn len(&self) -> usize {
        self.waiting.len() / self.dim + self.rows.rows()
    }

    /// A row, whose values are finite.
    fn read<'b>(&'b self, row: usize, buffer: &'b mut [f32]) -> Result<&'b [f32]> {
        let first = self.waiting.len() / self.dim;
        let Some(row) = row.checked_sub(first) else {
            return Ok(&self.waiting[row * self.dim..][..self.dim]);
        };
        let x = self.rows.read(row, buffer);
        match x.iter().position(|x| !x.is_finite()) {
            None => Ok(x),
            Some(column) => Err(Error::NotFinite {
                row,
                column,
                value: self.rows.text(row, column),
            }),
        }
    }

    /// Rows from `first` on minus the origin, as panels of all of them.
    fn load(&self, first: usize, origin: &[f32], panels: &mut [[f64; WIDTH]]) -> Result<()> {
        let rows = panels.len() / self.dim.div_ceil(WIDTH);
        let mut buffer = vec![0.0; self.dim];
        for k in 0..rows {
            let x = self.read(first + k, &mut buffer)?;
            let (x, origin) = (x.chunks(WIDTH), origin.chunks(WIDTH));
            for (to, (x, o)) in panels[k..].iter_mut().step_by(rows).zip(x.zip(origin)) {
                for (to, (x, o)) in to.iter_mut().zip(x.iter().zip(o)) {
                    *to = f64::from(*x) - f64::from(*o);
                }
            }
        }
        Ok(())
    }

    /// The median of the first rows, at most [`BATCH`] of them.
    fn origin(&self) -> Result<Vec<f32>> {
        let count = self.len().min(BATCH);
        let (mut first, mut buffer) = (Vec::with_capacity(count * self.dim), vec![0.0; self.dim]);
        for row in 0..count {
            first.extend_from_slice(self.read(row, &mut buffer)?);
        }
        let mut column = vec![0.0; count];
        let median = |i: usize| {
            for (to, row) in column.iter_mut().zip(first.chunks_exact(self.dim)) {
                *to = row[i];
            }
            *column.select_nth_unstable_by(count / 2, f32::total_cmp).1
        };
        Ok((0..self.dim).map(median).collect())
    }
}

/// The sums that belong to some panels of left coordinates.
struct Group<'a> {
    first: usize,
    sums: &'a mut [[f64; WIDTH]],
    tiles: &'a mut [Tile],
}

impl Group<'_> {
    /// Adds a batch of rows, whose panels these are.
    fn add(&mut self, isa: Isa, panels: &[[f64; WIDTH]], rows: usize) {
        let mut from = 0;
        for (panel, sums) in (self.first..).zip(self.sums.iter_mut()) {
            threads::check();
            let left = &panels[panel * rows..][..rows];
            for x in left {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += x;
                }
            }
            let tiles = &mut self.tiles[from..][..panel + 1];
            moments::add_products(isa, left, &panels[..(panel + 1) * rows], tiles);
            from += panel + 1;
        }
    }
}

impl Moments {
    /// The sums of no rows.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            rows: 0,
            origin: Vec::new(),
            sums: Vec::new(),
            tiles: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// The number of rows, those that wait included.
    pub fn count(&self) -> u64 {
        self.rows + (self.waiting.len() / self.dim) as u64
    }

    /// Adds rows. On an error nothing is added, nor if the call is stopped.
    pub fn add(&mut self, isa: Isa, rows: &dyn Rows) -> Result<()> {
        let source = Source {
            waiting: &self.waiting,
            rows,
            dim: self.dim,
        };
        let held = self.waiting.len() / self.dim;
        let whole = source.len() / BATCH * BATCH;
        let sums = match whole {
            0 => None,
            _ => Some(self.with(isa, &source, whole)?),
        };
        let (mut waiting, mut buffer) = (Vec::new(), vec![0.0; self.dim]);
        for row in whole.max(held)..source.len() {
            threads::check();
            waiting.extend_from_slice(source.read(row, &mut buffer)?);
        }
        match sums {
            None => self.waiting.extend(waiting),
            Some(sums) => *self = Self { waiting, ..sums },
        }
        Ok(())
    }

    /// The same with the rows that wait in the sums.
    pub fn settled(&self, isa: Isa) -> Result<Self> {
        let none = Dense::new(&[0f32; 0], self.dim)?;
        let source = Source {
            waiting: &self.waiting,
            rows: &none,
            dim: self.dim,
        };
        match source.len() {
            0 => Ok(self.clone()),
            rows => self.with(isa, &source, rows),
        }
    }

    /// The sums with the first `count` rows of the source, and no rows that wait.
    fn with(&self, isa: Isa, source: &Source<'_>, count: usize) -> Result<Self> {
        let width = self.dim.div_ceil(WIDTH);
        let mut next = self.clone_without_waiting();
        if next.origin.is_empty() {
            next.origin = source.origin()?;
            next.sums = vec![[0.0; WIDTH]; width];
            next.tiles = vec![Tile::default(); tile_count(self.dim)];
        }
        let per_round = COORDINATES_PER_ROUND / (width * WIDTH) / BATCH * BATCH;
        let per_round = per_round.max(BATCH);
        let mut room = Aligned::<f64>::new(count.min(per_round) * width * WIDTH);
        let room = room.as_chunks_mut::<WIDTH>().0;
        for first in (0..count).step_by(per_round) {
            // A round is shorter than the time between two questions whether to stop, so only the
            // thread that asks can end the call here.
            threads::check();
            let rows = (count - first).min(per_round);
            let room = &mut room[..rows * width];
            let batches = room.chunks_mut(BATCH * width);
            threads::try_for_each(
                batches,
                || (),
                |(), place, panels| {
                    threads::check();
                    source.load(first + place * BATCH, &next.origin, panels)
                },
            )?;
            let batches = room.chunks(BATCH * width);
            // The last groups have the most tiles, so they come first.
            let groups: Vec<_> = next.groups().into_iter().rev().collect();
            threads::for_each(
                groups.into_iter(),
                || (),
                |(), _, mut group| {
                    for panels in batches.clone() {
                        group.add(isa, panels, panels.len() / width);
                    }
                },
            );
        }
        next.rows += count as u64;
        Ok(next)
    }

    fn clone_without_waiting(&self) -> Self {
        Self {
            dim: self.dim,
            rows: self.rows,
            origin: self.origin.clone(),
            sums: self.sums.clone(),
            tiles: self.tiles.clone(),
            waiting: Vec::new(),
        }
    }

    fn groups(&mut self) -> Vec<Group<'_>> {
        let mut rest = &mut *self.tiles;
        let panels = self.sums.chunks_mut(PANELS_PER_GROUP).enumerate();
        let group = |(place, sums): (usize, _)| {
            let sums: &mut [[f64; WIDTH]] = sums;
            let first = place * PANELS_PER_GROUP;
            let count = tiles_before(first + sums.len()) - tiles_before(first);
            let (tiles, others) = std::mem::take(&mut rest).split_at_mut(count);
            rest = others;
            Group { first, sums, tiles }
        };
        panels.map(group).collect()
    }

    /// Adds the rows of other sums. They are moved to the origin of these ones.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if other.count() == 0 {
            return Ok(());
        }
        if self.count() == 0 {
            *self = other.clone();
            return Ok(());
        }
        let isa = Isa::current()?;
        let (mut sums, other) = (self.settled(isa)?, other.settled(isa)?);
        let shift = other.shift_from(|i| f64::from(sums.origin[i]));
        let count = other.rows as f64;
        for panel in 0..shift.len() {
            threads::check();
            for right in 0..=panel {
                let at = tiles_before(panel) + right;
                let shifted = other.shifted_tile(panel, right, &shift);
                for (to, from) in sums.tiles[at].as_flattened_mut().iter_mut().zip(shifted) {
                    *to += from;
                }
            }
            for (i, sum) in sums.sums[panel].iter_mut().enumerate() {
                *sum += shift[panel][i].mul_add(count, other.sums[panel][i]);
            }
        }
        sums.rows += other.rows;
        *self = sums;
        Ok(())
    }

    /// o minus another origin, panel by panel.
    fn shift_from(&self, origin: impl Fn(usize) -> f64) -> Vec<[f64; WIDTH]> {
        let mut shift = vec![[0.0; WIDTH]; self.sums.len()];
        let values = shift.as_flattened_mut().iter_mut().enumerate();
        for ((i, to), own) in values.zip(&self.origin) {
            *to = f64::from(*own) - origin(i);
        }
        shift
    }

    /// The tile of the sums about the origin o − `shift`:
    /// Σ(r + δ)(r + δ)ᵀ = Σrrᵀ + (Σr)δᵀ + δ(Σr)ᵀ + nδδᵀ with r = x − o.
    fn shifted_tile(
        &self,
        panel: usize,
        right: usize,
        shift: &[[f64; WIDTH]],
    ) -> [f64; WIDTH * WIDTH] {
        let tile = self.tiles[tiles_before(panel) + right].as_flattened();
        let count = self.rows as f64;
        std::array::from_fn(|place| {
            let (i, j) = (place / WIDTH, place % WIDTH);
            let (sum, other) = (self.sums[panel][i], self.sums[right][j]);
            let (left, right) = (shift[panel][i], shift[right][j]);
            tile[place] + (sum * right + left * other + count * left * right)
        })
    }

    /// The mean of the rows, of which there must be some and none that wait.
    pub fn mean(&self) -> Vec<f64> {
        let sums = self.sums.as_flattened().iter().zip(&self.origin);
        sums.map(|(sum, o)| f64::from(*o) + sum / self.rows as f64)
            .collect()
    }

    /// Σ(x − a)(x − a)ᵀ/`divisor`, d × d, under the conditions of [`mean`](Self::mean).
    pub fn about(&self, a: &[f64], divisor: f64) -> Vec<f64> {
        let dim = self.dim;
        let shift = self.shift_from(|i| a[i]);
        let mut matrix = vec![0.0; dim * dim];
        for panel in 0..shift.len() {
            threads::check();
            for right in 0..=panel {
                let tile = self.shifted_tile(panel, right, &shift);
                for (place, value) in tile.into_iter().enumerate() {
                    let (i, j) = (WIDTH * panel + place / WIDTH, WIDTH * right + place % WIDTH);
                    if i < dim && j <= i {
                        matrix[i * dim + j] = value / divisor;
                        matrix[j * dim + i] = value / divisor;
                    }
                }
            }
        }
        matrix
    }
}

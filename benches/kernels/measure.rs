//! Times calls on each instruction set and prints the table.

use std::hint::black_box;
use std::time::{Duration, Instant};

use blockquant::Isa;
use blockquant::rng::SeedStream;

const DIMS: [usize; 4] = [128, 384, 1536, 1000];

/// Rows that are passed one after the other: they differ, so that branches are predicted no better
/// than in use.
struct Rows {
    dim: usize,
    values: Vec<f32>,
    next: usize,
}

impl Rows {
    fn new(dim: usize) -> Self {
        let mut stream = SeedStream::new(0, dim as u64);
        let values = (0..64 * dim).map(|_| stream.gaussian() as f32).collect();
        Self {
            dim,
            values,
            next: 0,
        }
    }

    fn row(&mut self) -> &[f32] {
        self.next = (self.next + 1) % (self.values.len() / self.dim);
        &self.values[self.next * self.dim..][..self.dim]
    }
}

/// How long to measure.
struct Effort {
    samples: usize,
    /// The time of a sample, which takes at least one call.
    sample: Duration,
}

const FULL: Effort = Effort {
    samples: 21,
    sample: Duration::from_millis(15),
};
const QUICK: Effort = Effort {
    samples: 15,
    sample: Duration::from_millis(1),
};

/// A line of the table.
struct Line {
    kernel: String,
    dim: usize,
    /// Nanoseconds per call, for each instruction set in the order of [`Isa::available`].
    nanoseconds: Vec<f64>,
}

/// What to measure, and what has been measured.
pub struct Bench {
    /// None: each kernel is called once, without measuring.
    effort: Option<Effort>,
    /// Kernels whose name contains one of these words; all, if there are none.
    words: Vec<String>,
    lines: Vec<Line>,
}

impl Bench {
    /// Reads the arguments of the command line.
    pub fn from_args(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut effort, mut quick, mut words) = (None, false, Vec::new());
        for arg in args {
            match &*arg {
                "--bench" => effort = Some(FULL),
                "--quick" => quick = true,
                flag if flag.starts_with('-') => {
                    return Err(format!(
                        "{flag}: expected --quick or words of kernels' names"
                    ));
                }
                _ => words.push(arg),
            }
        }
        Ok(Self {
            effort: effort.map(|full| if quick { QUICK } else { full }),
            words,
            lines: Vec::new(),
        })
    }

    /// Measures a kernel for each of [`DIMS`]; `make` returns the call for a dimension.
    pub fn each<W: FnMut(Isa, &[f32])>(&mut self, kernel: &str, make: impl FnMut(usize) -> W) {
        self.at(&DIMS, kernel, make);
    }

    /// Measures a kernel for each of `dims`.
    pub fn at<W>(&mut self, dims: &[usize], kernel: &str, mut make: impl FnMut(usize) -> W)
    where
        W: FnMut(Isa, &[f32]),
    {
        if !self.words.is_empty() && !self.words.iter().any(|word| kernel.contains(&**word)) {
            return;
        }
        for &dim in dims {
            let (mut call, mut rows) = (make(dim), Rows::new(dim));
            let Some(effort) = &self.effort else {
                for isa in Isa::available() {
                    call(isa, rows.row());
                }
                continue;
            };
            let nanoseconds = measure(effort, |isa, calls| {
                let start = Instant::now();
                for _ in 0..calls {
                    call(black_box(isa), black_box(rows.row()));
                }
                start.elapsed()
            });
            eprintln!("{kernel}, d = {dim}");
            self.lines.push(Line {
                kernel: kernel.into(),
                dim,
                nanoseconds,
            });
        }
    }

    /// Prints the table.
    pub fn print(&self) {
        let available = Isa::available();
        let widths = self.lines.iter().map(|line| line.kernel.chars().count());
        let Some(width) = widths.max() else { return };
        print!("{:width$} {:>5}", "kernel", "d");
        for isa in &available {
            print!(" {:>12}", format!("{} ns", isa.name()));
            if *isa != Isa::Scalar {
                print!(" {:>8}", "× scalar");
            }
        }
        println!();
        for line in &self.lines {
            let scalar = line.nanoseconds.last().copied().unwrap_or(f64::NAN);
            print!("{:width$} {:>5}", line.kernel, line.dim);
            for (isa, nanoseconds) in available.iter().zip(&line.nanoseconds) {
                print!(" {nanoseconds:>12.1}");
                if *isa != Isa::Scalar {
                    print!(" {:>8.1}", scalar / nanoseconds);
                }
            }
            println!();
        }
    }
}

/// Nanoseconds per call in the fastest sample of each instruction set; `time` times a number of
/// calls.
fn measure(effort: &Effort, mut time: impl FnMut(Isa, u32) -> Duration) -> Vec<f64> {
    let available = Isa::available();
    let calls: Vec<u32> = (available.iter())
        .map(|&isa| {
            // What a kernel prepares on its first call is not part of the time.
            time(isa, 1);
            let mut calls = 1;
            // The fastest of three: one that was interrupted would end the search too early.
            while (0..3).map(|_| time(isa, calls)).min() < Some(effort.sample / 2) {
                calls *= 2;
            }
            calls
        })
        .collect();
    let mut fastest = vec![f64::INFINITY; available.len()];
    for _ in 0..effort.samples {
        for ((&isa, &calls), fastest) in available.iter().zip(&calls).zip(&mut fastest) {
            *fastest = fastest.min(time(isa, calls).as_secs_f64() * 1e9 / f64::from(calls));
        }
    }
    fastest
}

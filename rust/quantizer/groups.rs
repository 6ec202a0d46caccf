//! Groups of fitted axes: successive axes that have one method and one rate.

use super::fitted::MAX_GROUPS;
use crate::codes::Layout;
use crate::error::{Error, Result, counted};
use crate::methods::{self, Entry, Parameters};

/// Some successive axes with one method and rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The number of axes.
    pub axes: usize,
    /// A name of [`METHODS`](methods::METHODS).
    pub method: String,
    /// Bits per axis.
    pub bits: f64,
}

/// The layouts of the packed bits of these groups, each of which is whole bytes.
///
/// # Errors
/// If there are none or too many groups, or they have more axes than there are.
pub(super) fn layouts(groups: &[Group], kept: usize, states: Option<usize>) -> Result<Vec<Layout>> {
    let found = groups.len();
    if !(1..=MAX_GROUPS).contains(&found) {
        return Err(Error::invalid(format!(
            "{}, expected 1 to {MAX_GROUPS}",
            counted(found, "group")
        )));
    }
    let axes = groups
        .iter()
        .try_fold(0usize, |sum, group| sum.checked_add(group.axes));
    if axes.is_none_or(|axes| axes > kept) || groups.iter().any(|group| group.axes == 0) {
        return Err(Error::invalid(format!(
            "groups of {:?} axes, expected at least 1 each and {kept} together at most",
            groups.iter().map(|group| group.axes).collect::<Vec<_>>()
        )));
    }
    let layout = |group: &Group| {
        let entry = methods::find(&group.method)?;
        if entry.has_gamma {
            return Err(Error::invalid(format!(
                "a group cannot have {}",
                entry.name
            )));
        }
        Ok(entry.shape(parameters(group, states, entry, 0))?.layout)
    };
    groups.iter().map(layout).collect()
}

/// The parameters of a group's method.
pub(super) fn parameters(
    group: &Group,
    states: Option<usize>,
    entry: &Entry,
    seed: u64,
) -> Parameters {
    Parameters {
        dim: group.axes,
        bits: group.bits,
        block: None,
        states: states.filter(|_| entry.has_states),
        seed,
    }
}

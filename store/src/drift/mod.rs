//! How farms stand to what was asked for: which are to be looked at, what was found, and up to which
//! change of a DC that is known.

mod list;
mod model;
mod record;
mod subjects;

pub use model::{
    AskedFor, AtWork, Compared, DriftBatch, DriftChange, DriftFilter, DriftMark, DriftRow, DriftSubject,
    Mend, Newest, Object, RestsOn,
};

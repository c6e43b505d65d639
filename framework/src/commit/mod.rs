//! The last station: makes what was processed true, all of it or nothing.
//!
//! One order for both guarantees; no call waits, each is made again until it is answered:
//! 1. Processing stands still. Operators forward what they hold back.
//! 2. Stores write their changes to the changelogs; they and the output are sent.
//! 3. Exactly once: the consumed offsets go into the transaction, always at least one, since only offsets carry the
//!    group's generation that fences a zombie; the transaction ends.
//!    At least once: everything is acknowledged, then the offsets are committed.
//! 4. Stores know their changes as committed, counters become public.
//! 5. Now and then what is committed goes to the byte store, one batch per task with its changelog offsets and times. A
//!    stored offset may lag behind the data, it never leads.

mod committer;
mod flush;
mod planted;
mod record;
mod window;

pub use committer::{CommitDesk, CommitOptions, Committer};
pub use flush::{FlushOptions, Flusher};
#[doc(hidden)]
pub use planted::Planted;
pub use record::{CommitRecord, Interval};
#[doc(hidden)]
pub use window::{Probe, ProbeFn, Window};

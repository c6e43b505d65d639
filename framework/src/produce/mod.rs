//! The third station: what operators write waits in the [`Outbox`], a batch for each partition, until the [`Sender`]
//! takes it.
//!
//! 1. Every record gets its partition here: murmur2 of the key as in Kafka, or for null keys one partition after the
//!    other, changed at each send.
//! 2. A record for a topic whose partition count is not known yet is held back, and with it all later ones for that topic.
//! 3. A record that its topic would refuse, or has refused, is not taken: the production handler is asked.
//! 4. The sender opens a transaction with the first batch that is sent, never before.

mod barred;
mod held;
mod outbox;
mod sender;

pub use held::Held;
pub use outbox::{Outbox, OutboxOptions, Refused};
pub use sender::Sender;

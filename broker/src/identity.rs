//! Identity: unique names and numbers, the same for the same seed.

use std::sync::Arc;

use crate::api::TopicId;

/// Draws topic ids and the unique part of member ids.
#[derive(Clone, Debug)]
pub(crate) struct IdSource {
    state: u64,
}

impl IdSource {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The ids of one start of a broker: they differ from those of all others.
    pub(crate) fn of_start(seed: u64, start: u32) -> Self {
        Self::new(seed.wrapping_add(u64::from(start).wrapping_mul(0xd1b5_4a32_d192_ed03)))
    }

    /// SplitMix64: every state gives another number, so ids never repeat within one broker.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn topic_id(&mut self) -> TopicId {
        TopicId(u128::from(self.draw()) << 64 | u128::from(self.draw()))
    }

    /// A cluster's id: 16 bytes in the letters of base64 for addresses, as Kafka writes it.
    pub(crate) fn cluster_id(&mut self) -> Arc<str> {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut left = u128::from(self.draw()) << 64 | u128::from(self.draw());
        let mut id = String::with_capacity(22);
        for _ in 0..22 {
            id.push(char::from(LETTERS[(left & 63) as usize]));
            left >>= 6;
        }
        id.into()
    }

    /// `<prefix>-<uuid>`, as Kafka names members: the prefix is the client's id or its `group.instance.id`.
    pub(crate) fn member_id(&mut self, prefix: &str) -> Arc<str> {
        let (high, low) = (self.draw(), self.draw());
        format!(
            "{prefix}-{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
        .into()
    }
}

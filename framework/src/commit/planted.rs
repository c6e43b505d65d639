//! Faults planted on purpose: a simulation that does not notice them proves nothing. None is in effect by default.

/// A fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Planted {
    /// None.
    #[default]
    Nothing,
    /// A transaction ends before the changelog of its state was sent; that goes into the next one.
    OffsetsBeforeState,
    /// A restore ends at the last stable offset that it finds, not at the high watermark.
    RestoreToLso,
    /// After an abort the inputs go on where they were.
    InputsNotRewound,
    /// Neither offsets' metadata nor the byte store keep the times.
    StreamTimeNotStored,
    /// Changelog offsets reach the byte store at each commit, the data only with the flush.
    OffsetAheadOfData,
    /// Deletions are not written to the changelog.
    LostTombstone,
    /// The batch of a flush is applied once more after the next one.
    DoubleFlush,
    /// Transactions end without offsets.
    CommitWithoutOffset,
}

impl Planted {
    /// All faults.
    pub const ALL: [Self; 8] = [
        Self::OffsetsBeforeState,
        Self::RestoreToLso,
        Self::InputsNotRewound,
        Self::StreamTimeNotStored,
        Self::OffsetAheadOfData,
        Self::LostTombstone,
        Self::DoubleFlush,
        Self::CommitWithoutOffset,
    ];
}

//! Internal topics: those that an application makes for itself, known by their names.
//!
//! ```text
//! <application.id>-<store>-changelog
//! <application.id>-<name>-repartition
//! ```

/// How the names of internal topics end, with what such a topic is.
const ENDINGS: [(&str, InternalKind); 2] =
    [("-changelog", InternalKind::Changelog), ("-repartition", InternalKind::Repartition)];

/// What an internal topic is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InternalKind {
    /// It holds what a store remembers.
    Changelog,
    /// Records pass through it to come to the partition of their new key.
    Repartition,
}

impl InternalKind {
    /// What the topic would be if it is one of `application`; `None` for one that certainly is not.
    ///
    /// A name alone does not say where that of the application ends: the changelog of `orders-west` is also one that
    /// `orders` may have.
    ///
    /// ```
    /// use headwater::topology::InternalKind;
    /// let kind = |topic| InternalKind::of(topic, "orders");
    /// assert_eq!(kind("orders-counts-changelog"), Some(InternalKind::Changelog));
    /// assert_eq!(kind("orders-by-city-repartition"), Some(InternalKind::Repartition));
    /// assert_eq!([kind("orders"), kind("orders-changelog"), kind("my-orders-counts-changelog")], [None; 3]);
    /// ```
    #[must_use]
    pub fn of(topic: &str, application: &str) -> Option<Self> {
        let own = topic.strip_prefix(application)?.strip_prefix('-')?;
        ENDINGS.iter().find_map(|(ending, kind)| {
            own.strip_suffix(ending).filter(|name| !name.is_empty()).map(|_| *kind)
        })
    }
}

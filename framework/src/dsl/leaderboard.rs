//! Leaderboards: the first `n` rows of each group of a table, by score.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::grouped_stream::kept_access;
use super::repartition::{NullKeys, Repartition};
use super::table::TableAccess;
use super::{Draft, Grouped, KGroupedTable, KTable, SharedSerde, serde_or_usual};
use crate::codec::{HasSerde, WindowKind};
use crate::error::Result;
use crate::operator::{
    Assembly, BoardEmit, BoardLookup, BoardRowSerde, Change, ChangeSerde, Leaderboard, TableGroup,
};
use crate::record::Windowed;
use crate::state::{Board, BoardRow, LeaderboardSerdes, LeaderboardStore, RankBy};
use crate::topology::{Node, NodeId, NodeKind, StoreKind, StoreNode};

/// How long boards of windows are kept after the window's end, where nothing else is said: long enough for what is
/// late by a day.
const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How a leaderboard ranks, tells and keeps its boards. Without options the highest score comes first, and a board is
/// told with every update that changes what it shows.
///
/// ```
/// use headwater::{BoardEmit, Ranked};
/// use std::time::Duration;
/// let every_second = BoardEmit::AtMostEvery(Duration::from_secs(1));
/// let ranked = Ranked::named("fastest-laps").lowest_first().emit(every_second);
/// # let _ = ranked;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ranked {
    name: Option<String>,
    lowest_first: bool,
    emit: BoardEmit,
    retention: Option<Duration>,
}

impl Ranked {
    /// In a store of this name. Naming stores keeps state when the topology changes.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::default() }
    }

    /// The lowest score comes first.
    #[must_use]
    pub fn lowest_first(self) -> Self {
        Self { lowest_first: true, ..self }
    }

    /// When boards are told.
    #[must_use]
    pub fn emit(self, emit: BoardEmit) -> Self {
        Self { emit, ..self }
    }

    /// Keeping boards of windows this long after the window's end, one day if it is not said; updates that come later
    /// are dropped and counted. With [`BoardEmit::OnWindowClose`] the grace says it.
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention: Some(retention), ..self }
    }

    /// Options that say nothing, or contradict each other.
    fn mistake(&self, shown: usize, windows: Option<WindowKind>) -> Option<&'static str> {
        let on_close = matches!(self.emit, BoardEmit::OnWindowClose { .. });
        if shown == 0 {
            Some("shows no row; ask for 1 or more")
        } else if self.emit == BoardEmit::AtMostEvery(Duration::ZERO) {
            Some("has no interval between two tellings; use `BoardEmit::OnUpdate`")
        } else if windows.is_none() && (on_close || self.retention.is_some()) {
            Some(
                "has boards without window, which never close; group a windowed table with `group_by_window`, \
                 or name a windowed serde for the boards' keys",
            )
        } else if on_close && self.retention.is_some() {
            Some("drops its boards when they close; the grace of `BoardEmit::OnWindowClose` says when")
        } else {
            None
        }
    }

    /// How long boards are kept after the end of their windows.
    fn keep_ms(&self) -> i64 {
        let keep = match self.emit {
            BoardEmit::OnWindowClose { grace } => grace,
            _ => self.retention.unwrap_or(DEFAULT_RETENTION),
        };
        i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)
    }
}

impl<K, V, K2, V2> KGroupedTable<K, V, K2, V2>
where
    K: HasSerde,
    V: HasSerde,
    K2: HasSerde,
    V2: HasSerde,
{
    /// The first `n` rows of each group, the highest score first, equal scores by the bytes of the row's key. All rows
    /// are kept: when one leaves, because it was deleted, changed its group or lost score, the next one moves up.
    ///
    /// The members of a board are the keys of the table that was grouped; a row with a null group key or value is on no
    /// board. An update costs O(log rows), however large the board is. Floating-point scores go through
    /// [`FloatScore`](crate::FloatScore). For windowed tables see [`KTable::group_by_window`].
    ///
    /// ```
    /// use headwater::StreamsBuilder;
    /// let builder = StreamsBuilder::new();
    /// let balances = builder.table::<String, i64>("balances");
    /// let richest = balances.group_by(|user, balance| (user[..2].to_owned(), *balance)).leaderboard(10, |balance| *balance);
    /// richest.to_stream().to("richest-per-country");
    /// assert!(builder.build().unwrap().describe().contains("KTABLE-LEADERBOARD-0000000007"));
    /// ```
    pub fn leaderboard<S: Ord + Clone + 'static>(
        &self,
        n: usize,
        score: impl Fn(&V2) -> S + Send + Sync + 'static,
    ) -> KTable<K2, Board<K, V2>> {
        self.leaderboard_with(n, score, Ranked::default())
    }

    /// As [`KGroupedTable::leaderboard`], with options.
    pub fn leaderboard_with<S: Ord + Clone + 'static>(
        &self,
        n: usize,
        score: impl Fn(&V2) -> S + Send + Sync + 'static,
        ranked: Ranked,
    ) -> KTable<K2, Board<K, V2>> {
        let select = Arc::clone(&self.selector);
        let boards = BoardDraft {
            draft: self.draft.clone(),
            parent: self.parent,
            select: Arc::new(move |key: &K, value: &V| {
                let (board, row) = select(key, value);
                (board, BoardRow { key: key.clone(), value: row })
            }),
            select_name: self.select_name.clone(),
            // A topic of its own: other operators of this grouping write another form into theirs.
            name: self.name.as_ref().map(|name| format!("{name}-leaderboard")),
            keys: Arc::clone(&self.keys),
            members: Arc::clone(&self.members),
            rows: Arc::clone(&self.values),
        };
        let rank_by = RankBy { shown: n, lowest_first: ranked.lowest_first, score: Arc::new(score) };
        boards.draw(rank_by, ranked)
    }
}

/// A windowed table whose rows are grouped by another key within their windows.
pub struct WindowGroupedTable<K, V, B, R> {
    boards: BoardDraft<Windowed<K>, V, Windowed<B>, K, R>,
}

impl<K: HasSerde, V: HasSerde> KTable<Windowed<K>, V> {
    /// Groups the rows of each window by another key: each row is on the board that `select` names for it in its own
    /// window, with the value that it names.
    ///
    /// ```
    /// use headwater::{BoardEmit, Ranked, StreamsBuilder, TimeWindows};
    /// use std::time::Duration;
    /// let hour = TimeWindows::of_size_with_no_grace(Duration::from_secs(3600));
    /// let builder = StreamsBuilder::new();
    /// let flights = builder.stream::<String, String>("flights-by-carrier");
    /// let per_hour = flights.group_by_key().windowed_by(hour).count();
    ///
    /// // The ten carriers with most flights of each hour, told once the hour is over.
    /// let emit = BoardEmit::OnWindowClose { grace: Duration::from_secs(60) };
    /// per_hour
    ///     .group_by_window(|_carrier, flights| ("all".to_owned(), *flights))
    ///     .leaderboard_with(10, |flights| *flights, Ranked::named("top-carriers").emit(emit))
    ///     .to_stream()
    ///     .to("top-carriers-per-hour");
    /// assert!(builder.build().unwrap().describe().contains("(stores: [top-carriers])"));
    /// ```
    pub fn group_by_window<B: HasSerde, R: HasSerde>(
        &self,
        select: impl Fn(&K, &V) -> (B, R) + Send + Sync + 'static,
    ) -> WindowGroupedTable<K, V, B, R> {
        self.group_by_window_with(select, Grouped::default())
    }

    /// As [`KTable::group_by_window`], with options. The serdes are those of the new key without its window and of the
    /// new value.
    pub fn group_by_window_with<B: HasSerde, R: HasSerde>(
        &self,
        select: impl Fn(&K, &V) -> (B, R) + Send + Sync + 'static,
        grouped: Grouped<B, R>,
    ) -> WindowGroupedTable<K, V, B, R> {
        (self.access.send_old)();
        let windows = self.keys.as_ref().and_then(|keys| keys.windows());
        if windows.is_none() {
            self.draft.edit(|graph| {
                graph.mistakes.push(
                    "`group_by_window` does not know the windows of its table's keys; name a `TimeWindowedSerde` or \
                     `SessionWindowedSerde` where the table is made"
                        .to_owned(),
                );
            });
        }
        let keys: SharedSerde<Windowed<B>> = match windows {
            Some(windows) => windows.serde(serde_or_usual(&grouped.keys)),
            None => serde_or_usual(&None),
        };
        WindowGroupedTable {
            boards: BoardDraft {
                draft: self.draft.clone(),
                parent: self.node,
                select: Arc::new(move |key: &Windowed<K>, value: &V| {
                    let (board, row) = select(&key.key, value);
                    let board = Windowed { key: board, window: key.window };
                    (board, BoardRow { key: key.key.clone(), value: row })
                }),
                select_name: self.name("KTABLE-SELECT-"),
                name: grouped.name,
                keys,
                members: serde_or_usual::<K>(&None),
                rows: serde_or_usual(&grouped.values),
            },
        }
    }
}

impl<K, V, B, R> WindowGroupedTable<K, V, B, R>
where
    K: HasSerde,
    V: HasSerde,
    B: HasSerde,
    R: HasSerde,
{
    /// With this serde of the windowed table's keys without their window, which are the members of the boards.
    #[must_use]
    pub fn with_member_serde(mut self, members: impl crate::codec::Serde<K> + 'static) -> Self {
        self.boards.members = Arc::new(members);
        self
    }

    /// The first `n` rows of each group and window, as [`KGroupedTable::leaderboard`].
    pub fn leaderboard<S: Ord + Clone + 'static>(
        &self,
        n: usize,
        score: impl Fn(&R) -> S + Send + Sync + 'static,
    ) -> KTable<Windowed<B>, Board<K, R>> {
        self.leaderboard_with(n, score, Ranked::default())
    }

    /// As [`WindowGroupedTable::leaderboard`], with options.
    pub fn leaderboard_with<S: Ord + Clone + 'static>(
        &self,
        n: usize,
        score: impl Fn(&R) -> S + Send + Sync + 'static,
        ranked: Ranked,
    ) -> KTable<Windowed<B>, Board<K, R>> {
        let rank_by = RankBy { shown: n, lowest_first: ranked.lowest_first, score: Arc::new(score) };
        self.boards.draw(rank_by, ranked)
    }
}

type SelectRow<K, V, B, M, R> = Arc<dyn Fn(&K, &V) -> (B, BoardRow<M, R>) + Send + Sync>;

/// Boards to be drawn: rows `V` of a table with keys `K` become rows `R` of members `M` on boards `B`.
struct BoardDraft<K, V, B, M, R> {
    draft: Draft,
    parent: NodeId,
    select: SelectRow<K, V, B, M, R>,
    select_name: String,
    name: Option<String>,
    keys: SharedSerde<B>,
    members: SharedSerde<M>,
    rows: SharedSerde<R>,
}

/// What opens the store.
struct BoardOpener<M, R, S> {
    store: String,
    serdes: LeaderboardSerdes<M, R>,
    rank_by: RankBy<R, S>,
}

impl<M, R: Clone, S: Ord + Clone> BoardOpener<M, R, S>
where
    M: 'static,
    R: 'static,
    S: 'static,
{
    fn open(&self, assembly: &mut Assembly) -> Result<Rc<RefCell<LeaderboardStore<M, R, S>>>> {
        let (serdes, rank_by) = (self.serdes.clone(), self.rank_by.clone());
        assembly.store(&self.store, |shelf| LeaderboardStore::open(shelf, serdes, rank_by))
    }
}

impl<K, V, B, M, R> BoardDraft<K, V, B, M, R>
where
    K: Clone + 'static,
    V: Clone + 'static,
    B: Clone + 'static,
    M: Clone + 'static,
    R: Clone + 'static,
{
    fn draw<S>(&self, rank_by: RankBy<R, S>, ranked: Ranked) -> KTable<B, Board<M, R>>
    where
        S: Ord + Clone + 'static,
    {
        let draft = &self.draft;
        let windows = self.keys.windows();
        let generated = ranked.name.is_none();
        let store = draft.name(ranked.name.clone(), "KTABLE-LEADERBOARD-STATE-STORE-");
        if let Some(mistake) = ranked.mistake(rank_by.shown, windows) {
            draft.edit(|graph| graph.mistakes.push(format!("the leaderboard `{store}` {mistake}")));
        }
        let source = self.draw_source(&store);
        let (members, rows) = (Arc::clone(&self.members), Arc::clone(&self.rows));
        let serdes = LeaderboardSerdes { members, rows, windows };
        let opener = Arc::new(BoardOpener { store: store.clone(), serdes, rank_by });
        let send_old = Arc::new(AtomicBool::new(false));
        let node = self.draw_operator(source, (Arc::clone(&opener), Arc::clone(&send_old)), ranked.clone());
        let kind = StoreKind::Leaderboard;
        draft.edit(|graph| graph.add_store(node, StoreNode { name: store, kind, generated }));
        KTable::new(draft.clone(), node, self.access(opener, send_old, ranked))
            .with_serdes(Some(Arc::clone(&self.keys)), None)
    }

    /// Draws the operator that tells old and new board, and the repartition topic behind it: one of its own for each
    /// leaderboard.
    fn draw_source(&self, store: &str) -> NodeId {
        let rows = BoardRowSerde { members: Arc::clone(&self.members), rows: Arc::clone(&self.rows) };
        let rows: SharedSerde<BoardRow<M, R>> = Arc::new(rows);
        let select_name = self.draft.free_name(&self.select_name, "KTABLE-SELECT-");
        let (selector, keys, values) = (Arc::clone(&self.select), Arc::clone(&self.keys), Arc::clone(&rows));
        let select =
            self.draft.operator::<K, Change<V>, _, _>(select_name, &[self.parent], move |assembly, node| {
                Ok(TableGroup {
                    selector: Arc::clone(&selector),
                    keys: Arc::clone(&keys),
                    values: Arc::clone(&values),
                    scratch: Vec::new(),
                    out: assembly.outlet(node),
                })
            });
        // Another leaderboard of this grouping may have the topic already.
        let taken = |name: &str| {
            let topic = format!("{name}-repartition");
            self.draft.edit(|graph| graph.repartitions.iter().any(|other| other.topic == topic))
        };
        let base = self.name.clone().filter(|name| !taken(name)).unwrap_or_else(|| store.to_owned());
        let repartition = Repartition {
            base,
            keys: Arc::clone(&self.keys),
            values: Arc::new(ChangeSerde(rows)) as SharedSerde<Change<BoardRow<M, R>>>,
            partitions: None,
            null_keys: NullKeys::Absent,
        };
        repartition.draw(&self.draft, select)
    }

    fn draw_operator<S: Ord + Clone + 'static>(
        &self,
        source: NodeId,
        state: (Arc<BoardOpener<M, R, S>>, Arc<AtomicBool>),
        ranked: Ranked,
    ) -> NodeId {
        let (opener, send_old) = state;
        let name = self.draft.name(None, "KTABLE-LEADERBOARD-");
        let keys = Arc::clone(&self.keys);
        let node = Node {
            name: name.clone(),
            kind: NodeKind::Processor,
            parents: vec![source],
            stores: Vec::new(),
            assemble: None,
        };
        self.draft.edit(|graph| {
            let id = graph.add(node);
            graph.nodes[id].assemble = Some(Arc::new(move |assembly| {
                let operator = Rc::new(RefCell::new(Leaderboard {
                    node: name.clone(),
                    keys: Arc::clone(&keys),
                    emit: ranked.emit,
                    keep_ms: ranked.keep_ms(),
                    store: opener.open(assembly)?,
                    stream_time: assembly.time(&format!("{name}-stream-time")),
                    dropped_to: assembly.time(&opener.store),
                    next_round_ms: None,
                    send_old: send_old.load(Ordering::SeqCst),
                    key: Vec::new(),
                    out: assembly.outlet::<B, Change<Board<M, R>>>(id),
                }));
                assembly.connect_shared(&[source], &operator);
                if matches!(ranked.emit, BoardEmit::AtMostEvery(_)) {
                    assembly.tick(&operator);
                }
                Ok(())
            }));
            id
        })
    }

    fn access<S: Ord + Clone + 'static>(
        &self,
        opener: Arc<BoardOpener<M, R, S>>,
        send_old: Arc<AtomicBool>,
        ranked: Ranked,
    ) -> TableAccess<B, Board<M, R>> {
        let (keys, store, draft) = (Arc::clone(&self.keys), opener.store.clone(), self.draft.clone());
        let lookup = move |assembly: &mut Assembly| {
            let lookup = BoardLookup { keys: Arc::clone(&keys), store: opener.open(assembly)? };
            Ok(Box::new(lookup) as Box<_>)
        };
        let access = kept_access(store.clone(), Arc::clone(&send_old), Arc::new(lookup));
        let flag = Arc::clone(&access.send_old);
        let send_old = move || {
            flag();
            if matches!(ranked.emit, BoardEmit::AtMostEvery(_)) {
                let mistake = format!(
                    "the leaderboard `{store}` is told at most every so often and does not know what it told before; to \
                     group its boards, keep them: `map_values_with(.., Some(Materialized::named(..)))`"
                );
                draft.edit(|graph| graph.mistakes.push(mistake));
            }
        };
        TableAccess { send_old: Arc::new(send_old), ..access }
    }
}

//! The log as this node reads it: everything once, in the stream's order, and never a gap in silence.
//!
//! What was read last is remembered across contacts. One connection asks for the epoch and reads in
//! turns, so that what it reads is never older than what it was told.

use std::convert::Infallible;
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, timeout};
use tradewire_engine::Input;
use tradewire_engine::bus::ARRIVALS_MAX;
use tradewire_engine::event::LogEntry;
use tradewire_engine::ids::Epoch;
use tradewire_engine::input::GapCause;

use super::arrivals::Arrivals;
use super::codec::{Codec, Opened, Read, StreamId};
use super::session::End;
use super::status::BusStatus;

/// How long Redis may hold back its answer when there is nothing new, and how often the epochs are
/// asked for.
const BLOCK: Duration = Duration::from_secs(1);

/// Entries read at once at most, and at least.
const PAGE_MAX: usize = 256;
const PAGE_MIN: usize = 8;

/// What a page should have in bytes, judged by the largest entry of the page before.
const PAGE_BYTES: usize = 8 << 20;

/// What was read last.
#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: Epoch,
    last: StreamId,
    /// The running number of the last entry; `None` when any may come next.
    number: Option<u64>,
}

/// How entries are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// They came before this node listened.
    Loaded,
    /// They are news.
    Arrived,
}

/// Reads the log; outlives contacts.
#[derive(Debug)]
pub(super) struct Reader {
    history_max: Duration,
    /// The recent past was read once.
    loaded: bool,
    place: Option<Place>,
    state_epoch: Option<Epoch>,
    page: usize,
}

/// What reading takes, during one contact.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) connection: &'a MultiplexedConnection,
    pub(super) codec: &'a Codec,
    pub(super) arrivals: &'a Arrivals,
    pub(super) status: &'a BusStatus,
    pub(super) answer_max: Duration,
}

impl Reading<'_> {
    /// Asks for the epochs.
    async fn open(&self) -> Result<Opened, End> {
        let mut pipeline = redis::Pipeline::new();
        self.codec.open(&mut pipeline);
        let mut connection = self.connection.clone();
        let asking = connection.send_packed_commands(&pipeline, 0, pipeline.len());
        let replies = timeout(self.answer_max, asking)
            .await
            .map_err(|_| End::Silent)?
            .map_err(End::Redis)?;
        Ok(self.codec.opened(&replies)?)
    }

    /// Reads what comes after `last`, waiting for `block` when there is nothing.
    async fn read(
        &self,
        last: StreamId,
        count: usize,
        block: Option<Duration>,
    ) -> Result<Vec<Read>, End> {
        let command = self.codec.read_log(last, count, block);
        let mut connection = self.connection.clone();
        let asking = connection.send_packed_command(&command);
        let reply: Value = timeout(self.answer_max + block.unwrap_or_default(), asking)
            .await
            .map_err(|_| End::Silent)?
            .map_err(End::Redis)?;
        Ok(self.codec.log_entries(reply)?)
    }
}

impl Reader {
    pub(super) fn new(history_max: Duration) -> Self {
        Self {
            history_max,
            loaded: false,
            place: None,
            state_epoch: None,
            page: PAGE_MIN,
        }
    }

    /// Reads all there is: at first the recent past, later what came since.
    pub(super) async fn catch_up(&mut self, reading: Reading<'_>) -> Result<(), End> {
        let opened = reading.open().await?;
        // Of values that were missed, the engine learns by reading them anew at every contact.
        self.state_epoch = Some(opened.state_epoch);
        let telling = if self.loaded {
            Telling::Arrived
        } else {
            Telling::Loaded
        };
        let history = u64::try_from(self.history_max.as_millis()).unwrap_or(u64::MAX);
        let since = StreamId {
            ms: opened.now_ms.saturating_sub(history).saturating_sub(1),
            seq: u64::MAX,
        };
        let place = *self.place.get_or_insert(Place {
            epoch: opened.log_epoch,
            last: since,
            number: None,
        });
        if place.epoch != opened.log_epoch {
            self.start_over(opened.log_epoch, reading).await;
        } else if let Some(number) = place.number
            && opened.log_count < number
        {
            // An older copy of the data: entries that were read are gone, and their numbers come again.
            self.tell_gap(GapCause::DataLoss, None, reading).await;
        }
        let mut opened = opened;
        loop {
            let Some(place) = self.place else {
                return Ok(());
            };
            let entries = reading.read(place.last, self.page, None).await?;
            if entries.is_empty() {
                break;
            }
            if self.take(entries, telling, reading).await == Epochs::Differ {
                opened = reading.open().await?;
                self.check_epoch(opened, reading).await;
            }
        }
        self.settle(opened.log_count, telling, reading).await;
        self.loaded = true;
        Ok(())
    }

    /// Reads what comes, until that fails.
    pub(super) async fn follow(&mut self, reading: Reading<'_>) -> Result<Infallible, End> {
        let mut asked: Option<(Instant, Opened)> = None;
        loop {
            let opened = match asked {
                Some((at, opened)) if at.elapsed() < BLOCK => opened,
                Some(_) | None => {
                    let opened = reading.open().await?;
                    asked = Some((Instant::now(), opened));
                    self.check_epoch(opened, reading).await;
                    self.check_state_epoch(opened.state_epoch, reading).await;
                    self.tell_lag(opened.log_count, reading.status);
                    opened
                }
            };
            let Some(place) = self.place else {
                return Err(End::Stopped);
            };
            let entries = reading.read(place.last, self.page, Some(BLOCK)).await?;
            if entries.is_empty() {
                // Whatever was counted before this read is not there any more.
                self.settle(opened.log_count, Telling::Arrived, reading)
                    .await;
            } else if self.take(entries, Telling::Arrived, reading).await == Epochs::Differ {
                asked = None;
            }
        }
    }

    /// Tells of entries, and whether some are of another life of the data, which are skipped: only
    /// what is asked for decides which life this is.
    async fn take(&mut self, entries: Vec<Read>, telling: Telling, reading: Reading<'_>) -> Epochs {
        let mut epochs = Epochs::Same;
        let mut largest = 1;
        let mut unreadable = None;
        let mut together = Together::new(telling);
        for Read { id, entry } in entries {
            let Some(place) = self.place else {
                return epochs;
            };
            let (number, entry) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    reading.status.garbage.inc();
                    unreadable = Some(error);
                    together.skip(id);
                    continue;
                }
            };
            largest = largest.max(entry.payload.bytes());
            if entry.id.epoch != place.epoch {
                epochs = Epochs::Differ;
                together.skip(id);
                continue;
            }
            let before = together.number.or(place.number);
            if let Some(before) = before
                && before.checked_add(1) != Some(number)
            {
                self.tell(&mut together, reading).await;
                let cause = if number > before {
                    GapCause::Trimmed
                } else {
                    GapCause::DataLoss
                };
                self.tell_gap(cause, Some(number.saturating_sub(1)), reading)
                    .await;
            }
            together.add(id, number, entry);
            if together.entries.len() == ARRIVALS_MAX {
                self.tell(&mut together, reading).await;
            }
        }
        self.tell(&mut together, reading).await;
        // One line for a page: whoever writes garbage must not fill the disk with lines about it.
        if let Some(error) = unreadable {
            tracing::warn!(%error, "log entries are unreadable and skipped");
        }
        self.page = (PAGE_BYTES / largest).clamp(PAGE_MIN, PAGE_MAX);
        epochs
    }

    /// Hands over what was gathered and remembers that it was.
    async fn tell(&mut self, together: &mut Together, reading: Reading<'_>) {
        let room = if together.entries.is_empty() {
            None
        } else {
            Some(reading.arrivals.room().await)
        };
        // From here on nothing can cut in.
        if let Some(place) = &mut self.place {
            place.last = together.last.unwrap_or(place.last);
            place.number = together.number.or(place.number);
        }
        let entries = core::mem::take(&mut together.entries);
        if let Some(room) = room {
            room.send(match together.telling {
                Telling::Loaded => Input::LogLoaded { entries },
                Telling::Arrived => Input::LogArrived { entries },
            });
        }
    }

    /// Tells that entries are missing; `number` is that of the last one that is.
    async fn tell_gap(&mut self, cause: GapCause, number: Option<u64>, reading: Reading<'_>) {
        let room = reading.arrivals.room().await;
        if let Some(place) = &mut self.place {
            place.number = number;
        }
        reading.status.gaps.inc();
        tracing::warn!(?cause, "the log in Redis has a gap");
        room.send(Input::LogGap { cause });
    }

    /// When everything was read and fewer entries came than were counted, the rest is gone.
    async fn settle(&mut self, count: u64, telling: Telling, reading: Reading<'_>) {
        let Some(place) = &mut self.place else {
            return;
        };
        match (place.number, telling) {
            (Some(number), Telling::Arrived) if number < count => {
                self.tell_gap(GapCause::Trimmed, Some(count), reading).await;
            }
            // What went before this node listened is no gap.
            (Some(number), Telling::Loaded | Telling::Arrived) => {
                place.number = Some(number.max(count));
            }
            (None, Telling::Loaded | Telling::Arrived) => place.number = Some(count),
        }
        reading.status.log_lag.set(0);
    }

    /// Begins at the start of the stream when the data began a new life.
    async fn check_epoch(&mut self, opened: Opened, reading: Reading<'_>) {
        if self
            .place
            .is_some_and(|place| place.epoch != opened.log_epoch)
        {
            self.start_over(opened.log_epoch, reading).await;
        }
    }

    async fn start_over(&mut self, epoch: Epoch, reading: Reading<'_>) {
        let room = reading.arrivals.room().await;
        self.place = Some(Place {
            epoch,
            last: StreamId { ms: 0, seq: 0 },
            number: None,
        });
        reading.status.gaps.inc();
        tracing::warn!(%epoch, "the log in Redis began anew");
        let cause = GapCause::DataLoss;
        room.send(Input::LogGap { cause });
    }

    async fn check_state_epoch(&mut self, epoch: Epoch, reading: Reading<'_>) {
        if self.state_epoch == Some(epoch) {
            return;
        }
        let room = reading.arrivals.room().await;
        self.state_epoch = Some(epoch);
        tracing::warn!(%epoch, "the values in Redis began anew");
        room.send(Input::StateMissed);
    }

    fn tell_lag(&self, count: u64, status: &BusStatus) {
        let read = self.place.and_then(|place| place.number).unwrap_or(count);
        let lag = i64::try_from(count.saturating_sub(read)).unwrap_or(i64::MAX);
        status.log_lag.set(lag);
    }
}

/// Whether entries were of the life that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Epochs {
    Same,
    Differ,
}

/// Entries that will be told of together, and where they end.
struct Together {
    telling: Telling,
    entries: Vec<LogEntry>,
    last: Option<StreamId>,
    number: Option<u64>,
}

impl Together {
    fn new(telling: Telling) -> Self {
        Self {
            telling,
            entries: Vec::new(),
            last: None,
            number: None,
        }
    }

    fn add(&mut self, id: StreamId, number: u64, entry: LogEntry) {
        self.entries.push(entry);
        self.last = Some(id);
        self.number = Some(number);
    }

    fn skip(&mut self, id: StreamId) {
        self.last = Some(id);
    }
}

//! One run of this process, under way or over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use kart_core::{AnyTask, Event, Key, Report, RequestCounts, RunError, RunId, StopToken};
use kart_view::{Changes, shape};
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ended::Ended;
use super::handing::{Cut, Link};
use super::picture::{Packed, Picture};
use super::progress::Progress;
use crate::deadline::Due;
use crate::feed::Feed;
use crate::metrics::Metrics;

/// How many events about single tasks are told between two that tell of the whole run.
const MOST_TOLD: usize = 50;

/// How many changes of a picture are told at once; who needs more asks for it.
const MOST_CHANGES: usize = 200;

/// How many characters of a root are told.
const LONGEST: usize = 500;

/// How far the clock of a run may be behind that of the request that started it.
const AT_ONCE: Duration = Duration::from_millis(250);

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) roots: Vec<AnyTask>,
    /// The same for the same roots.
    pub(crate) key: String,
    pub(crate) due: Due,
    /// Where it stands in a row of runs.
    pub(crate) link: Link,
    /// Whether it goes on when nobody waits for it.
    pub(crate) is_detached: bool,
}

/// One run of this process.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(super) order: Order,
    pub(super) stop: StopToken,
    pub(super) begun: Instant,
    start: SystemTime,
    root: String,
    before: RequestCounts,
    progress: Mutex<Progress>,
    picture: Picture,
    /// How many bytes the picture has, once the run is over.
    weight: AtomicUsize,
    /// The number of the first change in the picture that is not told yet.
    next: AtomicUsize,
    /// How many events about tasks were told since the last one about the run, and how many were not.
    told: AtomicUsize,
    untold: AtomicUsize,
    waiting: Mutex<Waiting>,
    ended: watch::Sender<Option<Arc<Ended>>>,
}

#[derive(Debug)]
struct Waiting {
    count: usize,
    is_detached: bool,
    /// By all who asked for it.
    link: Link,
    /// Whether it is given to its successor, and nobody can join it any more.
    is_sealed: bool,
    /// Why it stops, where its last waiter left.
    cut: Option<Cut>,
}

impl Run {
    pub(super) fn new(order: Order, before: RequestCounts) -> Self {
        let names: Vec<String> = order
            .roots
            .iter()
            .take(3)
            .map(|task| shape::short(&format!("{task:?}"), LONGEST))
            .collect();
        let mut root = names.join(", ");
        if order.roots.len() > names.len() {
            root = format!("{root} and {} more", order.roots.len() - names.len());
        }
        let waiting = Waiting {
            count: 0,
            is_detached: order.is_detached,
            link: order.link.clone(),
            is_sealed: false,
            cut: None,
        };
        Run {
            id: RunId::now(),
            order,
            stop: StopToken::new(),
            begun: Instant::now(),
            start: SystemTime::now(),
            root,
            before,
            progress: Mutex::default(),
            picture: Picture::default(),
            weight: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            untold: AtomicUsize::new(0),
            waiting: Mutex::new(waiting),
            ended: watch::Sender::new(None),
        }
    }

    /// What it runs, for people.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// Takes in an event of the run. It is called under the lock of the run, so that it does little.
    pub(super) fn take(&self, event: &Event<'_>, metrics: &Metrics, feed: &Feed) {
        metrics.take(event);
        self.picture.take(event);
        let is_wanted = self.told.fetch_add(1, Ordering::Relaxed) < MOST_TOLD;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let told = progress.take(event, is_wanted);
        drop(progress);
        let Some(mut told) = told else { return };
        if let Some(took) = told.took {
            metrics.attempt(took);
        }
        if is_wanted {
            told.data["run"] = self.id.to_string().into();
            feed.push("task", &told.data);
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells how far the run is.
    pub(super) fn tell(&self, feed: &Feed) {
        self.told.store(0, Ordering::Relaxed);
        self.tell_changes(feed);
        let mut json = self.json();
        json["untold"] = self.untold.swap(0, Ordering::Relaxed).into();
        feed.push("run", &json);
    }

    /// Tells what has changed in the picture, or, where that is much, that something has.
    fn tell_changes(&self, feed: &Feed) {
        let next = self.picture.next();
        let since = self.next.swap(next, Ordering::Relaxed);
        if since == next {
            return;
        }
        let run = self.id.to_string();
        let data = if since > 0 && next - since <= MOST_CHANGES {
            let mut data = json!(self.picture.changes(since));
            data["run"] = run.into();
            data
        } else {
            json!({"run": run, "since": since, "next": next})
        };
        feed.push("changes", &data);
    }

    /// The graph as a page draws it; none before it is known, and after it was forgotten.
    pub(crate) async fn graph(&self) -> Option<Packed> {
        self.picture.graph(self.id).await
    }

    /// Whether there is something to be told of its tasks; not any more when there was no room for it.
    pub(crate) fn has_picture(&self) -> bool {
        self.ended().is_none() || self.picture.next() > 0
    }

    /// What has changed in the picture since `since`.
    pub(crate) fn changes(&self, since: usize) -> Changes {
        self.picture.changes(since)
    }

    /// The task of that key in the graph of a run that is under way.
    pub(crate) fn planned(&self, key: Key) -> Option<Json> {
        let plan = self.picture.plan()?;
        Some(shape::planned(plan.find(key)?))
    }

    pub(super) fn settle(&self, result: &Result<Report, RunError>) {
        let report = result.as_ref().map_or_else(RunError::report, Some);
        if let Some(report) = report {
            self.picture.settle(report);
        }
    }

    pub(super) async fn keep_picture(&self) {
        let weight = self.picture.keep(self.id).await;
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// How many bytes the picture has.
    pub(super) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }

    pub(super) async fn forget_picture(&self) {
        self.picture.forget().await;
        self.weight.store(0, Ordering::Relaxed);
    }

    /// Whether something has happened since the last time that was told.
    pub(super) fn has_news(&self) -> bool {
        self.told.load(Ordering::Relaxed) > 0
    }

    /// How many attempts are under way.
    pub(crate) fn attempts(&self) -> usize {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.running()
    }

    /// The attempt of that task that is under way.
    pub(crate) fn running(&self, key: Key) -> Option<Json> {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.running_task(key)
    }

    pub(super) fn finish(&self, mut ended: Ended, now: RequestCounts) {
        ended.requests = Some(now);
        self.ended.send_replace(Some(Arc::new(ended)));
    }

    /// How it ended, when it has.
    pub(crate) fn ended(&self) -> Option<Arc<Ended>> {
        self.ended.borrow().clone()
    }

    /// Waits until it has ended.
    pub(crate) async fn over(&self) -> Arc<Ended> {
        let mut ended = self.ended.subscribe();
        loop {
            if let Some(ended) = &*ended.borrow_and_update() {
                return Arc::clone(ended);
            }
            if ended.changed().await.is_err() {
                // The sender lives as long as `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Somebody waits for it from now on.
    pub(super) fn wait_for(self: &Arc<Self>) -> Waiter {
        let mut waiting = self.lock();
        waiting.count += 1;
        drop(waiting);
        Waiter {
            run: Arc::clone(self),
            cut: Cut::Abandoned,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody joins it, who stands elsewhere in a row of runs.
    pub(super) fn adopt(&self, link: Link) {
        self.lock().link.adopt(link);
    }

    /// Nobody can join it any more: a successor must not join what it is to succeed. Where it stands in its row.
    pub(super) fn seal(&self) -> Link {
        let mut waiting = self.lock();
        waiting.is_sealed = true;
        waiting.link.clone()
    }

    /// Whether somebody who has just come would get nothing out of it.
    pub(super) fn is_closed(&self) -> bool {
        self.is_stopping() || self.lock().is_sealed
    }

    /// Whether somebody waits for its end, who can ask for it again.
    pub(super) fn is_waited_for(&self) -> bool {
        self.lock().count > 0
    }

    /// Why it stopped.
    pub(super) fn cut(&self) -> Cut {
        if let Some(cut) = self.lock().cut {
            return cut;
        }
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.is_at_deadline() {
            Cut::Deadline
        } else {
            Cut::Other
        }
    }

    /// It goes on whether anybody waits for it or not.
    pub(super) fn detach(&self) {
        let mut waiting = self.lock();
        waiting.is_detached = true;
    }

    /// Whether it has been told to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_stopping()
    }

    /// Whether it ends at once, or nearly: who started it comes to the end of their time a moment before the run does.
    pub(crate) fn is_ending(&self) -> bool {
        let is_due = |stop| self.begun.elapsed() + AT_ONCE >= stop;
        self.is_stopping() || self.order.due.stop.is_some_and(is_due)
    }

    /// How many wait for it.
    fn waiting(&self) -> usize {
        self.lock().count
    }

    fn leave(&self, cut: Cut) {
        let mut waiting = self.lock();
        waiting.count -= 1;
        if waiting.count == 0 && !waiting.is_detached && self.ended.borrow().is_none() {
            tracing::info!(run = %self.id, "nobody waits for the run any more: it stops");
            waiting.cut = Some(cut);
            self.stop.stop();
        }
    }

    /// All that is told of it.
    pub(crate) fn json(&self) -> Json {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut json = progress.json();
        drop(progress);
        let is_stopping = self.is_stopping() || !json["stopping"].is_null();
        json["run"] = self.id.to_string().into();
        json["state"] = if is_stopping { "stopping" } else { "running" }.into();
        json["root"] = self.root.clone().into();
        json["start"] = shape::time(self.start).into();
        json["end"] = Json::Null;
        json["elapsed_seconds"] = self.begun.elapsed().as_secs_f64().into();
        json["deadline_seconds"] = json!(self.order.due.stop.map(|due| due.as_secs_f64()));
        json["waiting"] = self.waiting().into();
        json["host"] = kart_core::host().into();
        json["pid"] = std::process::id().into();
        if let Some(ended) = self.ended() {
            ended.fill(&mut json);
        }
        json
    }

    /// The same with what was asked of the store from its begin to its end, by all that this process did.
    pub(crate) fn json_with(&self, workspace: &str, now: RequestCounts) -> Json {
        let mut json = self.json();
        let now = self.ended().and_then(|ended| ended.requests).unwrap_or(now);
        json["workspace"] = workspace.into();
        json["requests"] = shape::requests(now, self.before).into();
        json
    }
}

/// Somebody who waits for a run. When the last one has gone the run stops, unless it is detached.
#[derive(Debug)]
pub(crate) struct Waiter {
    run: Arc<Run>,
    cut: Cut,
}

impl Waiter {
    /// Leaves because there is no more time, and not because nobody wants to know any more.
    pub(crate) fn time_is_up(mut self) {
        self.cut = Cut::Deadline;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.run.leave(self.cut);
    }
}

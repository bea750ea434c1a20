//! The runs of this process: started, joined, stopped, handed on.

mod ended;
mod handing;
mod picture;
mod progress;
mod run;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use kart_core::{Runner, Workspace};
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::answer::Refusal;
use crate::continuation::Interrupted;
use crate::feed::Feed;
use crate::metrics::Metrics;
use crate::settings::Settings;
use ended::Ended;
pub(crate) use handing::Link;
use handing::is_worth_it;
pub(crate) use picture::Packed;
pub(crate) use run::{Order, Run, Waiter};

/// How often it is told how far a run is.
const TICK: Duration = Duration::from_millis(250);
/// How long it may take to hand a run on: it happens in the margin before the caller, or the platform, loses patience.
pub(crate) const HANDING_ON: Duration = Duration::from_secs(3);
/// How many runs that are over are remembered.
const MOST_ENDED: usize = 64;

/// How many bytes the pictures of runs that are over may have.
const PICTURES: usize = 64 << 20;

/// The runs of this process.
pub(crate) struct Runs {
    runner: Runner,
    workspace: Workspace,
    settings: Settings,
    feed: Arc<Feed>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// How many are under way.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    /// By the key of their roots.
    active: HashMap<String, Arc<Run>>,
    /// The newest last.
    ended: VecDeque<Arc<Run>>,
    is_closing: bool,
    has_left: bool,
}

impl Runs {
    pub(crate) fn new(
        runner: Runner,
        workspace: Workspace,
        settings: Settings,
        feed: Arc<Feed>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Runs {
            runner,
            workspace,
            settings,
            feed,
            metrics,
            state: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the run of the same roots, or starts one. Whoever wants to wait for it gets a waiter.
    pub(crate) async fn join(
        self: &Arc<Self>,
        order: Order,
        waits: bool,
    ) -> Result<(Arc<Run>, Option<Waiter>), Refusal> {
        loop {
            let stopping = {
                let mut state = self.state();
                if state.is_closing {
                    return Err(Refusal::unavailable(
                        "the service is ending",
                        "ask again: another instance will answer",
                    ));
                }
                match state.active.get(&order.key) {
                    Some(run) if run.is_closed() => Arc::clone(run),
                    Some(run) => {
                        tracing::info!(run = %run.id, "joined");
                        run.adopt(order.link);
                        let waiter = Self::waiter(run, waits, order.is_detached);
                        run.tell(&self.feed);
                        return Ok((Arc::clone(run), waiter));
                    }
                    None => {
                        let run = self.start(&mut state, order)?;
                        let waiter = Self::waiter(&run, waits, false);
                        return Ok((run, waiter));
                    }
                }
            };
            // Who waited for it has gone, and this caller has just come: it is to have a run of its own.
            stopping.over().await;
        }
    }

    fn waiter(run: &Arc<Run>, waits: bool, is_detached: bool) -> Option<Waiter> {
        if !waits || is_detached {
            run.detach();
        }
        waits.then(|| run.wait_for())
    }

    fn start(self: &Arc<Self>, state: &mut State, order: Order) -> Result<Arc<Run>, Refusal> {
        let most = self.settings.max_runs;
        if state.active.len() >= most {
            return Err(Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!("{most} runs are under way, which is as many as may be at once"),
                "ask again later, or start the service with a larger --max-runs",
            )
            .retry_after(5));
        }
        let run = Arc::new(Run::new(order, self.workspace.requests()));
        state.active.insert(run.order.key.clone(), Arc::clone(&run));
        self.count.send_replace(state.active.len());
        tracing::info!(run = %run.id, root = run.root(), "started");
        tokio::spawn(Arc::clone(self).see_through(Arc::clone(&run)));
        Ok(run)
    }

    /// Runs it, tells how far it is, and what came of it.
    async fn see_through(self: Arc<Self>, run: Arc<Run>) {
        let runner = self.runner_of(&run);
        let roots = run.order.roots.clone();
        let mut work = tokio::spawn(async move { runner.run_all(roots).await });
        run.tell(&self.feed);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = ticks.tick() => {
                    // Progress bars move also where nothing happens.
                    if run.has_news() || told.elapsed() > 4 * TICK {
                        run.tell(&self.feed);
                        told = Instant::now();
                    }
                }
            }
        };
        let elapsed = run.begun.elapsed();
        let mut ended = match result {
            Ok(result) => {
                run.settle(&result);
                Ended::of(result, elapsed)
            }
            Err(error) => Ended::lost(panic_text(error), elapsed),
        };
        self.hand_on(&run, &mut ended).await;
        self.finish(&run, ended);
        self.keep_pictures(&run).await;
    }

    fn runner_of(&self, run: &Arc<Run>) -> Runner {
        let due = run.order.due;
        let mut runner = self
            .runner
            .clone()
            .run_id(run.id)
            .stop(&run.stop)
            .grace(due.grace);
        if let Some(stop) = due.stop {
            runner = runner.deadline(stop);
        }
        let (run, feed, metrics) = (
            Arc::clone(run),
            Arc::clone(&self.feed),
            Arc::clone(&self.metrics),
        );
        let also = self.settings.on_event.clone();
        let lines = self.settings.lines.clone();
        runner.on_event(move |event| {
            if let Some(lines) = &lines {
                lines.take(event);
            }
            run.take(event, &metrics, &feed);
            if let Some(also) = &also {
                also(run.id, event);
            }
        })
    }

    /// The one place where an interrupted run is given to something that goes on with it.
    async fn hand_on(&self, run: &Run, ended: &mut Ended) {
        let Some(continuation) = &self.settings.continuation else {
            return;
        };
        if ended.state != "interrupted" {
            return;
        }
        let link = {
            // Whoever joins holds the same lock.
            let _state = self.state();
            run.seal()
        };
        if let Err(reason) = is_worth_it(run.cut(), ended.counts(), run.is_waited_for()) {
            ended.not_handed_on(reason);
            return;
        }
        let interrupted = Interrupted {
            run: run.id,
            roots: run.order.roots.clone(),
            key: run.order.key.clone(),
            chain: link.chain.unwrap_or_else(|| run.id.to_string()),
            attempt: link.attempt,
        };
        let error = match timeout(HANDING_ON, continuation.hand_on(&interrupted)).await {
            Ok(Ok(())) => {
                tracing::info!(run = %run.id, successor = interrupted.successor(), "handed on");
                return ended.handed_on(&interrupted.successor());
            }
            Ok(Err(error)) => kart_core::chain(error.as_ref()),
            Err(_) => format!(
                "no answer within {}",
                humantime::format_duration(HANDING_ON)
            ),
        };
        tracing::warn!(run = %run.id, error, "failed to hand the run on");
        ended.not_handed_on(&error);
    }

    fn finish(&self, run: &Arc<Run>, ended: Ended) {
        let counts = ended.counts().map(|counts| counts.to_string());
        let (id, root, state) = (run.id, run.root(), ended.state);
        if state == "failed" {
            tracing::error!(run = %id, root, state, counts, "ended");
        } else if ended.has_left() {
            tracing::warn!(run = %id, root, state, counts, "ended");
        } else {
            tracing::info!(run = %id, root, state, counts, "ended");
        }
        self.metrics.run(ended.state);
        let mut state = self.state();
        state.has_left |= ended.has_left() && state.is_closing;
        state.active.remove(&run.order.key);
        if state.ended.len() == MOST_ENDED {
            state.ended.pop_front();
        }
        state.ended.push_back(Arc::clone(run));
        let count = state.active.len();
        run.finish(ended, self.workspace.requests());
        drop(state);
        run.tell(&self.feed);
        self.count.send_replace(count);
    }

    /// Of a run that is over the picture is kept, as long as there is room for it.
    async fn keep_pictures(&self, run: &Run) {
        run.keep_picture().await;
        let ended: Vec<_> = self.state().ended.iter().rev().cloned().collect();
        let mut room = PICTURES;
        for run in ended {
            match room.checked_sub(run.weight()) {
                Some(left) => room = left,
                None => run.forget_picture().await,
            }
        }
    }

    /// Runs that are under way, then those that are over, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Run>> {
        let state = self.state();
        let mut all: Vec<_> = state.active.values().chain(&state.ended).cloned().collect();
        drop(state);
        all.sort_by_key(|run| std::cmp::Reverse(run.id));
        all
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Run>> {
        self.all().into_iter().find(|run| run.id.to_string() == id)
    }

    /// How many are under way, and how many attempts in them.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let state = self.state();
        let active: Vec<_> = state.active.values().cloned().collect();
        drop(state);
        (active.len(), active.iter().map(|run| run.attempts()).sum())
    }

    /// Nothing starts any more, and what is under way stops in good order.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closing = true;
        for run in state.active.values() {
            run.stop.stop();
        }
    }

    /// Waits until nothing is under way; whether work was left by what was stopped.
    pub(crate) async fn closed(&self) -> bool {
        // The sender lives as long as `self`.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
        self.state().has_left
    }
}

/// What a panic said.
fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => {
            let text = payload.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            format!("the run panicked: {}", text.unwrap_or_default())
        }
        Err(error) => error.to_string(),
    }
}

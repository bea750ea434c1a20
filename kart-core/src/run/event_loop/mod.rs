//! Where the loop of a run and its attempts meet.
//!
//! An attempt is made in a *lane*, a task of the runtime. When it is through, its lane hands it in and takes
//! the next one itself, so that small tasks cost no message from one thread to another. The loop begins lanes
//! and attends to all else: deadlines, other processes, pauses. No lock is held across an await.

pub(crate) mod early_start;
mod foreign;
mod on_subtask;
pub(crate) mod state;
pub(crate) mod subtask_waits;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::task::{JoinSet, coop};

use crate::report::{Report, RunError, StopReason};
use crate::run::attempt::{AttemptJob, AttemptResult, RunContext, attempt};
use crate::run::event_loop::early_start::{EarlyAttempts, unless_cancelled};
use crate::run::event_loop::state::RunState;
use crate::run::mailbox::Message;
use crate::run::remote::progress as news;
use crate::run::shutdown::{self, Shutdown};

/// The state of a run, until its end.
struct SharedRunState(Mutex<Option<RunState>>);

/// What the loop has to do next.
enum LoopAction {
    /// Begin a lane for each.
    Spawn(Vec<AttemptJob>),
    /// The run is to stop.
    Stop(StopReason),
    /// A step of the run panicked.
    Panic(Box<dyn std::any::Any + Send>),
    Done,
}

impl SharedRunState {
    /// Gives `None` when the run is over.
    fn with<T>(&self, act: impl FnOnce(&mut RunState) -> T) -> Option<T> {
        let mut drive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drive.as_mut().map(act)
    }

    fn close(&self) -> Option<RunState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes in what has happened, and gives out what can start.
    fn turn(&self) -> LoopAction {
        let turn = |drive: &mut RunState| {
            if let Err(payload) = drive.catch_up() {
                return LoopAction::Panic(payload);
            }
            // The deadline may have passed since, and its timer not have fired yet.
            if let Some(reason) = drive.must_stop() {
                return LoopAction::Stop(reason);
            }
            let works: Vec<AttemptJob> = std::iter::from_fn(|| drive.next_work()).collect();
            if works.is_empty() && drive.is_idle() {
                return LoopAction::Done;
            }
            LoopAction::Spawn(works)
        };
        self.with(turn).unwrap_or(LoopAction::Done)
    }

    /// Takes an attempt that is through, and gives the next one.
    fn complete_and_take_next(
        &self,
        run_context: &RunContext,
        attempted: AttemptResult,
    ) -> Option<AttemptJob> {
        let complete_and_take_next = |drive: &mut RunState| {
            // All that has happened is taken in before anything starts: an output that is there already may
            // have made a task ready that goes before those that wait.
            if let Err(payload) = drive.catch_up() {
                run_context.mailbox.send(Message::Panicked(payload));
                return None;
            }
            drive.attempted(attempted);
            if drive.must_stop().is_some() {
                run_context.mailbox.wake();
                return None;
            }
            let next = drive.next_work();
            if next.is_none() || drive.has_ready() {
                run_context.mailbox.wake();
            }
            next
        };
        let handed_in = catch_unwind(AssertUnwindSafe(|| {
            self.with(complete_and_take_next).flatten()
        }));
        handed_in.unwrap_or_else(|payload| {
            run_context.mailbox.send(Message::Panicked(payload));
            None
        })
    }
}

/// Makes attempts one after the other, as long as there are any.
async fn lane(desk: Arc<SharedRunState>, run_context: Arc<RunContext>, first: AttemptJob) {
    let mut next = Some(first);
    while let Some(work) = next {
        let attempted = attempt(&run_context, work).await;
        next = desk.complete_and_take_next(&run_context, attempted);
        // Others have their turn, though no attempt ever waits for anything.
        coop::consume_budget().await;
    }
}

/// Runs to the end.
pub(crate) async fn run(mut drive: RunState, begun: EarlyAttempts) -> Result<Report, RunError> {
    let run_context = Arc::clone(&drive.run_context);
    let ownership = drive.ownership.clone();
    let grace = drive.runner.grace;
    let mut shutdown = shutdown::stop(drive.runner.stop.clone(), drive.deadline).boxed();
    let mut lost = pin!(ownership.lost());
    let mut listening = JoinSet::new();
    if drive.runner.executor.is_some() && drive.runner.on_event.is_some() {
        let (workspace, graph) = (
            run_context.workspace.clone(),
            Arc::clone(&run_context.graph),
        );
        listening.spawn(news::listen(
            workspace,
            graph,
            Arc::clone(&run_context.mailbox),
        ));
    }
    let EarlyAttempts {
        works,
        ended,
        lanes: mut early,
        ..
    } = begun;
    drive.adopt(works);
    let desk = Arc::new(SharedRunState(Mutex::new(Some(drive))));
    let mut lanes = JoinSet::new();
    let complete_and_take_next = |lanes: &mut JoinSet<()>, attempted| {
        if let Some(work) = desk.complete_and_take_next(&run_context, attempted) {
            lanes.spawn(lane(Arc::clone(&desk), Arc::clone(&run_context), work));
        }
    };
    for attempted in ended {
        complete_and_take_next(&mut lanes, attempted);
    }
    loop {
        let stopping = |reason| {
            desk.with(|drive| drive.stop(reason));
            shutdown::grace(grace).boxed()
        };
        match desk.turn() {
            LoopAction::Spawn(works) => {
                for work in works {
                    lanes.spawn(lane(Arc::clone(&desk), Arc::clone(&run_context), work));
                }
            }
            LoopAction::Stop(reason) => {
                shutdown = stopping(reason);
                continue;
            }
            LoopAction::Panic(payload) => resume_unwind(payload),
            LoopAction::Done => break,
        }
        while lanes.try_join_next().is_some() {}
        tokio::select! {
            biased;
            halted = &mut shutdown => match halted {
                Shutdown::Requested(reason) => shutdown = stopping(reason),
                Shutdown::GraceExpired => break,
            },
            () = &mut lost => {
                // What runs is somebody else's now.
                drop(stopping(StopReason::Lost));
                break;
            }
            Some(ended) = early.join_next() => {
                if let Some(attempted) = unless_cancelled(ended) {
                    complete_and_take_next(&mut lanes, attempted);
                }
            }
            () = run_context.mailbox.notified() => {}
        }
    }
    let drive = desk.close();
    // What still runs is dropped: nothing of it is published by halves.
    drop((lanes, early, listening));
    match drive {
        Some(drive) => drive.finish().await,
        None => Err(RunError::Runtime("the run was closed twice".into())),
    }
}

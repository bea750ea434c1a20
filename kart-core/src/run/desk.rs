//! Where the loop of a run and its attempts meet.
//!
//! An attempt is made in a *lane*, a task of the runtime. When it is through, its lane hands it in and takes
//! the next one itself, so that small tasks cost no message from one thread to another. The loop begins lanes
//! and attends to all else: deadlines, other processes, pauses. No lock is held across an await.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use tokio::task::{JoinSet, coop};

use super::attempt::{Attempted, Shop, Work, attempt};
use super::drive::Drive;
use super::early::{Begun, ended_well};
use super::halt::{self, Halt};
use super::inbox::Step;
use super::news;
use crate::report::{Report, RunError, StopReason};

/// The state of a run, until its end.
struct Desk(Mutex<Option<Drive>>);

/// What the loop has to do next.
enum Turn {
    /// Begin a lane for each.
    Begin(Vec<Work>),
    /// The run is to stop.
    Stop(StopReason),
    /// A step of the run panicked.
    Panic(Box<dyn std::any::Any + Send>),
    Over,
}

impl Desk {
    /// Gives `None` when the run is over.
    fn with<T>(&self, act: impl FnOnce(&mut Drive) -> T) -> Option<T> {
        let mut drive = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drive.as_mut().map(act)
    }

    fn close(&self) -> Option<Drive> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes in what has happened, and gives out what can start.
    fn turn(&self) -> Turn {
        let turn = |drive: &mut Drive| {
            if let Err(payload) = drive.catch_up() {
                return Turn::Panic(payload);
            }
            // The deadline may have passed since, and its timer not have fired yet.
            if let Some(reason) = drive.must_stop() {
                return Turn::Stop(reason);
            }
            let works: Vec<Work> = std::iter::from_fn(|| drive.next_work()).collect();
            if works.is_empty() && drive.is_idle() {
                return Turn::Over;
            }
            Turn::Begin(works)
        };
        self.with(turn).unwrap_or(Turn::Over)
    }

    /// Takes an attempt that is through, and gives the next one.
    fn hand_in(&self, shop: &Shop, attempted: Attempted) -> Option<Work> {
        let hand_in = |drive: &mut Drive| {
            // All that has happened is taken in before anything starts: an output that is there already may
            // have made a task ready that goes before those that wait.
            if let Err(payload) = drive.catch_up() {
                shop.inbox.tell(Step::Panicked(payload));
                return None;
            }
            drive.attempted(attempted);
            if drive.must_stop().is_some() {
                shop.inbox.ring();
                return None;
            }
            let next = drive.next_work();
            if next.is_none() || drive.has_ready() {
                shop.inbox.ring();
            }
            next
        };
        let handed_in = catch_unwind(AssertUnwindSafe(|| self.with(hand_in).flatten()));
        handed_in.unwrap_or_else(|payload| {
            shop.inbox.tell(Step::Panicked(payload));
            None
        })
    }
}

/// Makes attempts one after the other, as long as there are any.
async fn lane(desk: Arc<Desk>, shop: Arc<Shop>, first: Work) {
    let mut next = Some(first);
    while let Some(work) = next {
        let attempted = attempt(&shop, work).await;
        next = desk.hand_in(&shop, attempted);
        // Others have their turn, though no attempt ever waits for anything.
        coop::consume_budget().await;
    }
}

/// Runs to the end.
pub(super) async fn run(mut drive: Drive, begun: Begun) -> Result<Report, RunError> {
    let shop = Arc::clone(&drive.shop);
    let ownership = drive.ownership.clone();
    let grace = drive.runner.grace;
    let mut halt = halt::stop(drive.runner.stop.clone(), drive.deadline).boxed();
    let mut lost = pin!(ownership.lost());
    let mut listening = JoinSet::new();
    if drive.runner.executor.is_some() && drive.runner.on_event.is_some() {
        let (workspace, graph) = (shop.workspace.clone(), Arc::clone(&shop.graph));
        listening.spawn(news::listen(workspace, graph, Arc::clone(&shop.inbox)));
    }
    let Begun {
        works,
        ended,
        lanes: mut early,
        ..
    } = begun;
    drive.adopt(works);
    let desk = Arc::new(Desk(Mutex::new(Some(drive))));
    let mut lanes = JoinSet::new();
    let hand_in = |lanes: &mut JoinSet<()>, attempted| {
        if let Some(work) = desk.hand_in(&shop, attempted) {
            lanes.spawn(lane(Arc::clone(&desk), Arc::clone(&shop), work));
        }
    };
    for attempted in ended {
        hand_in(&mut lanes, attempted);
    }
    loop {
        let stopping = |reason| {
            desk.with(|drive| drive.stop(reason));
            halt::grace(grace).boxed()
        };
        match desk.turn() {
            Turn::Begin(works) => {
                for work in works {
                    lanes.spawn(lane(Arc::clone(&desk), Arc::clone(&shop), work));
                }
            }
            Turn::Stop(reason) => {
                halt = stopping(reason);
                continue;
            }
            Turn::Panic(payload) => resume_unwind(payload),
            Turn::Over => break,
        }
        while lanes.try_join_next().is_some() {}
        tokio::select! {
            biased;
            halted = &mut halt => match halted {
                Halt::Stop(reason) => halt = stopping(reason),
                Halt::GraceOver => break,
            },
            () = &mut lost => {
                // What runs is somebody else's now.
                drop(stopping(StopReason::Lost));
                break;
            }
            Some(ended) = early.join_next() => {
                if let Some(attempted) = ended_well(ended) {
                    hand_in(&mut lanes, attempted);
                }
            }
            () = shop.inbox.heard() => {}
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

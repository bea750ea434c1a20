//! What a run is asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::bodies;
use super::faults::Kind;
use super::front::Front;
use super::identity;
use super::notes::Run;
use super::process::Process;
use super::world::{GRACE, TTL, World};
use crate::{Report, RunError, RunId, Runner, StopToken, Workspace};

/// The run of an order, and its twin where it has one.
pub(super) type Running = JoinHandle<Vec<Result<Report, RunError>>>;

/// A run that is to be.
pub(super) struct Order {
    pub(super) runner: Runner,
    front: Front,
    /// The run, and its twin.
    pub(super) runs: Vec<usize>,
    pub(super) root: (u32, u32),
    pub(super) stop: StopToken,
    pub(super) deadline: Option<Duration>,
}

impl Order {
    pub(super) fn new(
        front: &Front,
        workspace: &Workspace,
        root: (u32, u32),
        configure: impl FnOnce(Runner) -> Runner,
    ) -> Self {
        let world = front.world();
        let stop = StopToken::new();
        let run = begin(front, root);
        let runner = Runner::new(workspace)
            .coordination(world.coordination)
            .ttl(TTL)
            .grace(GRACE)
            .limit("gpu", 1)
            .resource(process(front, run))
            .run_log(false)
            .run_id(run_id(front, run))
            .stop(&stop);
        Order {
            runner: configure(runner),
            front: front.clone(),
            runs: vec![run],
            root,
            stop,
            deadline: None,
        }
    }

    pub(super) fn start(&mut self, world: &Arc<World>, has_twin: bool) -> Running {
        let runner = self.runner.clone();
        let twin = has_twin.then(|| {
            let run = begin(&self.front, self.root);
            self.runs.push(run);
            let twin = runner.clone().run_id(run_id(&self.front, run));
            twin.resource(process(&self.front, run))
        });
        let task = bodies::task(world.settings.seed, self.root.0, self.root.1);
        let task = move || [task.clone()];
        let running = async move {
            if let Some(twin) = twin {
                let (one, other) = tokio::join!(runner.run_all(task()), twin.run_all(task()));
                vec![one, other]
            } else {
                vec![runner.run_all(task()).await]
            }
        };
        tokio::spawn(running)
    }

    /// Notes that it is over.
    pub(super) fn end(&self) {
        for run in &self.runs {
            self.front.world().ended(*run);
        }
    }
}

/// Notes that a run begins.
fn begin(front: &Front, root: (u32, u32)) -> usize {
    let world = front.world();
    let mut notes = world.notes();
    notes.runs.push(Run {
        life: front.life(),
        root,
        begun: world.now(),
        ended: None,
        is_over: false,
    });
    notes.runs.len() - 1
}

fn process(front: &Front, run: usize) -> Process {
    Process {
        front: front.clone(),
        run,
    }
}

/// What names a run: in order, and the same each time.
fn run_id(front: &Front, run: usize) -> RunId {
    let name = format!("01900000-{run:04x}-7000-8000-000000000000");
    let id = name.parse().expect("it is a UUID of version 7");
    identity::makes(front.life(), id);
    id
}

/// A run as the seed has it.
pub(super) fn draw(rng: &mut fastrand::Rng, front: &Front, workspace: &Workspace) -> Order {
    let world = front.world();
    let (day, at) = (rng.u32(..world.days), rng.u32(..=world.shape.root()));
    let is_other = rng.bool();
    let at = if world.may(Kind::Roots) && is_other {
        at
    } else {
        world.shape.root()
    };
    let (workers, wait, memory) = (rng.usize(1..5), rng.u64(..20_000), rng.usize(..64));
    let (waits, deadline, again) = (rng.bool(), rng.u64(200..6_000), rng.u8(..3));
    let (has_deadline, fails_fast, logs, is_small) =
        (rng.u8(..3) == 0, rng.bool(), rng.bool(), rng.bool());
    let has_deadline = world.may(Kind::Deadline) && has_deadline;
    let deadline = has_deadline.then(|| Duration::from_millis(deadline));
    let mut order = Order::new(front, workspace, (day, at), |mut runner| {
        runner = runner
            .workers(workers)
            .fail_fast(world.may(Kind::FailFast) && fails_fast)
            .run_log(world.may(Kind::Logs) && logs);
        if waits {
            runner = runner.wait(Duration::from_millis(wait));
        }
        if is_small {
            runner = runner.memory_budget(memory);
        }
        if let Some(deadline) = deadline {
            world.count(Kind::Deadline);
            runner = runner.deadline(deadline);
        }
        if world.may(Kind::Reruns) && again == 0 {
            runner = runner.rerun_all();
        }
        runner
    });
    order.deadline = deadline;
    order
}

//! What bodies know of the process that they run in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::front::Front;
use super::notes::Attempt;
use super::promises;
use super::world::World;

/// A process, in one of its runs.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) front: Front,
    pub(super) run: usize,
}

/// An attempt of a body, as long as the body is not through.
pub(super) struct Under {
    world: Arc<World>,
    index: usize,
}

impl Process {
    pub(super) fn world(&self) -> &Arc<World> {
        self.front.world()
    }

    pub(super) fn life(&self) -> usize {
        self.front.life()
    }

    pub(super) async fn up(&self) {
        self.front.up().await;
    }

    pub(super) async fn sleep(&self, time: Duration) {
        sleep(time).await;
        self.up().await;
    }

    pub(super) fn begin(&self, day: u32, at: u32) -> Under {
        let world = self.world();
        let attempt = Attempt {
            life: self.life(),
            run: self.run,
            day,
            at,
            begun: world.now(),
            is_over: false,
            has_failed: false,
        };
        world.tell(self.life(), || format!("{day}.{at} begins"));
        promises::begins(world, attempt, self.run);
        let mut notes = world.notes();
        notes.attempts.push(attempt);
        Under {
            world: Arc::clone(world),
            index: notes.attempts.len() - 1,
        }
    }
}

impl Under {
    /// Which attempt of the task it is in the whole history.
    pub(super) fn number(&self) -> u32 {
        let notes = self.world.notes();
        let mine = notes.attempts[self.index];
        let same = notes
            .attempts
            .iter()
            .filter(|other| (other.day, other.at) == (mine.day, mine.at));
        u32::try_from(same.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn fails(&self) {
        self.world.notes().attempts[self.index].has_failed = true;
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        let mut notes = self.world.notes();
        let attempt = &mut notes.attempts[self.index];
        // A process that is dead ended all of them.
        if !std::mem::replace(&mut attempt.is_over, true) {
            let attempt = *attempt;
            drop(notes);
            self.world.tell(attempt.life, || {
                format!("{}.{} ends", attempt.day, attempt.at)
            });
        }
    }
}

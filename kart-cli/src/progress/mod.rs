//! What a person sees of a run while it lasts, on stderr.
//!
//! Events only change counts and queue lines, since they are told under the run's lock; a thread writes.

mod bars;
mod condense;
mod line;
pub(crate) mod screen;
mod tally;
#[cfg(test)]
mod tests;

use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kart_core::Event;

use self::condense::Condenser;
use self::line::{Line, Weight, line};
use self::tally::Tally;

/// How often bars are drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How often what was condensed is told.
const SECOND: Duration = Duration::from_secs(1);

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Bars on a terminal, and above them what has happened.
    Bars,
    /// A line for each task, or for each second.
    Lines,
    /// Failures and warnings only.
    Quiet,
}

/// Shows a run.
#[derive(Debug)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    look: Look,
    color: bool,
    /// Whether the log tells what happens, so that no line has to.
    is_logged: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    tally: Option<Tally>,
    condenser: Condenser,
    /// What is to be written, each line ended.
    lines: String,
    /// Whether to write now, rather than with the next frame.
    is_urgent: bool,
    is_over: bool,
}

impl Progress {
    /// With `is_logged` the log tells what happens, and no line does.
    pub(crate) fn new(look: Look, color: bool, is_logged: bool) -> Self {
        let (rate, burst) = match look {
            Look::Bars => (20, 60),
            _ => (10, 60),
        };
        let shared = Arc::new(Shared {
            look,
            color,
            is_logged,
            state: Mutex::new(State {
                tally: None,
                condenser: Condenser::new(rate, burst, Instant::now()),
                lines: String::new(),
                is_urgent: false,
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        if look == Look::Bars {
            print_panics_above();
        }
        let writer = Arc::clone(&shared);
        let thread = thread::Builder::new().name("kart-progress".to_owned());
        // Without a thread all is written at the end.
        let thread = thread.spawn(move || writer.write()).ok();
        Progress {
            shared,
            thread: Mutex::new(thread),
        }
    }

    /// Takes note of an event; never waits for the terminal.
    pub(crate) fn event(&self, event: &Event<'_>) {
        self.shared.event(event, Instant::now());
    }

    /// Writes what is still to be said, and leaves the screen as if there had been no bars.
    pub(crate) fn finish(&self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        let rest = std::mem::take(&mut self.shared.state().lines);
        screen::draw(&rest, Vec::new());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: &Event<'_>, now: Instant) {
        let mut state = self.state();
        if let Some(tally) = &mut state.tally {
            tally.take(event, now);
        } else {
            state.tally = Tally::begin(event, now);
        }
        if !self.is_logged
            && self.is_told(&mut state, event)
            && let Some(line) = line(event)
            && (self.look != Look::Quiet || line.weight == Weight::Trouble)
        {
            if matches!(event, Event::Planned { .. }) {
                // Nothing runs yet that could wait, and nothing that is logged comes before it.
                screen::print(&line.text(self.color));
                return;
            }
            state.say(&line, self.color);
            state.is_urgent |= self.look != Look::Bars || line.weight != Weight::Done;
            if state.is_urgent {
                self.changed.notify_all();
            }
        }
    }

    /// Whether it has a line of its own, rather than one with many others.
    fn is_told(&self, state: &mut State, event: &Event<'_>) -> bool {
        match event {
            Event::Finished { task, .. } | Event::CompletedByOther { task } => {
                self.look != Look::Quiet && state.condenser.admits(|| task.description())
            }
            _ => true,
        }
    }

    /// The thread that writes, until all is over.
    fn write(&self) {
        let mut state = self.state();
        loop {
            let pause = if self.look == Look::Bars {
                FRAME
            } else {
                SECOND
            };
            let is_idle = |state: &mut State| !state.is_over && !state.is_urgent;
            state = self
                .changed
                .wait_timeout_while(state, pause, is_idle)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let now = Instant::now();
            let is_over = state.is_over;
            state.is_urgent = false;
            self.summarize(&mut state, now);
            let block = self.block(&mut state, now);
            let lines = std::mem::take(&mut state.lines);
            drop(state);
            screen::draw(&lines, block);
            if is_over {
                return;
            }
            state = self.state();
        }
    }

    fn summarize(&self, state: &mut State, now: Instant) {
        let Some(summary) = state.condenser.summary(now, state.is_over) else {
            return;
        };
        let far = state.tally.as_ref().filter(|_| self.look == Look::Lines);
        let far = far.map(|tally| {
            let left = tally.time_left(now).filter(|_| tally.left() > 0);
            let left = left.map(|left| format!(", {} to go", bars::rounded(left)));
            let left = left.unwrap_or_default();
            format!(" ({} of {}{left})", tally.done, tally.to_run)
        });
        state.say(&Line::note(summary + &far.unwrap_or_default()), self.color);
    }

    fn block(&self, state: &mut State, now: Instant) -> Vec<String> {
        let is_over = state.is_over;
        let Some(tally) = &mut state.tally else {
            return Vec::new();
        };
        tally.sample(now);
        if self.look != Look::Bars || is_over || tally.to_run == 0 {
            return Vec::new();
        }
        bars::block(tally, screen::size(), self.color, now)
    }
}

impl State {
    fn say(&mut self, line: &Line, color: bool) {
        self.lines += &line.text(color);
        self.lines.push('\n');
    }
}

/// What a hook prints when a body panics would be drawn over.
fn print_panics_above() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| screen::hold(|| previous(info))));
    });
}

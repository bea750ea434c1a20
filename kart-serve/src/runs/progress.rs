//! How far a run is, by its events.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use kart_core::{AnyTask, Counts, Event, Key, StopReason, TaskInfo, chain};
use kart_view::shape::{short, time};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

/// How many failures and warnings are kept while a run goes on.
const MOST_NOTES: usize = 20;
/// How many running tasks are told.
const MOST_RUNNING: usize = 50;

/// How many characters of a description are told.
const LONGEST: usize = 500;
/// And of an error.
const LONGEST_ERROR: usize = 4000;

/// How far a run is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How many tasks the graph has, and how many of them were missing; once they are known.
    planned: Option<(usize, usize)>,
    counts: Counts,
    bytes: u64,
    families: Vec<TaskCounts>,
    places: HashMap<&'static str, usize>,
    running: HashMap<Key, Running>,
    failures: Vec<Json>,
    warnings: Vec<String>,
    stopping: Option<&'static str>,
}

/// The tasks of one name.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct TaskCounts {
    name: &'static str,
    tasks: usize,
    complete: usize,
    missing: usize,
    running: usize,
    ran: usize,
    elsewhere: usize,
    failed: usize,
    blocked: usize,
    interrupted: usize,
}

#[derive(Debug)]
struct Running {
    task: AnyTask,
    attempt: u32,
    since: Instant,
    at: SystemTime,
    expected: Option<Duration>,
    /// Done, in all, and at what.
    progress: Option<(u64, u64, Option<String>)>,
}

/// What an event says about one attempt, for the metrics and for those who listen.
#[derive(Debug)]
pub(super) struct Told {
    /// How long the attempt took that has ended.
    pub(super) took: Option<Duration>,
    pub(super) data: Json,
}

impl Progress {
    fn family(&mut self, name: &'static str) -> &mut TaskCounts {
        let families = &mut self.families;
        let place = *self.places.entry(name).or_insert_with(|| {
            families.push(TaskCounts {
                name,
                ..TaskCounts::default()
            });
            families.len() - 1
        });
        &mut families[place]
    }

    /// The attempt that was under way; how long it took.
    fn end(&mut self, task: TaskInfo<'_>) -> Option<Duration> {
        let running = self.running.remove(&task.key())?;
        let family = self.family(task.name());
        family.running = family.running.saturating_sub(1);
        Some(running.since.elapsed())
    }

    fn warn(&mut self, text: &str) {
        if self.warnings.len() < MOST_NOTES {
            self.warnings.push(short(text, LONGEST));
        }
    }

    /// Takes in what has happened. Only the text of what is `wanted` is made: there may be 100,000 in a second.
    pub(super) fn take(&mut self, event: &Event<'_>, is_wanted: bool) -> Option<Told> {
        let tell = |kind, task: &TaskInfo<'_>, took: Option<Duration>, more: Json| {
            let data = if is_wanted {
                about(kind, task, more)
            } else {
                Json::Null
            };
            Some(Told { took, data })
        };
        match event {
            Event::Planned {
                tasks,
                complete,
                missing,
                families,
                ..
            } => {
                self.planned = Some((*tasks, *missing));
                self.counts.complete = *complete;
                for planned in *families {
                    let family = self.family(planned.name);
                    family.tasks = planned.tasks;
                    family.complete = planned.complete;
                    family.missing = planned.missing;
                }
                None
            }
            Event::Started {
                task,
                attempt,
                expected,
            } => {
                let running = Running {
                    task: task.task(),
                    attempt: *attempt,
                    since: Instant::now(),
                    at: SystemTime::now(),
                    expected: *expected,
                    progress: None,
                };
                self.running.insert(task.key(), running);
                self.family(task.name()).running += 1;
                tell("started", task, None, json!({"attempt": attempt}))
            }
            Event::Progress {
                task,
                done,
                total,
                message,
            } => {
                let message = message.map(|text| short(&task.task().redacted(text), LONGEST));
                let more = json!({"done": done, "total": total, "message": message});
                if let Some(running) = self.running.get_mut(&task.key()) {
                    running.progress = Some((*done, *total, message));
                }
                tell("progress", task, None, more)
            }
            Event::Finished {
                task,
                attempt,
                elapsed,
                bytes,
            } => {
                self.end(*task);
                self.counts.ran += 1;
                self.bytes += bytes;
                self.family(task.name()).ran += 1;
                let more =
                    json!({"attempt": attempt, "seconds": elapsed.as_secs_f64(), "bytes": bytes});
                tell("finished", task, Some(*elapsed), more)
            }
            _ => self.take_failed(event, tell),
        }
    }

    fn take_failed(
        &mut self,
        event: &Event<'_>,
        tell: impl Fn(&'static str, &TaskInfo<'_>, Option<Duration>, Json) -> Option<Told>,
    ) -> Option<Told> {
        match event {
            Event::Retrying {
                task,
                attempt,
                pause,
                error,
                ..
            } => {
                let took = self.end(*task);
                let error = short(&chain(*error), LONGEST_ERROR);
                let more = json!({"attempt": attempt, "pause_seconds": pause.as_secs_f64(), "error": error});
                tell("retrying", task, took, more)
            }
            Event::Failed {
                task,
                attempts,
                error,
                ..
            } => {
                let took = self.end(*task);
                self.counts.failed += 1;
                self.family(task.name()).failed += 1;
                let error = short(&chain(*error), LONGEST_ERROR);
                let more = json!({"attempts": attempts, "error": error});
                if self.failures.len() < MOST_NOTES {
                    self.failures.push(about("failed", task, more.clone()));
                }
                tell("failed", task, took, more)
            }
            _ => self.take_rare(event, tell),
        }
    }

    fn take_rare(
        &mut self,
        event: &Event<'_>,
        tell: impl Fn(&'static str, &TaskInfo<'_>, Option<Duration>, Json) -> Option<Told>,
    ) -> Option<Told> {
        match event {
            Event::Blocked { task, by } => {
                self.counts.blocked += 1;
                self.family(task.name()).blocked += 1;
                tell("blocked", task, None, json!({"by": by.key().to_string()}))
            }
            Event::CompletedByOther { task } => {
                self.counts.elsewhere += 1;
                self.family(task.name()).elsewhere += 1;
                tell("made_elsewhere", task, None, json!({}))
            }
            Event::Interrupted { task, .. } => {
                let took = self.end(*task);
                self.counts.interrupted += 1;
                self.family(task.name()).interrupted += 1;
                tell("interrupted", task, took, json!({}))
            }
            Event::SubtaskRequested { task, by } => {
                let family = self.family(task.name());
                family.tasks = family.tasks.max(1);
                tell("asked", task, None, json!({"by": by.key().to_string()}))
            }
            Event::ClaimedByOther { task, owner } => {
                tell("elsewhere", task, None, json!({"owner": owner.to_string()}))
            }
            Event::Deferred { task, expected, .. } => {
                let more = json!({"expected_seconds": expected.as_secs_f64()});
                tell("deferred", task, None, more)
            }
            Event::OutputMismatch { task } => {
                self.warn(&format!(
                    "{} is not deterministic: other bytes were published first, and kept",
                    task.description()
                ));
                tell("differed", task, None, json!({}))
            }
            Event::RerunAbandoned { tasks, made, .. } => {
                self.warn(&format!(
                    "dropped the unfinished rerun of {tasks}: {made} made, which stay"
                ));
                None
            }
            Event::RerunResumed { tasks, made, .. } => {
                self.warn(&format!(
                    "going on with an unfinished rerun of {tasks}: {made} made so far"
                ));
                None
            }
            Event::StaleCode { task } => {
                self.warn(&format!(
                    "{} was made by other code, and is kept: bump its `version`",
                    task.description()
                ));
                None
            }
            Event::StaleState { task } => {
                self.warn(&format!(
                    "{} resumes from what other code has saved: `run --fresh {}` discards it",
                    task.description(),
                    task.name()
                ));
                None
            }
            Event::TooLong { task, expected, .. } => {
                self.warn(&format!(
                    "{} may take {expected:.1?}, longer than any run may: split it, or use cx.step, cx.save or cx.map",
                    task.description()
                ));
                None
            }
            Event::LogFailed { error } => {
                self.warn(&format!("failed to write the run log: {error}"));
                None
            }
            Event::Stopping { reason, .. } => {
                self.stopping = Some(match reason {
                    StopReason::Deadline => "deadline",
                    StopReason::Asked => "asked",
                    _ => "lost",
                });
                None
            }
            _ => None,
        }
    }

    /// Whether its deadline is why it stops.
    pub(super) fn is_at_deadline(&self) -> bool {
        self.stopping == Some("deadline")
    }

    /// How many attempts are under way.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }

    /// The attempt of that task that is under way.
    pub(super) fn running_task(&self, key: Key) -> Option<Json> {
        Some(self.running.get(&key)?.json(key))
    }

    /// What is told of it while the run goes on.
    pub(super) fn json(&self) -> Json {
        let mut running: Vec<(&Key, &Running)> = self.running.iter().collect();
        running.sort_by_key(|(_, running)| running.since);
        let running: Vec<Json> = running
            .into_iter()
            .take(MOST_RUNNING)
            .map(|(key, one)| one.json(*key))
            .collect();
        let (tasks, missing) = self.planned.unzip();
        let mut counts = self.counts;
        let over =
            counts.ran + counts.elsewhere + counts.failed + counts.blocked + counts.interrupted;
        counts.left = missing.unwrap_or(0).saturating_sub(over);
        json!({
            "tasks": tasks,
            "missing": missing,
            "counts": counts,
            "bytes": self.bytes,
            "families": self.families,
            "running": running,
            "under_way": self.running.len(),
            "failures": self.failures,
            "warnings": self.warnings,
            "stopping": self.stopping,
        })
    }
}

impl Running {
    fn json(&self, key: Key) -> Json {
        let mut json = json!({
            "key": key.to_string(),
            "name": self.task.spec().name,
            "description": short(&format!("{:?}", self.task), LONGEST),
            "attempt": self.attempt,
            "start": time(self.at),
            "seconds": self.since.elapsed().as_secs_f64(),
            "expected_seconds": self.expected.map(|expected| expected.as_secs_f64()),
        });
        if let Some((done, total, message)) = &self.progress {
            json["done"] = (*done).into();
            json["total"] = (*total).into();
            json["message"] = message.clone().into();
        }
        json
    }
}

/// What happened to a task.
fn about(kind: &str, task: &TaskInfo<'_>, more: Json) -> Json {
    let mut json = json!({
        "event": kind,
        "name": task.name(),
        "key": task.key().to_string(),
        "path": task.path(),
        "description": short(&task.description(), LONGEST),
    });
    if let (Json::Object(json), Json::Object(more)) = (&mut json, more) {
        json.extend(more);
    }
    json
}

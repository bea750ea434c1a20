//! The last lines that bodies have logged, task by task.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use kart_core::{Event, Key, Redactor};
use kart_view::shape::{may_hold_secrets, short, time};
use serde_json::{Value as Json, json};

/// How many lines of a task are kept.
const MOST: usize = 200;
/// How many characters of a line.
const LONGEST: usize = 2000;
/// How many bytes in all.
const MOST_BYTES: usize = 16 << 20;
/// What a line costs beyond its text.
const OVERHEAD: usize = 64;

/// A line that was logged within an attempt.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// The stable name of the task.
    pub task: String,
    /// Its key.
    pub key: Key,
    /// Which attempt of it, from 1.
    pub attempt: i64,
    /// How important it is, such as `INFO`.
    pub level: &'static str,
    /// What was said.
    pub text: String,
}

/// The last lines that bodies have logged; a bounded number, without what is secret.
#[derive(Debug, Default)]
pub struct LogLines {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    tasks: HashMap<Key, Lines>,
    /// Whose lines those are that are kept, by their numbers.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
}

/// The lines of one task.
#[derive(Debug, Default)]
struct Lines {
    /// What hides the secrets of the task, once an attempt of it has begun.
    redactor: Option<Arc<Redactor>>,
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    at: SystemTime,
    attempt: i64,
    level: &'static str,
    text: String,
}

impl LogLines {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line. One of a task whose secrets are not known is not shown.
    pub fn push(&self, line: LogLine) {
        let mut kept = self.kept();
        let redactor = kept
            .tasks
            .get(&line.key)
            .and_then(|lines| lines.redactor.clone());
        let text = match redactor {
            Some(redactor) => redactor.redact(line.text),
            None if may_hold_secrets(&line.task) => "***".to_owned(),
            None => line.text,
        };
        kept.push(line.key, line.attempt, line.level, short(&text, LONGEST));
    }

    /// Takes in what a run does: the secrets of a task are known from the begin of its attempts.
    pub(crate) fn take(&self, event: &Event<'_>) {
        match event {
            Event::Started { task, .. } => {
                let redactor = task.task().redactor();
                if !redactor.is_idle() {
                    self.kept().tasks.entry(task.key()).or_default().redactor = Some(redactor);
                }
            }
            Event::Finished { task, .. }
            | Event::Failed { task, .. }
            | Event::Interrupted { task, .. } => {
                let mut kept = self.kept();
                if kept.tasks.get(&task.key()).is_some_and(Lines::is_empty) {
                    kept.tasks.remove(&task.key());
                }
            }
            _ => {}
        }
    }

    /// The lines of a task, the oldest first.
    pub(crate) fn of(&self, key: Key) -> Vec<Json> {
        let kept = self.kept();
        let lines = kept.tasks.get(&key).map(|lines| lines.lines.iter());
        let lines = lines.into_iter().flatten().map(|line| {
            json!({
                "at": time(line.at),
                "attempt": line.attempt,
                "level": line.level,
                "text": line.text,
            })
        });
        lines.collect()
    }
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl Kept {
    fn push(&mut self, key: Key, attempt: i64, level: &'static str, text: String) {
        let number = self.next;
        self.next += 1;
        self.bytes += text.len() + OVERHEAD;
        self.order.insert(number, key);
        let lines = &mut self.tasks.entry(key).or_default().lines;
        lines.push_back(Line {
            number,
            at: SystemTime::now(),
            attempt,
            level,
            text,
        });
        if lines.len() > MOST {
            self.drop_oldest(key);
        }
        while self.bytes > MOST_BYTES {
            let Some((_, key)) = self.order.first_key_value() else {
                break;
            };
            self.drop_oldest(*key);
        }
    }

    fn drop_oldest(&mut self, key: Key) {
        let Some(lines) = self.tasks.get_mut(&key) else {
            return;
        };
        if let Some(line) = lines.lines.pop_front() {
            self.bytes -= line.text.len() + OVERHEAD;
            self.order.remove(&line.number);
        }
        if lines.lines.is_empty() {
            self.tasks.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn line(key: &str, text: &str) -> LogLine {
        LogLine {
            task: "x/Unknown".to_owned(),
            key: key.parse().unwrap(),
            attempt: 1,
            level: "INFO",
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_task_has_its_last_lines() {
        let lines = LogLines::default();
        for _ in 0..MOST + 7 {
            lines.push(line(KEY, "x"));
        }
        assert_eq!(lines.of(KEY.parse().unwrap()).len(), MOST);
        let kept = lines.kept();
        assert_eq!(
            (kept.bytes, kept.order.len()),
            (MOST * (3 + OVERHEAD), MOST)
        );
    }

    #[test]
    fn what_is_kept_in_all_is_bounded_and_the_oldest_goes_first() {
        let mut kept = Kept::default();
        let text = "x".repeat(1000);
        let key = |n: usize| -> Key { format!("{n:032x}").parse().unwrap() };
        for n in 0..40_000 {
            kept.push(key(n), 1, "INFO", text.clone());
        }
        assert!(kept.bytes <= MOST_BYTES);
        assert!(!kept.tasks.contains_key(&key(0)) && kept.tasks.contains_key(&key(39_999)));
        assert_eq!(kept.order.len(), kept.tasks.len());
    }

    #[test]
    fn of_a_task_that_is_not_known_nothing_is_shown() {
        let lines = LogLines::default();
        lines.push(line(KEY, "the password is hunter2"));
        assert_eq!(lines.of(KEY.parse().unwrap())[0]["text"], "***");
    }
}

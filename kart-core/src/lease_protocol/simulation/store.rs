//! A store whose requests take time, get lost before or after they took effect, and overtake each other.

use std::collections::BTreeMap;

use super::super::{Nonce, ProcessId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    Output(usize),
    Claim(usize, u64),
    Liveness(ProcessId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Output {
        made_by: u64,
    },
    Claim {
        process: ProcessId,
        nonce: Nonce,
        failed: bool,
    },
    Liveness {
        beat: u64,
        wall: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Create(Path, Object),
    Put(Path, Object),
    Get(Path),
    Delete(Path),
    /// The generations of the claims on a task.
    List(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done,
    Exists,
    Object(Option<Object>),
    Generations(Vec<u64>),
    /// No reply, whether it took effect or not.
    Failed,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Path, Object>,
}

impl Store {
    /// Applies the operation; an error is a broken promise.
    pub(super) fn apply(&mut self, op: Op) -> Result<Reply, String> {
        match op {
            Op::Create(path, object) => {
                if self.objects.contains_key(&path) {
                    return Ok(Reply::Exists);
                }
                self.objects.insert(path, object);
                Ok(Reply::Done)
            }
            Op::Put(path, object) => {
                let before = self.objects.insert(path, object);
                match (path, before) {
                    (Path::Output(task), Some(before)) if before != object => Err(format!(
                        "the output of task {task} changed after it was committed"
                    )),
                    _ => Ok(Reply::Done),
                }
            }
            Op::Get(path) => Ok(Reply::Object(self.objects.get(&path).copied())),
            Op::Delete(path) => {
                self.objects.remove(&path);
                Ok(Reply::Done)
            }
            Op::List(task) => {
                let claims = Path::Claim(task, 0)..=Path::Claim(task, u64::MAX);
                let generations = self.objects.range(claims).map(|(path, _)| match path {
                    Path::Claim(_, generation) => *generation,
                    _ => 0,
                });
                Ok(Reply::Generations(generations.collect()))
            }
        }
    }

    /// The processes that say in a claim on a task that the task failed for good.
    pub(super) fn failed_by(&self, task: usize) -> impl Iterator<Item = ProcessId> {
        let claims = Path::Claim(task, 0)..=Path::Claim(task, u64::MAX);
        let failed = |(_, object): (&Path, &Object)| match object {
            Object::Claim {
                process,
                failed: true,
                ..
            } => Some(*process),
            _ => None,
        };
        self.objects.range(claims).filter_map(failed)
    }

    pub(super) fn has_output(&self, task: usize) -> bool {
        self.objects.contains_key(&Path::Output(task))
    }
}

//! Adds the subtasks of a remote attempt to the table and the record of the dispatching run.

use std::sync::Arc;

use super::state::RunState;
use crate::key::Key;
use crate::log::RecordedOutcome;
use crate::model::{AnyTask, NodeId};
use crate::plan::Status;
use crate::report::Outcome;
use crate::run::errors::error_text::ErrorText;
use crate::run::message::{FailedAttempt, Published};
use crate::run::record::ran::RanRecord;
use crate::run::subtask_report::{SubtaskEnd, SubtaskReport};
use crate::run::table::State;

impl RunState {
    /// Applies the subtask report of the worker that made `root`. Tasks that this run knows already stay as they are.
    pub(super) fn on_remote_subtasks(&mut self, root: NodeId, report: SubtaskReport) {
        for task in report.tasks {
            // The worker is of the same build, so it knows no other tasks.
            if let Ok(task) = AnyTask::from_json(task) {
                let _ = self.place(task.into_dyn());
            }
        }
        for key in report.asked {
            if let Some(asked) = self.graph.find(key) {
                self.record(move |tracker| tracker.record_subtask(asked, root));
            }
        }
        for ended in &report.ended {
            // Known tasks were reported before.
            let Some(by) = self.unknown(ended.key) else {
                continue;
            };
            for asked in &ended.asked {
                let Some(asked) = self.graph.find(*asked) else {
                    continue;
                };
                self.record(move |tracker| tracker.emit_subtask(asked, by));
            }
        }
        for key in report.complete {
            if let Some(node) = self.unknown(key) {
                self.table.set_status(node, Status::Complete);
                self.table.set_outcome(node, Outcome::Complete);
                self.table.set(node, State::Complete);
            }
        }
        for ended in report.ended {
            self.on_remote_end(ended);
        }
        for (key, by) in report.blocked {
            let failed = self.graph.find(by);
            let is_failed = failed.is_some_and(|by| self.dependency_failed(by).is_some());
            if let (Some(node), true) = (self.unknown(key), is_failed) {
                self.table.set_status(node, Status::Missing);
                self.block(node, by);
            }
        }
    }

    fn on_remote_end(&mut self, ended: SubtaskEnd) {
        let Some(node) = self.graph.find(ended.key) else {
            return;
        };
        let record = ended.note(node, &self.graph);
        let is_published = ended.outcome == RecordedOutcome::Ran;
        let is_wanted = is_published && self.table.state(node) == State::Waiting;
        let is_unknown = self.unknown(ended.key).is_some();
        if !is_wanted && !is_unknown {
            // Other runs may have found it complete; only this record says which process made it.
            if is_published && !matches!(self.table.outcome(node), Outcome::Ran(_)) {
                self.record(move |tracker| tracker.record_note(record));
            }
            return;
        }
        if ended.outcome == RecordedOutcome::Retrying {
            self.record(move |tracker| tracker.record_note(record));
            return;
        }
        if is_unknown {
            self.table.set_status(node, Status::Missing);
        }
        let attempt = ended.attempt;
        self.record(move |tracker| {
            tracker.emit_started(node, attempt);
            tracker.record_note(record);
        });
        if !is_published {
            self.on_remote_failure(node, ended);
            return;
        }
        let published = Published {
            stored: None,
            bytes: ended.bytes,
            hash: ended.hash(),
            differed: false,
            worker: Some(ended.worker.into()),
        };
        let ran = RanRecord::new(node, attempt, ended.elapsed, &published, false);
        self.record(move |tracker| tracker.emit_ran(ran));
        self.has_run = true;
        self.complete(node, attempt, ended.elapsed, &published, is_wanted);
    }

    fn on_remote_failure(&mut self, node: NodeId, ended: SubtaskEnd) {
        self.fail_unrecorded(FailedAttempt {
            node,
            number: ended.attempt,
            elapsed: ended.elapsed,
            error: Arc::new(ErrorText::of(ended.causes).into_error(true)),
        });
    }

    /// Returns the task of that key, if its status is not known yet.
    fn unknown(&self, key: Key) -> Option<NodeId> {
        let node = self.graph.find(key)?;
        let state = self.table.state(node);
        matches!(state, State::NotNeeded | State::Checking).then_some(node)
    }
}

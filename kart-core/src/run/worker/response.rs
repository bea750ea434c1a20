//! The response to the dispatching run, made from the report of the worker's own run.

use crate::lease::this_process;
use crate::model::NodeId;
use crate::report::{Interruption, Outcome, Report};
use crate::run::errors::error_text::texts;
use crate::run::executor::AttemptResponse;
use crate::run::subtask_report::SubtaskReport;

pub(super) fn response(report: &Report, root: NodeId) -> AttemptResponse {
    match report.task(root).outcome {
        Outcome::Ran(attempts) => AttemptResponse::Published {
            bytes: attempts.bytes,
            hash: report.hash(root).map(|hash| hash.to_hex().to_string()),
            differed: attempts.differed,
            elapsed: attempts.elapsed,
            worker: this_process().to_string(),
            subtasks: SubtaskReport::default(),
        },
        Outcome::Complete | Outcome::CompletedByOther => AttemptResponse::AlreadyExists,
        Outcome::Failed(failure) => AttemptResponse::failed(&failure.error, failure.elapsed),
        // A subtask failed, so a retry cannot help.
        Outcome::Blocked { by } => {
            let blocking = report.failures().find(|(task, _)| task.task.key() == *by);
            let mut causes = vec!["a task that it asked for did not complete".to_owned()];
            causes.extend(blocking.into_iter().flat_map(|(_, failure)| texts(failure)));
            AttemptResponse::Failed {
                causes,
                is_permanent: true,
                elapsed: report.elapsed(),
                by: Some(*by),
                subtasks: SubtaskReport::default(),
            }
        }
        Outcome::Interrupted(Interruption::Unavailable(error)) => AttemptResponse::Unavailable {
            error: error.clone(),
        },
        Outcome::NotNeeded | Outcome::Interrupted(_) | Outcome::NotRun => {
            AttemptResponse::Interrupted
        }
    }
}

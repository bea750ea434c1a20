//! One task with the defaults, for its output.

use std::sync::Arc;

use super::runner::Runner;
use crate::model::{LoadError, Task};
use crate::plan::{TaskExt, describe};
use crate::report::RunError;
use crate::workspace::Workspace;

/// Runs what is missing of `root` with the default settings, and returns its output.
///
/// # Errors
///
/// Those of [`Runner::run`], and [`RunError::Output`] if the output cannot be loaded.
pub async fn build<T: Task>(root: T, workspace: &Workspace) -> Result<Arc<T::Output>, RunError> {
    let mut report = Runner::new(workspace).run(root.clone()).await?;
    if let Some(stored) = report.take_root() {
        let failed = |error: LoadError| {
            let location = workspace.display_url(&root.path());
            RunError::Output(error.of(describe(&root), location))
        };
        let value = stored.value(&root).await.map_err(failed)?;
        if let Ok(output) = value.downcast() {
            return Ok(output);
        }
    }
    let output = root.load(workspace).await.map_err(RunError::Output)?;
    Ok(Arc::new(output))
}

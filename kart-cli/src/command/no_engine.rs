//! All attempts are made here.

use kart_core::{AnyTask, Runner};

use crate::{End, Session};

#[expect(clippy::unused_async, reason = "an engine is looked for")]
pub(super) async fn on_engine(session: &Session) -> Result<Runner, End> {
    Ok(session.runner.clone())
}

#[expect(clippy::unused_async, reason = "runs are left to an engine")]
pub(super) async fn detach(_: &Session, _: &[AnyTask]) -> Result<bool, End> {
    Ok(false)
}

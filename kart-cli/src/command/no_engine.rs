//! All attempts are made here.

use kart_core::Runner;

use crate::{End, Session};

#[expect(clippy::unused_async, reason = "an engine is looked for")]
pub(super) async fn on_engine(session: &Session) -> Result<Runner, End> {
    Ok(session.runner.clone())
}

//! `--engine`: attempts that workers make.

use kart_core::Runner;
use kart_restate::{Connect, RestateError};

use crate::{End, FAILED, Session};

/// How many attempts are under way unless said otherwise: enough for many workers, and few enough that those of
/// higher priority need not wait long.
const UNDER_WAY: usize = 1000;

/// The session's runner, on the engine if there is one.
pub(super) async fn on_engine(session: &Session) -> Result<Runner, End> {
    let (config, runner) = (&session.config, session.runner.clone());
    let Some(engine) = config.given("engine") else {
        return Ok(runner);
    };
    let mut connect = Connect::new(engine.trim_start_matches("restate="));
    connect.token = std::env::var("KART_ENGINE_TOKEN")
        .ok()
        .filter(|token| !token.is_empty());
    connect.batch = config.number("batch").unwrap_or(1);
    let engine = connect.connect().await.map_err(end)?;
    let workers = config.number("workers").unwrap_or(UNDER_WAY);
    Ok(runner.workers(workers).executor(engine))
}

pub(super) fn end(error: RestateError) -> End {
    match error {
        RestateError::Settings(_) => End::wrong_use(error),
        error => End::new(FAILED, format!("error: {}", kart_core::chain(&error))),
    }
}

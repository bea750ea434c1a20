//! Tasks behind HTTP: started by a queue, a scheduler or a person, watched while they run.
//!
//! It sees the public interface of the runtime and nothing else. Data flows one way: `server` listens, `auth` lets
//! callers in, `routes` read what they ask, `runs` start, join and stop runs, `feed` and `metrics` tell of them,
//! `answer` writes it down, in the shapes of kart-view. `docs/http.md` is what it promises.

mod answer;
mod app;
mod auth;
mod continuation;
mod deadline;
mod error;
mod feed;
mod lines;
mod metrics;
mod past;
mod routes;
mod runs;
mod server;
mod settings;

pub use continuation::{Continuation, ContinueWith, HandedOn, Interrupted};
pub use deadline::Limits;
pub use error::ServeError;
pub use lines::{LogLine, LogLines};
pub use server::{Ending, Server};
pub use settings::{Allow, Oidc, OnEvent, Settings, WithoutToken};

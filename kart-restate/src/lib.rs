//! The same tasks on many machines, on [Restate](https://restate.dev): workers, and runs whose attempts they make.
//!
//! The engine carries orders to workers, lets one run of a key at a time happen, and starts anew what a lost worker
//! had. It keeps no result: what is complete is for the workspace to say. `server` is what workers serve, `engine` is
//! what a run orders by; they know of each other what `wire` says. `docs/restate.md` is what it promises.

mod batch;
mod engine;
mod error;
mod ingress;
mod runs;
mod server;
mod service;
mod wire;

pub use batch::Batch;
pub use engine::{Connect, Engine};
pub use error::RestateError;
pub use runs::Ways;
pub use server::{Server, Settings};

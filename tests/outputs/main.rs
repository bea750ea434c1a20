//! What exists is what it is taken for: whose an output is, whether it is what was written, and what consumers get of it.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "fs")]
mod files;
mod fixed_paths;
mod values;
mod verified;

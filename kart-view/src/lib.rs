//! How tasks and runs are shown: the shapes of their JSON, and the scripts and styles that draw them.
//!
//! The report that the command line writes and the page of the service are made of the same pieces. It sees the public
//! interface of the runtime and nothing else, and decides nothing: what it is given it writes down.

pub mod assets;
mod graph;
mod letters;
mod recorder;
pub mod shape;

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;

pub use graph::{Graph, Task, TaskCounts};
pub use letters::{OUTCOMES, letter, need};
pub use recorder::{Attempt, Changes, Recorder};

/// What serializes as JSON, compressed by gzip: in few bytes, for what is kept.
pub fn packed(data: &impl Serialize) -> Vec<u8> {
    gzip(data, Compression::default())
}

/// The same in less time and more bytes, for what is told once.
pub fn packed_fast(data: &impl Serialize) -> Vec<u8> {
    gzip(data, Compression::fast())
}

fn gzip(data: &impl Serialize, level: Compression) -> Vec<u8> {
    let mut zip = GzEncoder::new(Vec::new(), level);
    let json = serde_json::to_vec(data).unwrap_or_default();
    // Nothing fails that writes to memory.
    let _ = zip.write_all(&json);
    zip.finish().unwrap_or_default()
}

/// What was [packed], as it was before.
#[must_use]
pub fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut json = Vec::new();
    let read = GzDecoder::new(packed).read_to_end(&mut json);
    debug_assert!(read.is_ok(), "only what was packed is unpacked");
    json
}

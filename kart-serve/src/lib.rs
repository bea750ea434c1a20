//! Tasks behind HTTP.

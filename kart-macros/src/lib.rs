//! The `#[task]` attribute; use it through the facade crate `kart`.

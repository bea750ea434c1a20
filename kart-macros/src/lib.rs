//! The `#[task]` attribute; use it through the facade crate `kart`.
#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::todo,
        clippy::unimplemented,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod parse;

mod model;

mod check;

mod expand;

mod diag;
mod names;

use proc_macro::TokenStream;

/// Turns a function into a checkpointed task.
#[proc_macro_attribute]
pub fn task(attr: TokenStream, item: TokenStream) -> TokenStream {
    expand::task(attr.into(), item.into()).into()
}

//! The one place where errors are collected: every error of an item is kept and all are shown at once.
//! Nothing here decides what is wrong.

use std::fmt;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// What is wrong with one item, in the order in which it was found.
#[derive(Default)]
#[must_use = "errors that are not emitted are lost"]
pub(crate) struct Diag {
    errors: Vec<syn::Error>,
}

impl Diag {
    /// Notes an error at the whole extent of `at`.
    pub(crate) fn error(&mut self, at: impl ToTokens, message: impl fmt::Display) {
        self.errors.push(syn::Error::new_spanned(at, message));
    }

    /// Notes an error that a parser has found.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// One `compile_error!` for each error.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors
            .iter()
            .map(syn::Error::to_compile_error)
            .collect()
    }

    #[cfg(test)]
    pub(crate) fn messages(self) -> Vec<String> {
        self.errors
            .into_iter()
            .flatten()
            .map(|error| error.to_string())
            .collect()
    }
}

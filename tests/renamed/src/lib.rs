//! kart under another name, once as a dependency and once through a path of this crate's own.
#![deny(warnings)]

use other::task;

mod inner {
    //! Where a crate might keep what it re-exports.

    pub(crate) use other as kart;
}

/// A text.
///
/// # Errors
///
/// None.
#[task(crate = ::other, path = "{day}.txt")]
pub async fn text(day: u32, #[param(secret)] token: String) -> other::Result<String> {
    std::future::ready(()).await;
    drop(token);
    Ok(day.to_string())
}

/// Its length.
///
/// # Errors
///
/// None.
#[task(crate = crate::inner::kart)]
pub fn length(
    day: u32,
    #[param(default = 1)] more: usize,
    #[requires(Text { day, token: String::new() })] text: &str,
    #[requires] other: &str,
) -> other::Result<usize> {
    Ok(text.len() + other.len() + more)
}

/// A task of each kind.
pub fn example() -> Length {
    let other = Text {
        day: 1,
        token: String::new(),
    };
    Length::new(2, other)
}

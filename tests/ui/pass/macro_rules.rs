//! Tasks made by a macro.
#![deny(warnings, missing_docs)]

use kart::task;

macro_rules! tasks {
    ($($(#[$meta:meta])* $vis:vis $name:ident($param:ident: $ty:ty, $expr:expr) = $value:expr;)*) => {$(
        $(#[$meta])*
        #[task(version = 2)]
        $vis async fn $name($param: $ty, fixed: u8, #[requires($expr)] first: &str) -> anyhow::Result<usize> {
            let _ = (fixed, first);
            Ok($value)
        }
    )*};
}

/// A text.
#[task]
pub fn text(of: &str) -> anyhow::Result<String> {
    Ok(of.to_owned())
}

tasks! {
    /// The one.
    pub the_one(day: &str, Text { of: day.to_owned() }) = 1;
    /// The other.
    the_other(count: u8, Text { of: count.to_string() }) = 2;
}

fn main() {
    let _ = (
        TheOne {
            day: String::new(),
            fixed: 1,
        },
        TheOther { count: 1, fixed: 2 },
    );
}

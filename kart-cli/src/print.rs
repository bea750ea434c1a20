//! Notes for a person, on stderr.

use crate::progress::screen;

pub(crate) fn note(text: &str) {
    screen::print(text);
}

//! Where an output goes: path templates, and parameters as one segment of a path.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde::ser::Error as _;

use super::Key;
use super::canonical::{self, CanonicalError};

/// A piece of a path template such as `reports/{day}/{key}.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text that stands in the path as it is.
    Literal(&'static str),
    /// `{param}`: the text of the parameter of this name, encoded by [`encode_segment`].
    Param(&'static str),
    /// `{key}`: the task's key.
    Key,
    /// `{name}`: the task's stable name, as it is; its `/` are folders.
    Name,
    /// `{ext}`: the extension of the output's format.
    Extension,
}

/// The text of one parameter in a path before it is encoded, or why it has none.
///
/// # Examples
///
/// ```
/// use kart::key::PathText;
///
/// assert_eq!(PathText::display(&1.50).into_result()?, "1.5");
/// assert_eq!(PathText::json("a").into_result()?, "a");
/// assert_eq!(PathText::json(&[1, 2]).into_result()?, "[1,2]");
/// # Ok::<(), kart::key::CanonicalError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PathText(Result<String, CanonicalError>);

impl PathText {
    /// What the value's `Display` writes.
    pub fn display<T: fmt::Display + ?Sized>(value: &T) -> Self {
        let mut text = String::new();
        // Not `to_string`, which panics where a `Display` fails.
        Self(match write!(text, "{value}") {
            Ok(()) => Ok(text),
            Err(_) => Err(CanonicalError::custom("its `Display` failed")),
        })
    }

    /// The value's canonical JSON; of a string the string itself.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(canonical::to_vec(value).and_then(|json| {
            if json.starts_with(b"\"") {
                return serde_json::from_slice(&json).map_err(CanonicalError::custom);
            }
            String::from_utf8(json).map_err(CanonicalError::custom)
        }))
    }

    /// The text.
    ///
    /// # Errors
    ///
    /// The value has no canonical JSON, or its `Display` failed.
    pub fn into_result(self) -> Result<String, CanonicalError> {
        self.0
    }
}

impl Default for PathText {
    /// The empty text.
    fn default() -> Self {
        Self(Ok(String::new()))
    }
}

/// A parameter that is asked for its [`PathText`]: by `Display` where its type has it, else by
/// `Serialize`. The compiler finds the first that fits, if both traits are in scope and the call has
/// exactly this form.
///
/// # Examples
///
/// ```
/// use kart::key::PathValue;
/// use kart::key::{ViaDisplay as _, ViaJson as _};
///
/// let text = (&PathValue(&"a\"b")).path_text();
/// assert_eq!(text.into_result()?, "a\"b");
/// let text = (&PathValue(&Some(1))).path_text();
/// assert_eq!(text.into_result()?, "1");
/// # Ok::<(), kart::key::CanonicalError>(())
/// ```
#[derive(Debug)]
#[doc(hidden)]
pub struct PathValue<'a, T: ?Sized>(
    /// The parameter.
    pub &'a T,
);

/// [`PathValue`] by `Display`; found first, as its method needs no further borrow.
#[doc(hidden)]
pub trait ViaDisplay {
    /// The parameter's text.
    fn path_text(&self) -> PathText;
}

impl<T: fmt::Display + ?Sized> ViaDisplay for PathValue<'_, T> {
    fn path_text(&self) -> PathText {
        PathText::display(self.0)
    }
}

/// [`PathValue`] by `Serialize`; found where there is no `Display`, one borrow further out.
#[doc(hidden)]
pub trait ViaJson {
    /// The parameter's text.
    fn path_text(&self) -> PathText;
}

impl<T: Serialize + ?Sized> ViaJson for &PathValue<'_, T> {
    fn path_text(&self) -> PathText {
        PathText::json(self.0)
    }
}

/// The path of an output, relative to the workspace. `param` gives the text of the parameter of a
/// name.
///
/// kart keeps `_kart/` for itself: a path whose first segment comes out as `_kart`, in any mix of
/// cases as some file systems do not tell them apart, is written with `%5F` for the underscore.
///
/// # Errors
///
/// A parameter has no text.
///
/// # Examples
///
/// ```
/// use kart::key::path::{PathText, Segment, render};
/// use kart::key::Key;
///
/// let template = [Segment::Literal("raw/"), Segment::Param("day"), Segment::Literal(".csv")];
/// let path = render(&template, "etl/Raw", Key::of(b""), "csv", |_| PathText::display("7/5"))?;
/// assert_eq!(path, "raw/7%2F5.csv");
/// # Ok::<(), kart::key::CanonicalError>(())
/// ```
pub fn render(
    segments: &[Segment],
    name: &str,
    key: Key,
    extension: &str,
    mut param: impl FnMut(&str) -> PathText,
) -> Result<String, CanonicalError> {
    const OWN: &str = "_kart";
    let mut path = String::with_capacity(USUAL_LEN);
    for segment in segments {
        match segment {
            Segment::Literal(text) => path.push_str(text),
            Segment::Param(name) => path.push_str(&encode_segment(&param(name).into_result()?)),
            Segment::Key => {
                let _ = write!(path, "{key}");
            }
            Segment::Name => path.push_str(name),
            Segment::Extension => path.push_str(extension),
        }
    }
    let start = path.len() - path.trim_start_matches('/').len();
    let first = path[start..].split('/').next().unwrap_or_default();
    if first.eq_ignore_ascii_case(OWN) {
        path.replace_range(start..=start, "%5F");
    }
    Ok(path)
}

/// Most paths are shorter.
const USUAL_LEN: usize = 96;

/// The longest text that a parameter becomes in a path.
const MAX_LEN: usize = 150;
/// How much of a longer one is kept before its hash.
const KEPT_LEN: usize = 110;

/// A parameter's text as a part of a path: never empty, `.` or `..`, without `/`, ASCII, and no
/// longer than 150 bytes.
///
/// - Every byte but `A-Z a-z 0-9 _ . = , + @ -` is percent-encoded, with upper-case digits.
/// - A dot at the beginning or the end is `%2E`.
/// - The first letter of a name that Windows keeps for a device (`CON`, `nul.txt`) is percent-encoded.
/// - An empty text is `(empty)`.
/// - A text of more than 150 bytes after that is cut within its first 110 bytes, before a `%XX` that
///   would be split, and the 128-bit BLAKE3 hash of the whole encoded text follows in parentheses.
///
/// Two texts never come out as one. `%` is always encoded itself, so decoding every `%XX` gives back
/// the text, whichever rule encoded it; parentheses are always encoded, so `(empty)` and a cut text
/// are mistaken for no other; and two cut texts differ in their hash.
///
/// # Examples
///
/// ```
/// use kart::key::path::encode_segment;
///
/// assert_eq!(encode_segment("2024-05-07"), "2024-05-07");
/// assert_eq!(encode_segment("../etc"), "%2E.%2Fetc");
/// assert_eq!(encode_segment(".."), "%2E%2E");
/// assert_eq!(encode_segment(""), "(empty)");
/// assert_eq!(encode_segment("con.txt"), "%63on.txt");
/// ```
pub fn encode_segment(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let last = text.len() - 1;
    let device = is_device(text);
    let mut encoded = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let plain = match byte {
            b'.' => at != 0 && at != last,
            b'A'..=b'Z' | b'a'..=b'z' => at != 0 || !device,
            b'0'..=b'9' | b'_' | b'=' | b',' | b'+' | b'@' | b'-' => true,
            _ => false,
        };
        if plain {
            encoded.push(char::from(byte));
        } else {
            push_encoded(&mut encoded, byte);
        }
    }
    if encoded.len() > MAX_LEN {
        shorten(&encoded)
    } else {
        encoded
    }
}

fn push_encoded(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

fn shorten(encoded: &str) -> String {
    // Of a `%XX` that begins within the last two bytes, the end would be cut off.
    let cut = match encoded[KEPT_LEN - 2..KEPT_LEN].find('%') {
        Some(at) => KEPT_LEN - 2 + at,
        None => KEPT_LEN,
    };
    format!("{}({})", &encoded[..cut], Key::of(encoded.as_bytes()))
}

/// Whether Windows takes the text up to its first dot for a device.
fn is_device(text: &str) -> bool {
    let stem = text.split('.').next().unwrap_or_default();
    if ["CON", "PRN", "AUX", "NUL"]
        .iter()
        .any(|name| stem.eq_ignore_ascii_case(name))
    {
        return true;
    }
    let (Some(port), Some(digit)) = (stem.get(..3), stem.get(3..)) else {
        return false;
    };
    (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT"))
        && matches!(digit.as_bytes(), [b'1'..=b'9'])
}

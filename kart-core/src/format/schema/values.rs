//! The samples that a part of a row can be given.

pub(super) const DATE: &str = "2024-02-29";

/// What a type of texts may want to read. The first is accepted by whatever accepts any text.
pub(super) const TEXTS: &[&str] = &[
    "text",
    "2024-02-29T12:34:56.5+01:00",
    "2024-02-29T12:34:56+01:00",
    "2024-02-29T12:34:56.5",
    "2024-02-29T12:34:56",
    "2024-02-29T11:34:56.5Z",
    "2024-02-29T11:34:56Z",
    DATE,
    "12:34:56.5",
    "12:34:56",
    "2024-02-29T12:34:56.500+01:00",
    "2024-02-29T12:34:56.500000+01:00",
    "2024-02-29T11:34:56.500Z",
    "2024-02-29T11:34:56.500000Z",
    "2024-02-29T12:34:56.500",
    "2024-02-29T12:34:56.500000",
    "12:34:56.500",
    "12:34:56.500000",
    "2024-02-29 12:34:56.5 +01:00:00",
    "2024-02-29 12:34:56.5",
    "2024-02-29 12:34:56 +01:00",
    "2024-02-29T12:34:56+00:00[UTC]",
    "2024-02-29 12:34:56",
    "2024-02",
    "12:34",
    "PT1S",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "127.0.0.0/8",
    "::1/128",
    "00:00:00:00:00:00",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "https://example.org/",
    "someone@example.org",
    "example.org",
    "/",
    "1",
    "0.5",
    "1.2.3",
    "true",
    "a",
    "",
    "UTC",
    "+01:00",
    "Mon",
    "Monday",
    "January",
    "en",
    "DE",
    "EUR",
    "AAAA",
    "#000000",
    "00",
    "00000000",
    "0000000000000000",
    "00000000000000000000000000000000",
    "0000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// Returns the sample for the same time without a fraction of a second, if the sample has one.
pub(super) fn whole_second(choice: usize) -> Option<usize> {
    let (start, rest) = TEXTS.get(choice)?.split_once(".5")?;
    if !start.ends_with(":56") {
        return None;
    }
    let whole = format!("{start}{}", rest.trim_start_matches('0'));
    TEXTS.iter().position(|text| *text == whole)
}

/// How many bytes a type of bytes may want to read.
pub(super) const LENGTHS: &[usize] = &[1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 28, 32, 48, 64, 0];

/// What a type may want to read that takes what comes.
#[derive(Clone, Copy)]
pub(super) enum Any {
    Text(&'static str),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Unit,
}

pub(super) const ANY: &[Any] = &[
    Any::Text("text"),
    Any::Text("1"),
    Any::Unsigned(1),
    Any::Signed(-1),
    Any::Float(0.5),
    Any::Bool(true),
    Any::Unit,
];

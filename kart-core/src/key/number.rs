//! Numbers of the canonical form.

use std::fmt;
use std::io::Write as _;
use std::ops::RangeInclusive;

use serde::ser::Error as _;

use super::canonical::CanonicalError;

/// Appends an integer, exactly.
pub(super) fn write_integer(
    out: &mut Vec<u8>,
    value: impl fmt::Display,
) -> Result<(), CanonicalError> {
    write!(out, "{value}").map_err(CanonicalError::custom)
}

/// Appends a float as ECMAScript prints it.
pub(super) fn write_f64(out: &mut Vec<u8>, value: f64) -> Result<(), CanonicalError> {
    check_finite(value)?;
    out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
    Ok(())
}

/// Appends a float as ECMAScript prints the `f64` that the shortest text of the `f32` reads as: `0.1`
/// stays `0.1`, it is not widened to `0.10000000149011612`.
pub(super) fn write_f32(out: &mut Vec<u8>, value: f32) -> Result<(), CanonicalError> {
    check_finite(value.into())?;
    let mut buffer = ryu_js::Buffer::new();
    let shortest = buffer.format_finite(value);
    write_f64(out, shortest.parse().map_err(CanonicalError::custom)?)
}

/// The text of a float that is the key of a map. It is a string, which RFC 8785 leaves alone, so it
/// is as `serde_json` 1.0 writes it (`1.0`, `1e+300`); kept here so that no release of it changes keys.
pub(super) fn f64_name(value: f64) -> Result<String, CanonicalError> {
    check_finite(value)?;
    let digits = Digits::of(ryu_js::Buffer::new().format_finite(value));
    Ok(digits.lay_out(value.is_sign_negative(), -5..=15))
}

/// As [`f64_name`]; `serde_json` goes over to exponents elsewhere for an `f32`.
pub(super) fn f32_name(value: f32) -> Result<String, CanonicalError> {
    check_finite(value.into())?;
    let digits = Digits::of(ryu_js::Buffer::new().format_finite(value));
    Ok(digits.lay_out(value.is_sign_negative(), -6..=12))
}

/// A decimal number without its sign: `125` and 1 are 12.5.
struct Digits {
    digits: String,
    /// The power of ten of the first digit.
    exponent: i64,
}

impl Digits {
    /// Of a number as ECMAScript prints it.
    fn of(text: &str) -> Self {
        let text = text.trim_start_matches('-');
        let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{integer}{fraction}");
        let significant = all.trim_start_matches('0');
        if significant.is_empty() {
            return Self {
                digits: "0".to_owned(),
                exponent: 0,
            };
        }
        // No text of a float is long enough for the default.
        let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
        let leading_zeros = length(&all) - length(significant);
        Self {
            digits: significant.trim_end_matches('0').to_owned(),
            exponent: power.parse().unwrap_or(0) + length(integer) - 1 - leading_zeros,
        }
    }

    /// `12.5`, or `1.25e+1` if the exponent is not among `fixed`.
    fn lay_out(&self, negative: bool, fixed: RangeInclusive<i64>) -> String {
        let Self { digits, exponent } = self;
        let sign = if negative { "-" } else { "" };
        if !fixed.contains(exponent) {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return format!("{sign}{first}{point}{rest}e{exponent:+}");
        }
        let Ok(whole) = usize::try_from(exponent + 1) else {
            let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
            return format!("{sign}0.{zeros}{digits}");
        };
        match digits.split_at_checked(whole) {
            Some(("", fraction)) => format!("{sign}0.{fraction}"),
            Some((integer, "")) => format!("{sign}{integer}.0"),
            Some((integer, fraction)) => format!("{sign}{integer}.{fraction}"),
            None => format!("{sign}{digits:0<whole$}.0"),
        }
    }
}

/// Appends a number that is given as JSON text: an integer exactly, anything else as its `f64`.
/// The text was checked to be a JSON number.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) -> Result<(), CanonicalError> {
    if text == "-0" {
        out.push(b'0');
        return Ok(());
    }
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return write_f64(out, text.parse().map_err(CanonicalError::custom)?);
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn check_finite(value: f64) -> Result<(), CanonicalError> {
    if value.is_nan() {
        return Err(CanonicalError::NaN);
    }
    if value.is_infinite() {
        return Err(CanonicalError::Infinity);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_keeps_its_shortest_digits() {
        for (value, expected) in [
            (0.1_f32, "0.1"),
            (16_777_216.0, "16777216"),
            (f32::MAX, "3.4028235e+38"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (-0.0, "0"),
        ] {
            let mut out = Vec::new();
            write_f32(&mut out, value).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn names_are_laid_out_as_serde_json_does() {
        let mut samples = vec![
            0.0, -0.0, 1.0, 0.5, 1e15, 1e16, 1e-5, 1e-6, 1e300, 123_456.75,
        ];
        let mut bits = 1_u64;
        for _ in 0..20_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let [low, high] =
                [bits & 0xffff_ffff, bits >> 32].map(|half| u32::try_from(half).unwrap());
            samples.push(f64::from_bits(bits));
            samples.push(f64::from(low) / f64::from(high >> 8));
            for value in [
                f32::from_bits(high),
                f32::from_bits((high >> 3) | (0x38 << 24)),
            ] {
                if value.is_finite() {
                    assert_eq!(
                        f32_name(value).unwrap(),
                        serde_json::to_string(&value).unwrap()
                    );
                }
            }
        }
        for value in samples.into_iter().filter(|value| value.is_finite()) {
            assert_eq!(
                f64_name(value).unwrap(),
                serde_json::to_string(&value).unwrap()
            );
        }
    }
}

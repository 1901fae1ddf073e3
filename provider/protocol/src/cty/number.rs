//! Numbers as the client has them: decimal, of any size, compared by value.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// More digits than the client's own 512 bit numbers can tell apart.
const MAX_DIGITS: usize = 1024;
/// Far beyond every number that means something, and still short when written out.
const MAX_EXPONENT: i32 = 4096;

/// A decimal number, or an infinity.
///
/// Equal when the value is equal: `1.50` and `1.5` are the same. Written out in full, never
/// with an exponent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number(Repr);

/// `Int` wherever the number is an `i64`; else digits without leading or trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Repr {
    Int(i64),
    Decimal { negative: bool, digits: String, exponent: i32 },
    Infinity { negative: bool },
}

/// Why a text is not a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not in decimal notation.
    #[error("not a decimal number")]
    Syntax,
    /// The number has too many digits, or is too large or too small.
    #[error(
        "number is out of range: more than {MAX_DIGITS} digits, or an exponent beyond {MAX_EXPONENT}"
    )]
    Range,
    /// The float is not a number.
    #[error("NaN is not a number")]
    NotANumber,
}

impl Number {
    /// Infinity, positive or negative.
    #[must_use]
    pub fn infinity(negative: bool) -> Self {
        Self(Repr::Infinity { negative })
    }

    /// The exact value of a float: `0.1_f64` has 55 digits. For a decimal literal parse its text.
    ///
    /// # Errors
    ///
    /// When the float is NaN, or so small that its digits are beyond range.
    pub fn from_f64(float: f64) -> Result<Self, NumberError> {
        if float.is_nan() {
            return Err(NumberError::NotANumber);
        }
        if float.is_infinite() {
            return Ok(Self::infinity(float.is_sign_negative()));
        }
        // A float's fraction ends after as many decimal digits as it has binary ones.
        let exponent = ((float.to_bits() >> 52) & 0x7ff) as usize;
        let fraction_bits = 1075_usize.saturating_sub(exponent.max(1));
        format!("{float:.fraction_bits$}").parse()
    }

    /// The number as an integer, when it is one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(int) => Some(int),
            Repr::Decimal { .. } | Repr::Infinity { .. } => None,
        }
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            // Parsing rounds to nearest, as a cast does.
            Repr::Int(int) => *int as f64,
            Repr::Decimal { .. } => self.to_string().parse().unwrap_or(f64::NAN),
            Repr::Infinity { negative: false } => f64::INFINITY,
            Repr::Infinity { negative: true } => f64::NEG_INFINITY,
        }
    }

    /// The float of exactly this value, when there is one.
    #[must_use]
    pub fn as_exact_f64(&self) -> Option<f64> {
        let float = self.to_f64();
        (Self::from_f64(float).as_ref() == Ok(self)).then_some(float)
    }

    /// Whether there is no fraction.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        match &self.0 {
            Repr::Int(_) => true,
            Repr::Decimal { exponent, .. } => *exponent >= 0,
            Repr::Infinity { .. } => false,
        }
    }

    /// Sign, digits and the power of ten they are multiplied by.
    fn parts(&self) -> (bool, String, i32) {
        match &self.0 {
            Repr::Int(int) => (*int < 0, int.unsigned_abs().to_string(), 0),
            Repr::Decimal { negative, digits, exponent } => (*negative, digits.clone(), *exponent),
            Repr::Infinity { negative } => (*negative, String::from("1"), i32::MAX),
        }
    }
}

fn normal(negative: bool, digits: &str, exponent: i64) -> Result<Number, NumberError> {
    let digits = digits.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return Ok(Number(Repr::Int(0)));
    }
    let dropped = i64::try_from(digits.len() - trimmed.len()).map_err(|_| NumberError::Range)?;
    let exponent = exponent.checked_add(dropped).ok_or(NumberError::Range)?;
    let exponent = i32::try_from(exponent).map_err(|_| NumberError::Range)?;
    if trimmed.len() > MAX_DIGITS || exponent.abs() > MAX_EXPONENT {
        return Err(NumberError::Range);
    }
    if let (0..=18, Ok(zeros)) = (exponent, usize::try_from(exponent)) {
        let sign = if negative { "-" } else { "" };
        if let Ok(int) = format!("{sign}{trimmed}{}", "0".repeat(zeros)).parse() {
            return Ok(Number(Repr::Int(int)));
        }
    }
    Ok(Number(Repr::Decimal { negative, digits: trimmed.to_owned(), exponent }))
}

impl FromStr for Number {
    type Err = NumberError;

    /// Reads decimal notation with an optional sign, fraction and exponent; and `inf`.
    fn from_str(text: &str) -> Result<Self, NumberError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if matches!(unsigned, "inf" | "Inf" | "Infinity") {
            return Ok(Self::infinity(negative));
        }
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, exponent.parse::<i64>().map_err(|_| NumberError::Syntax)?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NumberError::Syntax);
        }
        let fraction = i64::try_from(fraction.len()).map_err(|_| NumberError::Range)?;
        normal(negative, &digits, exponent.checked_sub(fraction).ok_or(NumberError::Range)?)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repr::Decimal { negative, digits, exponent } = &self.0 else {
            return match self.0 {
                Repr::Int(int) => write!(f, "{int}"),
                Repr::Infinity { negative: true } => f.write_str("-inf"),
                Repr::Infinity { negative: false } | Repr::Decimal { .. } => f.write_str("inf"),
            };
        };
        if *negative {
            f.write_str("-")?;
        }
        let scale = exponent.unsigned_abs() as usize;
        if *exponent >= 0 {
            write!(f, "{digits}{}", "0".repeat(scale))
        } else if digits.len() > scale {
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(f, "{whole}.{fraction}")
        } else {
            write!(f, "0.{}{digits}", "0".repeat(scale - digits.len()))
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Repr::Int(left), Repr::Int(right)) = (&self.0, &other.0) {
            return left.cmp(right);
        }
        let (left_negative, left_digits, left_exponent) = self.parts();
        let (right_negative, right_digits, right_exponent) = other.parts();
        if left_negative != right_negative {
            return right_negative.cmp(&left_negative);
        }
        let zero = |digits: &str| digits == "0";
        let magnitude = match (zero(&left_digits), zero(&right_digits)) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let left_point = left_digits.len() as i64 + i64::from(left_exponent);
                let right_point = right_digits.len() as i64 + i64::from(right_exponent);
                // With the point at one place the digits compare as text.
                let left_digits = left_digits.trim_end_matches('0');
                left_point
                    .cmp(&right_point)
                    .then_with(|| left_digits.cmp(right_digits.trim_end_matches('0')))
            }
        };
        // Zero has no sign, so a negative pair here is never a pair of zeros.
        if left_negative { magnitude.reverse() } else { magnitude }
    }
}

macro_rules! from_integer {
    ($($integer:ty),+) => {$(
        impl From<$integer> for Number {
            fn from(integer: $integer) -> Self {
                match i64::try_from(integer) {
                    Ok(int) => Self(Repr::Int(int)),
                    Err(_) => integer
                        .to_string()
                        .parse()
                        .expect("an integer of 128 bits or less is a number in range"),
                }
            }
        }
    )+};
}

from_integer!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_are_written_in_full() {
        for (text, shown) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("0.1", "0.1"),
            ("-12.5e-3", "-0.0125"),
            ("1e20", "100000000000000000000"),
            ("9223372036854775808", "9223372036854775808"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("+inf", "inf"),
            ("-inf", "-inf"),
        ] {
            assert_eq!(number(text).to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1e", "0x10", "1_000", "--1", "nan", "1e9999999999", "1e99999"] {
            assert!(text.parse::<Number>().is_err(), "{text}");
        }
        assert!("9".repeat(2000).parse::<Number>().is_err());
        assert!(Number::from_f64(f64::NAN).is_err());
    }

    #[test]
    fn floats_are_exact_or_not_floats() {
        assert_eq!(number("1.5").as_exact_f64(), Some(1.5));
        assert_eq!(number("0.1").as_exact_f64(), None);
        assert_ne!(Number::from_f64(0.1).unwrap(), number("0.1"));
        assert_eq!(Number::from_f64(3.0).unwrap(), Number::from(3));
    }

    #[test]
    fn order_is_numeric() {
        let mut sorted: Vec<Number> =
            ["10", "-inf", "9.5", "-2", "0", "-10", "1e30", "inf", "0.01", "-0.5"]
                .map(number)
                .to_vec();
        sorted.sort();
        let shown: Vec<String> = sorted.iter().map(Number::to_string).collect();
        insta::assert_snapshot!(
            shown.join(" "),
            @"-inf -10 -2 -0.5 0 0.01 9.5 10 1000000000000000000000000000000 inf"
        );
    }

    proptest! {
        #[test]
        fn text_goes_there_and_back(text in "-?[0-9]{1,30}(\\.[0-9]{1,30})?") {
            let first = number(&text);
            prop_assert_eq!(number(&first.to_string()), first);
        }

        #[test]
        fn finite_floats_go_there_and_back(float in -1e200_f64..1e200) {
            prop_assert_eq!(Number::from_f64(float).unwrap().as_exact_f64(), Some(float));
        }

        #[test]
        fn order_agrees_with_floats(left in -1e9_f64..1e9, right in -1e9_f64..1e9) {
            let numbers = (Number::from_f64(left).unwrap(), Number::from_f64(right).unwrap());
            prop_assert_eq!(Some(numbers.0.cmp(&numbers.1)), left.partial_cmp(&right));
        }
    }
}

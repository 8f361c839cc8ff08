//! Numbers in words for people.

/// Digits of the longest number of 64 bits.
const MOST_DIGITS: usize = 20;

/// Appends a number. Texts that are made thousands of times a second are put together without the machinery of `format!`.
pub fn push_number(text: &mut String, mut n: u64) {
    let mut digits = [b'0'; MOST_DIGITS];
    let mut from = MOST_DIGITS;
    loop {
        from -= 1;
        digits[from] = b'0' + u8::try_from(n % 10).unwrap_or(0);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    // Digits are text.
    text.push_str(std::str::from_utf8(&digits[from..]).unwrap_or_default());
}

/// Appends a number with separators: `1,234,567`.
pub fn push_thousands(text: &mut String, n: u64) {
    let from = text.len();
    push_number(text, n);
    let mut at = text.len();
    while at > from + 3 {
        at -= 3;
        text.insert(at, ',');
    }
}

/// A number with separators: `1,234,567`.
pub fn thousands(n: u64) -> String {
    let mut text = String::with_capacity(MOST_DIGITS + MOST_DIGITS / 3);
    push_thousands(&mut text, n);
    text
}

/// A number of things: `1 row`, `2,000 rows`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_separators_and_nouns_their_number() {
        let texts = [0, 999, 1000, 123_456, 1_234_567, u64::MAX].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "123,456", "1,234,567", "18,446,744,073,709,551,615"]);
        let mut text = "é".to_owned();
        push_thousands(&mut text, 1000);
        push_number(&mut text, u64::MAX);
        assert_eq!(text, "é1,00018446744073709551615");
        assert_eq!([plural(1, "row"), plural(2000, "row")], ["1 row", "2,000 rows"]);
    }
}

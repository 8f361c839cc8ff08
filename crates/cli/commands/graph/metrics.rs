//! How wide a text will be, estimated: which font a reader has is not known.

/// Widths of the printable ASCII characters of a common sans-serif font, in hundredths of its size.
const ASCII: [u8; 95] = [
    28, 28, 36, 56, 56, 89, 67, 19, 33, 33, 39, 58, 28, 33, 28, 28, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 28,
    28, 58, 58, 58, 56, 100, 67, 67, 72, 72, 67, 61, 78, 72, 28, 50, 67, 56, 83, 72, 78, 67, 78, 72, 67, 61, 72,
    67, 94, 67, 67, 61, 28, 28, 28, 47, 56, 33, 56, 56, 50, 56, 56, 28, 56, 56, 22, 22, 50, 22, 83, 56, 56, 56,
    56, 33, 50, 28, 56, 50, 72, 50, 50, 50, 33, 26, 33, 58,
];

/// What fonts differ by: the estimate is meant to be too large rather than too small.
const MARGIN: f64 = 1.1;

/// The estimated width of a text in a font of this size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(|c| character(c) * size * MARGIN).sum()
}

/// How much wider than others the letters of titles are.
pub(super) const BOLD: f64 = 1.1;

fn character(c: char) -> f64 {
    let ascii = u32::from(c).checked_sub(32).and_then(|n| ASCII.get(usize::try_from(n).ok()?));
    if let Some(hundredths) = ascii {
        return f64::from(*hundredths) / 100.0;
    }
    match u32::from(c) {
        // Marks that stand over or join other characters.
        0x0300..=0x036f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0.0,
        // East Asian scripts, full-width forms and pictures.
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60 => 1.0,
        0x1f000..=0x3ffff => 1.2,
        _ => 0.65,
    }
}

/// The text, cut with an ellipsis where it is wider than `most`.
pub(super) fn fitted(text: &str, size: f64, most: f64) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let room = most - width("…", size);
    let mut used = 0.0;
    let kept: String = text
        .chars()
        .take_while(|&c| {
            used += character(c) * size * MARGIN;
            used <= room
        })
        .collect();
    format!("{}…", kept.trim_end())
}

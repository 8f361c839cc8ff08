//! The name that was probably meant.

/// The candidate nearest to `name`, where one is near enough to have been meant.
///
/// Distance is the number of letters inserted, left out, replaced or swapped with their neighbour (optimal string
/// alignment), without regard to case; near enough is a third of the longer name's letters, and at least one. Of
/// equally near candidates the first wins.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        let limit = (name.len().max(letters.len()) / 3).max(1);
        if name.len().abs_diff(letters.len()) > limit {
            continue;
        }
        let found = distance(&name, &letters);
        if found <= limit && best.is_none_or(|(least, _)| found < least) {
            best = Some((found, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// A help text for an unknown name: the nearest one, or all of them.
pub(crate) fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<_> = candidates.into_iter().map(|c| format!("`{c}`")).collect();
    if all.is_empty() { "there are none".to_owned() } else { format!("there are {}", all.join(", ")) }
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut current = vec![i + 1];
        for (j, right) in b.iter().enumerate() {
            let replaced = previous[j] + usize::from(left != right);
            let mut least = replaced.min(previous[j + 1] + 1).min(current[j] + 1);
            if i > 0 && j > 0 && *left == b[j - 1] && a[i - 1] == *right {
                least = least.min(before[j - 1] + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_does_not() {
        let names = ["name", "company", "country", "safe_email"];
        assert_eq!(nearest("compnay", names), Some("company"));
        assert_eq!(nearest("Nmae", names), Some("name"));
        assert_eq!(nearest("elephant", names), None);
        assert_eq!(distance(&['a', 'b', 'c'], &['c', 'a']), 3);
        assert_eq!(suggest("x", []), "there are none");
    }
}

//! Items that failed: in memory while they are few, in sorted files of a folder when they are many.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use super::ItemFailure;

/// Failures of about so many bytes stay in memory.
const IN_MEMORY: usize = 4 << 20;

/// Collects failures in any order, and gives them by map and place.
#[derive(Debug)]
pub(super) struct Failures {
    held: Vec<ItemFailure>,
    bytes: usize,
    in_memory: usize,
    count: u64,
    first: Option<ItemFailure>,
    /// Where files may be made; none where all stay in memory.
    folder: Option<PathBuf>,
    /// Files, each sorted.
    files: Vec<PathBuf>,
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            bytes: 0,
            in_memory: IN_MEMORY,
            count: 0,
            first: None,
            folder: None,
            files: Vec::new(),
        }
    }
}

fn order(a: &ItemFailure, b: &ItemFailure) -> Ordering {
    (&a.map, a.item).cmp(&(&b.map, b.item))
}

impl Failures {
    /// Lets files be made in this folder, which is made when it is needed.
    pub(super) fn spill_to(&mut self, folder: PathBuf) {
        self.folder = Some(folder);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The first one by map and place.
    pub(super) fn first(&self) -> Option<&ItemFailure> {
        self.first.as_ref()
    }

    pub(super) fn add(&mut self, failure: ItemFailure) {
        self.count += 1;
        if self.first.as_ref().is_none_or(|first| order(&failure, first).is_lt()) {
            self.first = Some(failure.clone());
        }
        self.bytes += size(&failure);
        self.held.push(failure);
        if self.bytes > self.in_memory
            && let Some(folder) = self.folder.clone()
            && let Err(error) = self.write_out(&folder)
        {
            // They stay in memory then, and nothing is lost.
            tracing::warn!("failed items are kept in memory, because they cannot be written: {error}");
            self.folder = None;
        }
    }

    fn write_out(&mut self, folder: &std::path::Path) -> io::Result<()> {
        self.held.sort_by(order);
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("failures-{}.jsonl", self.files.len()));
        let mut file = BufWriter::new(File::create(&path)?);
        for failure in &self.held {
            serde_json::to_writer(&mut file, failure)?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.files.push(path);
        self.held.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Hands all to `take`, by map and place.
    ///
    /// # Errors
    /// Those of `take`, and when a file cannot be read.
    pub(super) fn each(&mut self, mut take: impl FnMut(&ItemFailure) -> io::Result<()>) -> io::Result<()> {
        self.held.sort_by(order);
        let mut readers = Vec::with_capacity(self.files.len());
        for path in &self.files {
            let mut reader = Reader { lines: BufReader::new(File::open(path)?), next: None };
            reader.advance()?;
            readers.push(reader);
        }
        let mut held = self.held.iter().peekable();
        loop {
            // Files are some ten for each hundred thousand failures, so all of them are looked at.
            let lowest = readers.iter_mut().filter(|r| r.next.is_some()).min_by(|a, b| match (&a.next, &b.next) {
                (Some(a), Some(b)) => order(a, b),
                _ => Ordering::Equal,
            });
            match (lowest, held.peek()) {
                (Some(reader), next) => {
                    if let (Some(failure), Some(next)) = (&reader.next, next)
                        && order(next, failure).is_lt()
                    {
                        take(next)?;
                        held.next();
                        continue;
                    }
                    if let Some(failure) = &reader.next {
                        take(failure)?;
                    }
                    reader.advance()?;
                }
                (None, Some(next)) => {
                    take(next)?;
                    held.next();
                }
                (None, None) => return Ok(()),
            }
        }
    }
}

/// The files are of no use to anybody else.
impl Drop for Failures {
    fn drop(&mut self) {
        for path in &self.files {
            // One that stays is removed with the run's folder.
            let _ = std::fs::remove_file(path);
        }
    }
}

struct Reader {
    lines: BufReader<File>,
    next: Option<ItemFailure>,
}

impl Reader {
    fn advance(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.next = match self.lines.read_line(&mut line)? {
            0 => None,
            _ => Some(serde_json::from_str(&line)?),
        };
        Ok(())
    }
}

/// About how many bytes a failure has in memory.
fn size(failure: &ItemFailure) -> usize {
    let details: usize =
        failure.details.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    let texts = failure.map.len() + failure.step.len() + failure.code.len() + failure.message.len();
    size_of::<ItemFailure>() + texts + details + 64 * failure.details.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(map: &str, item: u64) -> ItemFailure {
        let details = serde_json::json!({ "reply": format!("the reply to {item}\nand more") });
        ItemFailure {
            map: map.to_owned(),
            item,
            step: format!("{map}[{item}]/s"),
            code: "a.b".to_owned(),
            message: "no".to_owned(),
            details: details.as_object().unwrap().clone(),
            attempts: 1,
        }
    }

    fn told(failures: &mut Failures) -> Vec<serde_json::Value> {
        let mut all = Vec::new();
        failures
            .each(|failure| {
                all.push(serde_json::to_value(failure)?);
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn many_are_told_as_few_are() {
        let folder = std::env::temp_dir().join(format!("flowrun-failures-{}", std::process::id()));
        let (mut in_memory, mut in_files) = (Failures::default(), Failures::default());
        in_files.in_memory = 2_000;
        in_files.spill_to(folder.clone());
        for n in 0..100 {
            for failures in [&mut in_memory, &mut in_files] {
                failures.add(failure(["one", "two", "three"][n % 3], n as u64 * 37 % 101));
            }
        }
        assert!(in_files.files.len() > 5 && in_files.held.len() < 20, "{}", in_files.files.len());
        let all = told(&mut in_memory);
        assert!(all.len() == 100 && all == told(&mut in_files) && all == told(&mut in_files));
        let places: Vec<_> = all.iter().map(|f| (f["map"].as_str(), f["item"].as_u64())).collect();
        assert!(places.is_sorted());
        for failures in [&in_memory, &in_files] {
            let first = failures.first().map(|f| (Some(&*f.map), Some(f.item)));
            assert_eq!((failures.count(), first), (100, Some(places[0])));
        }
        drop(in_files);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn where_none_can_be_written_they_stay_in_memory() {
        let mut failures = Failures::default();
        failures.in_memory = 100;
        // A file is no folder.
        failures.spill_to(std::env::current_exe().unwrap());
        for n in 0..5 {
            failures.add(failure("one", n));
        }
        assert_eq!((told(&mut failures).len(), failures.files.len()), (5, 0));
    }
}

use std::collections::BTreeMap;

use flowrun_core::events::Usage;
use flowrun_core::value::Value;

use super::*;

fn record(index: u64, failed: bool) -> ItemRecord {
    let result = if failed { Err(StepError::new("x.y", "no")) } else { Ok(vec![Value::from("text")]) };
    ItemRecord {
        index,
        result,
        end: None,
        attempts: 1,
        rejected: false,
        usage: Usage::default(),
        counters: BTreeMap::new(),
        changes: Vec::new(),
    }
}

fn keep(journal: &FileJournal, key: &str) {
    journal.keep_effect(key.to_owned(), format!("\"of {key}\"")).unwrap();
}

fn reopened(folder: &Path) -> FileJournal {
    FileJournal::open(folder, OpenOptions::default()).unwrap()
}

#[test]
fn what_was_kept_is_there_for_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    for key in ["a#1!reply", "m#1[1]/a#1!reply", "m#1[17]/a#1!reply", "m#2[1]/a#1!reply"] {
        keep(&journal, key);
    }
    journal.keep_item("m#1[1]/n#1", &record(3, false)).unwrap();
    journal.keep_item("m#1", &record(1, false)).unwrap();
    journal.keep_item("m#1", &record(4, true)).unwrap();
    assert_eq!(journal.effect("a#1!reply").unwrap(), None, "a process never asks for what it kept itself");
    drop(journal);
    let journal = reopened(folder.path());
    assert_eq!(journal.held(), Held { calls: 3, items: 2, failed: 1, ..Held::default() });
    assert_eq!(journal.effect("a#1!reply").unwrap().as_deref(), Some("\"of a#1!reply\""));
    assert_eq!(journal.effect("m#1[1]/a#1!reply").unwrap(), None, "the item's record stands for it");
    assert!(journal.effect("m#1[17]/a#1!reply").unwrap().is_some());
    assert!(journal.item("m#1", 1).unwrap().is_some_and(|r| r.result.is_ok()));
    assert!(journal.item("m#1", 4).unwrap().is_some_and(|r| r.result.is_err()));
    assert!(journal.item("m#1", 0).unwrap().is_none() && journal.item("m#1[1]/n#1", 3).unwrap().is_none());
    drop(journal);
    let again =
        FileJournal::open(folder.path(), OpenOptions { drop_failed: true, ..OpenOptions::default() }).unwrap();
    assert_eq!((again.held().items, again.item("m#1", 4).unwrap().is_none()), (1, true));
}

#[test]
fn a_call_that_only_began_is_no_call_and_would_be_a_loss() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    keep(&journal, "a#1!call/start");
    assert!(!journal.is_empty());
    drop(journal);
    let journal = reopened(folder.path());
    assert_eq!(journal.held(), Held { begun: 1, ..Held::default() });
    assert!(!journal.is_empty(), "nobody knows what it did");
    for key in ["a#1!call", "b#1!context/start"] {
        keep(&journal, key);
    }
    drop(journal);
    assert_eq!(reopened(folder.path()).held(), Held { calls: 2, ..Held::default() });
}

#[test]
fn a_journal_that_was_cut_anywhere_keeps_the_lines_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    for n in 0..4 {
        keep(&journal, &format!("s#{n}!reply"));
    }
    drop(journal);
    let path = folder.path().join(JOURNAL_FILE);
    let bytes = std::fs::read(&path).unwrap();
    let header = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    for cut in header..=bytes.len() {
        for zeros in [0, 300] {
            let mut left = bytes[..cut].to_vec();
            left.extend(std::iter::repeat_n(0, zeros));
            std::fs::write(&path, left).unwrap();
            let whole = bytes[..cut].split(|b| *b == b'\n').count() as u64 - 2;
            let journal = reopened(folder.path());
            assert_eq!(journal.held().calls, whole);
            keep(&journal, "later#1!reply");
            drop(journal);
            assert_eq!(reopened(folder.path()).held().calls, whole + 1);
        }
    }
}

#[test]
fn a_line_that_was_changed_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    keep(&journal, "a#1!reply");
    keep(&journal, "b#1!reply");
    drop(journal);
    let path = folder.path().join(JOURNAL_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("of a#1", "of A#1")).unwrap();
    let error = FileJournal::open(folder.path(), OpenOptions::default()).err().unwrap().to_string();
    assert!(error.contains("line 2 of") && error.ends_with("is damaged: its checksum does not fit"), "{error}");
}

#[test]
fn an_item_that_cannot_have_finished_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    journal.keep_item("m#1", &record(60_000, false)).unwrap();
    journal.keep_item("m#1", &record(u64::MAX, false)).unwrap();
    drop(journal);
    let error = FileJournal::open(folder.path(), OpenOptions::default()).err().unwrap().to_string();
    assert!(error.contains("line 3 of") && error.ends_with("no item so far ahead can have finished"), "{error}");
}

#[test]
fn an_answer_is_no_call_and_a_wait_is_no_loss() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    keep(&journal, "r#1!delay/2");
    keep(&journal, "t#1!file");
    assert!(journal.is_empty());
    journal.keep_answer("a#1!answer".into(), "\"yes\"".into()).unwrap();
    assert!(!journal.is_empty());
    keep(&journal, "b#1!reply");
    drop(journal);
    let journal = reopened(folder.path());
    assert_eq!(journal.held(), Held { calls: 1, answers: 1, ..Held::default() });
    assert_eq!(journal.effect("a#1!answer").unwrap().as_deref(), Some("\"yes\""));
    drop(journal);
    // Where the flow was changed, what it reads may be another file.
    let options = OpenOptions { effects_only: true, ..OpenOptions::default() };
    let journal = FileJournal::open(folder.path(), options).unwrap();
    assert_eq!((journal.effect("t#1!file").unwrap(), journal.held().calls), (None, 1));
}

#[test]
fn a_value_of_several_lines_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    let error = journal.keep_effect("a#1!reply".into(), "{\n}".into()).unwrap_err();
    assert!(error.message.ends_with("a value has more than one line"), "{error:?}");
    keep(&journal, "b#1!reply");
    drop(journal);
    assert_eq!(reopened(folder.path()).held().calls, 1);
}

#[test]
fn a_large_value_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    let large = format!("\"{}\"", "x".repeat(LARGE));
    journal.keep_effect("a#1!reply".into(), large.clone()).unwrap();
    drop(journal);
    assert!(std::fs::metadata(folder.path().join(JOURNAL_FILE)).unwrap().len() < 1000);
    let journal = reopened(folder.path());
    assert_eq!(journal.effect("a#1!reply").unwrap().as_deref(), Some(large.as_str()));
    std::fs::remove_dir_all(folder.path().join(VALUES)).unwrap();
    assert!(journal.effect("a#1!reply").unwrap_err().message.contains("is missing"));
}

#[test]
fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let line = Line { journal: Some(FORMAT + 1), ..Line::default() };
    std::fs::write(folder.path().join(JOURNAL_FILE), line.encode().unwrap()).unwrap();
    let error = FileJournal::open(folder.path(), OpenOptions::default()).err().unwrap();
    assert!(matches!(error, JournalError::Newer { found, .. } if found == FORMAT + 1));
}

#[test]
fn a_durable_journal_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let journal =
        FileJournal::create(folder.path(), OpenOptions { durable: true, ..OpenOptions::default() }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    keep(&journal, "a#1!reply");
    runtime.block_on(journal.settled(false).unwrap()).unwrap();
    drop(journal);
    let journal = reopened(folder.path());
    assert!(journal.settled(false).is_none());
    runtime.block_on(journal.settled(true).unwrap()).unwrap();
}

#[test]
fn what_a_run_remembers_is_counted_by_the_note_of_the_visit_that_paid_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::create(folder.path(), OpenOptions::default()).unwrap();
    for key in ["!vector/small/abc", "!vector/small/def", "!file/notes.csv", "near#1!documents/0", "ask#1!reply"] {
        keep(&journal, key);
    }
    drop(journal);
    assert_eq!(reopened(folder.path()).held(), Held { calls: 2, ..Held::default() });
}

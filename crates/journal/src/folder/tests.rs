use super::*;

pub(crate) fn run_file() -> RunFile {
    RunFile {
        format: FORMAT,
        program: "flowrun 0".into(),
        flow: FlowRecord { file: "flow.yaml".into(), text: "a\nb\n".into(), ..FlowRecord::default() },
        working_folder: PathBuf::new(),
        inputs: Map::new(),
        seed: 0,
        models: BTreeMap::new(),
        earlier_models: Vec::new(),
        forked: None,
        secret_inputs: Vec::new(),
        items_from: 0,
        mark: String::new(),
        files: BTreeMap::new(),
        options: Map::new(),
        identity: "x".into(),
        started: 0,
    }
}

#[test]
fn a_folder_is_held_by_one_and_says_by_whom() {
    let runs = tempfile::tempdir().unwrap();
    let runs = runs.path().join(".flowrun/runs");
    let folder = RunFolder::create_in(&runs, run_file()).unwrap();
    assert!(
        folder.id().len() == 4 && std::fs::read_to_string(runs.with_file_name(".gitignore")).unwrap() == "*\n"
    );
    assert!(runs_in(&runs).unwrap().is_empty(), "it is no run's yet");
    std::fs::write(folder.path().join(JOURNAL_FILE), "").unwrap();
    folder.write_run().unwrap();
    let error = RunFolder::open(folder.path()).unwrap_err();
    assert!(
        matches!(&error, JournalError::InUse { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );
    assert_eq!(runs_in(&runs).unwrap()[0].status, Status::Running);
    let path = folder.path().to_owned();
    drop(folder);
    assert_eq!(runs_in(&runs).unwrap()[0].status, Status::Killed);
    RunFolder::open(&path).unwrap().remove().unwrap();
    assert!(runs_in(&runs).unwrap().is_empty());
}

#[test]
fn what_is_missing_or_of_a_later_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let said = |folder: &Path| RunFolder::open(folder).unwrap_err().to_string();
    assert!(said(folder.path()).contains("is no run's folder"));
    let run = RunFolder::create_at(&folder.path().join("r"), run_file()).unwrap();
    let path = run.path().to_owned();
    run.write_run().unwrap();
    drop(run);
    assert!(said(&path).contains("journal.jsonl` is missing"), "{}", said(&path));
    let text = std::fs::read_to_string(path.join(RUN_FILE)).unwrap();
    std::fs::write(path.join(RUN_FILE), text.replace("\"format\": 1", "\"format\": 7")).unwrap();
    assert!(said(&path).contains("has the format 7; this program reads up to 1"));
    std::fs::write(path.join(JOURNAL_FILE), "").unwrap();
    std::fs::remove_file(path.join(RUN_FILE)).unwrap();
    assert!(said(&path).contains("run.json` is missing"));
}

#[test]
fn a_folder_that_somebody_is_about_to_hold_is_left_alone() {
    let runs = tempfile::tempdir().unwrap();
    let (fresh, left) = (runs.path().join("new1"), runs.path().join("old1"));
    for folder in [&fresh, &left] {
        std::fs::create_dir(folder).unwrap();
    }
    let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::open(&left).unwrap().set_modified(long_ago).unwrap();
    prune(runs.path()).unwrap();
    assert_eq!((fresh.exists(), left.exists()), (true, false));
}

#[test]
fn differences_of_a_flow_are_named() {
    let was = run_file().flow;
    let mut is = was.clone();
    assert!(was.differences(&is).is_empty());
    is.text = "a\nc\n".into();
    is.inlined.insert("p.md".into(), "x".into());
    is.environment.insert("NAME".into(), Some("x".into()));
    assert_eq!(
        was.differences(&is),
        [
            "flow.yaml differs from line 2 on",
            "p.md is inlined now",
            "the environment's NAME was unset, and is `x`"
        ]
    );
}

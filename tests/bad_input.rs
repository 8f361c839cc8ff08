//! Mistakes, and the words that the program has for them.
//!
//! A case is a flow, `bad_input/NAME.yaml`, with what it says beside it in `NAME.snap`. It is run as `flowrun NAME.yaml`,
//! or with the arguments in `NAME.args`, in a folder that also holds a copy of `bad_input/data/`.

use std::path::Path;

use insta::{Settings, assert_snapshot, glob};

use crate::support::{Sandbox, copy_folder, repository};

fn set_up(case: &Path) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let name = case.file_name().unwrap().to_string_lossy().into_owned();
    std::fs::copy(case, sandbox.path(&name)).unwrap();
    copy_folder(&repository("tests/bad_input/data"), &sandbox.path("data"));
    (sandbox, name)
}

#[test]
fn every_mistake_has_its_words() {
    glob!("bad_input/*.yaml", |case| {
        let (sandbox, name) = set_up(case);
        let args = std::fs::read_to_string(case.with_extension("args")).unwrap_or(name);
        let ran = sandbox.run(args.split_whitespace());
        assert_ne!(ran.code, Some(0), "{} is no mistake", case.display());
        assert_eq!(ran.stdout, "", "{} said something on standard output", case.display());
        let said = format!("$ flowrun {}\n{}exit code: {}", args.trim(), ran.stderr, ran.code.unwrap_or(-1));
        let mut settings = Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("bad_input");
        settings.set_omit_expression(true);
        settings.remove_snapshot_suffix();
        settings.remove_input_file();
        settings.bind(|| {
            let stem = case.file_stem().unwrap().to_string_lossy();
            assert_snapshot!(&*stem, sandbox.scrub(&said));
        });
    });
}

/// `/dev/full` is a disk without room: it takes nothing, and is no file that could be half written.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_has_its_words() {
    let sandbox = Sandbox::new();
    let flow = "
flow: full
steps:
  rows: { type: synthesize, rows: 3, columns: { id: { sample: sequence } } }
  export: { type: write_table, with: { table: rows.table }, path: /dev/full, format: jsonl }
";
    sandbox.write("full.yaml", flow);
    let ran = sandbox.run(["full.yaml", "--allow-path", "/dev"]);
    assert_eq!(ran.code, Some(1));
    assert_snapshot!(sandbox.scrub(&ran.stderr));
}

/// `check` finds all that a run refuses to start with, in the same words, but for what only a run is told or writes.
#[test]
fn check_says_what_a_run_says() {
    glob!("bad_input/*.yaml", |case| {
        let (sandbox, name) = set_up(case);
        let ran = sandbox.run([&name]);
        let refused_by_run_alone = ["error[E0222]", "error: "].iter().any(|code| ran.stderr.starts_with(code))
            || name == "write_leaves_folder.yaml";
        if ran.code == Some(2) && !refused_by_run_alone {
            let checked = sandbox.run(["check", &name]);
            assert_eq!((checked.code, checked.stderr), (Some(2), ran.stderr), "{name}");
        }
    });
}

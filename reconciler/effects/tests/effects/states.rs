//! Embedded states: kept as versions, sealed, put back, and not mistaken for new ones when they are gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::id::Principal;
use reconciler_effects::states::{
    Kept, Maker, SealedState, Sealing, StateError, StateLock, StateName, States, Version,
};

use crate::sealing::OneKey;

const SECRET: &str = "hunter2-hunter2";

struct Case {
    dir: tempfile::TempDir,
    states: States,
    name: StateName,
}

impl Case {
    fn new() -> Self {
        Self::keeping(Kept::default())
    }

    fn keeping(kept: Kept) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let states = States::open(dir.path(), Arc::new(OneKey(1)), kept).unwrap();
        Self { states, name: name("modules/db", None), dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("states/shop/prod/modules%2fdb/terraform.tfstate")
    }

    fn versions_dir(&self) -> PathBuf {
        self.dir.path().join("versions/shop/prod/modules%2fdb/default")
    }

    fn write(&self, text: &str) {
        write(&self.file(), text);
    }

    fn keep(&self) -> Result<Option<Version>, StateError> {
        self.states.keep(&self.name, &Maker::Found, Timestamp::UNIX_EPOCH)
    }

    fn unwritten(&self, text: &str) -> Version {
        let by = Maker::Unwritten {
            promotion: "prod.1".parse().unwrap(),
            step: "apply".parse().unwrap(),
        };
        let at = Timestamp::UNIX_EPOCH;
        self.states.keep_unwritten(&self.name, text.as_bytes(), &by, at).unwrap()
    }

    fn numbers(&self) -> Vec<u64> {
        let versions = self.states.versions(&self.name).unwrap();
        versions.iter().map(|version| version.number).collect()
    }
}

fn name(name: &str, workspace: Option<&str>) -> StateName {
    let (project, stage) = ("shop".parse().unwrap(), "prod".parse().unwrap());
    StateName::new(&project, &stage, name, workspace).unwrap()
}

fn write(file: &Path, text: &str) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn state(lineage: &str, serial: u64) -> String {
    serde_json::json!({
        "version": 4, "serial": serial, "lineage": lineage, "outputs": {},
        "resources": [
            { "mode": "managed", "type": "x", "name": "y", "instances": [{ "secret": SECRET }, {}] },
            { "mode": "data", "type": "x", "name": "z", "instances": [{}] },
        ],
    })
    .to_string()
}

#[test]
fn what_is_there_is_kept_once_and_sealed() {
    let case = Case::new();
    assert_eq!(case.keep().unwrap(), None);
    case.write(&state("a", 1));
    let first = case.keep().unwrap().unwrap();
    assert_eq!((first.number, first.serial, first.resources), (1, 1, 2));
    assert_eq!(first.lineage, "a");
    assert_eq!(case.keep().unwrap().unwrap(), first);
    case.write(&state("a", 2));
    assert_eq!(case.keep().unwrap().unwrap().number, 2);
    assert_eq!(case.numbers(), [1, 2]);
    assert_eq!(case.states.content(&case.name, 1).unwrap(), state("a", 1).as_bytes());
    for file in std::fs::read_dir(case.versions_dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET));
    }
    let found = case.states.list(&"shop".parse().unwrap()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].name, found[0].version.as_ref().unwrap().number), (&case.name, 2));
}

#[test]
fn a_version_opens_as_what_it_is_and_as_nothing_else() {
    let case = Case::new();
    case.write(&state("a", 1));
    case.keep().unwrap();
    let file = case.versions_dir().join("0000000001.version");
    let sealed = std::fs::read_to_string(&file);
    assert!(sealed.is_err(), "sealed bytes are no text");
    let sealed = std::fs::read(&file).unwrap();
    let closed = |bytes: &[u8], of: &StateName, number| {
        let dir = format!("versions/shop/prod/{}/default", of.name().replace('/', "%2f"));
        let file = case.dir.path().join(dir).join(format!("{number:010}.version"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        let error = case.states.content(of, number).unwrap_err();
        assert!(matches!(error, StateError::Closed { .. }), "{error}");
    };
    closed(&sealed, &name("other", None), 1);
    let serial = String::from_utf8_lossy(&sealed).find("\"serial\":1").unwrap() + 9;
    let mut changed = sealed.clone();
    changed[serial] = b'7';
    closed(&changed, &case.name, 1);
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    closed(&changed, &case.name, 1);
    closed(&sealed[..40], &case.name, 1);
    std::fs::write(&file, &sealed).unwrap();
    assert_eq!(case.states.content(&case.name, 1).unwrap(), state("a", 1).as_bytes());
}

#[test]
fn the_oldest_go_first_and_the_one_that_is_there_never() {
    let case = Case::keeping(Kept { versions: 3, ..Kept::default() });
    for serial in 1..=5 {
        case.write(&state("a", serial));
        case.keep().unwrap();
    }
    assert_eq!(case.numbers(), [3, 4, 5]);
    let size = state("a", 1).len() as u64;
    let case = Case::keeping(Kept { bytes: 2 * size, ..Kept::default() });
    for serial in 1..=3 {
        case.write(&state("a", serial));
        case.keep().unwrap();
    }
    assert_eq!(case.numbers(), [2, 3]);
    let case = Case::keeping(Kept { state_bytes: 10, ..Kept::default() });
    case.write(&state("a", 1));
    assert!(matches!(case.keep(), Err(StateError::TooLarge { limit_bytes: 10, .. })));
}

#[test]
fn a_state_that_is_gone_is_no_new_one() {
    for what_is_left in [None, Some(""), Some("\n")] {
        let case = Case::new();
        case.write(&state("a", 7));
        case.keep().unwrap();
        match what_is_left {
            None => std::fs::remove_file(case.file()).unwrap(),
            Some(left) => case.write(left),
        }
        let error = case.keep().unwrap_err();
        assert!(matches!(error, StateError::Gone { number: 1, serial: 7, .. }), "{error}");
    }
    let case = Case::new();
    case.write("");
    assert_eq!(case.keep().unwrap(), None, "a tool made the file, and has not written yet");
}

#[test]
fn a_state_that_was_not_written_is_put_back_where_it_carries_on() {
    // What is there, what was not written, and whether it is put back.
    let cases = [
        (Some(state("a", 3)), state("a", 4), true),
        (Some(state("a", 4)), state("a", 4).replace(SECRET, "changed"), false),
        (Some(state("a", 5)), state("a", 4), false),
        (Some(state("b", 3)), state("a", 4), false),
        (Some(String::new()), state("a", 4), true),
        (Some(state("a", 3)[..30].to_owned()), state("a", 4), true),
        (None, state("a", 1), true),
    ];
    for (there, unwritten, put_back) in cases {
        let case = Case::new();
        let before = there.as_ref().is_some_and(|there| there.len() < 40);
        if before {
            case.write(&state("a", 3));
            case.keep().unwrap();
        }
        if let Some(there) = &there {
            case.write(there);
        }
        let version = case.unwritten(&unwritten);
        let kept = case.keep().unwrap();
        let now = std::fs::read_to_string(case.file()).unwrap();
        let list = case.states.list(&"shop".parse().unwrap()).unwrap();
        if put_back {
            assert_eq!((now, kept, list[0].waits), (unwritten, Some(version), None));
        } else {
            assert_eq!((Some(now), list[0].waits), (there, Some(version.number)));
        }
    }
}

#[test]
fn no_link_leads_to_the_state_of_another() {
    let case = Case::new();
    let others = case.dir.path().join("states/other/prod/secret");
    write(&others.join("terraform.tfstate"), &state("a", 1));
    let dir = case.dir.path().join("states/shop/prod/modules%2fdb/terraform.tfstate.d");
    std::fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink(&others, dir.join("blue")).unwrap();
    std::os::unix::fs::symlink(others.join("terraform.tfstate"), case.file()).unwrap();
    for workspace in [None, Some("blue")] {
        let name = name("modules/db", workspace);
        let error = case.states.keep(&name, &Maker::Found, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(matches!(error, StateError::Files(_)), "{error}");
    }
}

#[test]
fn versions_are_sealed_anew_one_by_one() {
    /// Opens both, and seals by the second.
    struct Both;
    impl Sealing for Both {
        fn seal(&self, bound: &[u8], open: &[u8]) -> Result<SealedState, String> {
            OneKey(2).seal(bound, open)
        }

        fn open(&self, bound: &[u8], sealed: &SealedState) -> Result<Vec<u8>, String> {
            let key = if sealed.key == "1" { OneKey(1) } else { OneKey(2) };
            key.open(bound, sealed)
        }
    }
    let case = Case::new();
    case.write(&state("a", 1));
    case.keep().unwrap();
    let blue = name("modules/db", Some("blue"));
    let file = case.file().with_file_name("terraform.tfstate.d/blue/terraform.tfstate");
    write(&file, &state("b", 1));
    case.states.keep(&blue, &Maker::Found, Timestamp::UNIX_EPOCH).unwrap();
    let both = States::open(case.dir.path(), Arc::new(Both), Kept::default()).unwrap();
    assert_eq!(both.reseal().unwrap(), 2);
    assert_eq!(both.reseal().unwrap(), 2, "once more does no harm");
    let new = States::open(case.dir.path(), Arc::new(OneKey(2)), Kept::default()).unwrap();
    assert_eq!(new.content(&case.name, 1).unwrap(), state("a", 1).as_bytes());
    assert_eq!(new.content(&blue, 1).unwrap(), state("b", 1).as_bytes());
    assert!(case.states.content(&blue, 1).is_err(), "the old key opens nothing");
    assert_eq!(new.versions(&blue).unwrap(), case.states.versions(&blue).unwrap());
}

fn ada() -> Principal {
    Principal::Named("ada".parse().unwrap())
}

fn lock(id: &str) -> StateLock {
    let body =
        serde_json::json!({ "ID": id, "Operation": "OperationTypeApply", "Who": "ada@laptop" });
    StateLock::of_client(body.to_string().as_bytes(), &ada(), Timestamp::UNIX_EPOCH).unwrap()
}

impl Case {
    fn send(&self, text: &str, lock: Option<&str>) -> Result<Version, StateError> {
        let at = Timestamp::UNIX_EPOCH;
        self.states.receive(&self.name, text.as_bytes(), lock, &ada(), at)
    }
}

#[test]
fn one_writes_at_a_time_also_after_a_restart() {
    let case = Case::new();
    case.states.lock(&case.name, &lock("1")).unwrap();
    // The answer was lost.
    case.states.lock(&case.name, &lock("1")).unwrap();
    let again = States::open(case.dir.path(), Arc::new(OneKey(1)), Kept::default()).unwrap();
    let error = again.lock(&case.name, &lock("2")).unwrap_err();
    let StateError::Locked { held, advice, .. } = &error else { panic!("{error}") };
    assert_eq!(held.info()["Who"], "ada@laptop");
    assert!(advice.contains("lockstep state unlock prod modules/db 1 --reason"), "{error}");
    for wrong in [None, Some("2")] {
        assert!(matches!(case.send(&state("a", 1), wrong), Err(StateError::Locked { .. })));
        assert!(matches!(
            case.states.remove(&case.name, wrong, &ada(), Timestamp::UNIX_EPOCH),
            Err(StateError::Locked { .. })
        ));
    }
    case.send(&state("a", 1), Some("1")).unwrap();
    assert!(matches!(again.unlock(&case.name, Some("2")), Err(StateError::Locked { .. })));
    assert_eq!(again.unlock(&case.name, Some("1")).unwrap().id, "1");
    assert!(matches!(again.unlock(&case.name, None), Err(StateError::NotLocked { .. })));
    let lost = case.send(&state("a", 2), Some("1"));
    assert!(matches!(lost, Err(StateError::LockLost { .. })), "its lock was taken away");
    case.send(&state("a", 2), None).unwrap();
    assert!(StateLock::of_client(b"{}", &ada(), Timestamp::UNIX_EPOCH).is_err());
}

#[test]
fn what_is_sent_carries_on_what_is_there() {
    // What is there, what is sent, and whether it is taken.
    let empty = r#"{"version":4,"serial":9,"lineage":"b","resources":[]}"#.to_owned();
    let cases = [
        (state("a", 1), state("a", 2), true),
        (state("a", 2), state("a", 2), true),
        (state("a", 2), state("a", 2).replace(SECRET, "changed"), false),
        (state("a", 2), state("a", 1), false),
        (state("a", 2), state("b", 3), false),
        (empty, state("a", 1), true),
        (state("a", 2), "{}".to_owned(), false),
        (state("a", 2), String::new(), false),
    ];
    for (there, sent, taken) in cases {
        let case = Case::new();
        case.write(&there);
        let version = case.send(&sent, None);
        assert_eq!(version.is_ok(), taken, "{version:?}");
        let now = std::fs::read_to_string(case.file()).unwrap();
        assert_eq!(now, if taken { sent.clone() } else { there.clone() });
        // What is no state is refused at once; else whatever was there is a version.
        if !sent.contains("serial") {
            continue;
        }
        assert_eq!(case.states.content(&case.name, 1).unwrap(), there.as_bytes());
    }
}

#[test]
fn nothing_is_sent_in_the_place_of_what_is_gone() {
    let case = Case::new();
    case.send(&state("a", 3), None).unwrap();
    std::fs::remove_file(case.file()).unwrap();
    for text in [state("a", 4), state("b", 1)] {
        let error = case.send(&text, None).unwrap_err();
        assert!(matches!(error, StateError::Gone { number: 1, serial: 3, .. }), "{error}");
    }
    assert_eq!(case.numbers(), [1]);
}

#[test]
fn a_write_that_was_cut_off_may_come_again() {
    let case = Case::new();
    case.send(&state("a", 3), None).unwrap();
    std::fs::remove_file(case.file()).unwrap();
    case.send(&state("a", 3), None).unwrap();
    assert_eq!(case.numbers(), [1]);
    assert!(case.file().exists());
}

#[test]
fn a_lock_that_could_not_be_read_again_is_refused() {
    let long: Vec<f64> = vec![1e15; 2500];
    let body = serde_json::json!({ "ID": "1", "Info": long })
        .to_string()
        .replace("1000000000000000.0", "1e15");
    assert!(body.len() < 16 << 10, "{}", body.len());
    assert!(StateLock::of_client(body.as_bytes(), &ada(), Timestamp::UNIX_EPOCH).is_err());
}

#[test]
fn the_words_of_a_lock_are_words() {
    for key in ["ID", "Operation", "Who"] {
        let mut said = serde_json::json!({ "ID": "1", "Operation": "Apply", "Who": "ada" });
        said[key] = "x".repeat(1025).into();
        let lock = |said: &serde_json::Value| {
            let body = said.to_string();
            StateLock::of_client(body.as_bytes(), &ada(), Timestamp::UNIX_EPOCH)
        };
        let why = lock(&said).unwrap_err();
        assert!(why.contains(&format!("`{key}`")), "{why}");
        said[key] = "x".repeat(1024).into();
        let case = Case::new();
        case.states.lock(&case.name, &lock(&said).unwrap()).unwrap();
        assert!(case.states.locked(&case.name).unwrap().is_some());
    }
}

#[test]
fn a_state_that_was_removed_is_not_missed() {
    let case = Case::new();
    case.send(&state("a", 1), None).unwrap();
    case.states.remove(&case.name, None, &ada(), Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(case.keep().unwrap(), None);
    assert_eq!(case.states.read_current(&case.name).unwrap(), None);
    case.send(&state("b", 1), None).unwrap();
    std::fs::remove_file(case.file()).unwrap();
    assert!(matches!(case.keep(), Err(StateError::Gone { .. })));
    assert!(matches!(case.states.read_current(&case.name), Err(StateError::Gone { .. })));
}

#[test]
fn what_is_restored_is_newer_than_all_and_says_who_did_it() {
    let case = Case::new();
    let precise = state("a", 1).replace("{}]", r#"{"big": 12345678901234567890123, "x": 0.10}]"#);
    for text in [&precise, &state("a", 2), &state("a", 3)] {
        case.send(text, None).unwrap();
    }
    let restore = |number| {
        let at = Timestamp::UNIX_EPOCH;
        case.states.restore(&case.name, number, &ada(), "a wrong import", at)
    };
    case.states.lock(&case.name, &lock("1")).unwrap();
    assert!(matches!(restore(1), Err(StateError::Locked { .. })));
    case.states.unlock(&case.name, None).unwrap();
    assert!(matches!(restore(9), Err(StateError::NoVersion { .. })));
    let restored = restore(1).unwrap();
    assert_eq!((restored.number, restored.serial, restored.lineage.as_str()), (4, 4, "a"));
    let by = Maker::Restored { who: ada(), from: 1, reason: "a wrong import".to_owned() };
    assert_eq!(restored.by, by);
    let now = std::fs::read_to_string(case.file()).unwrap();
    assert!(now.contains("12345678901234567890123") && now.contains("0.10"), "{now}");
    // What is damaged, and what is gone, comes back the same way.
    for left in ["", "{\"serial\":"] {
        case.write(left);
        let restored = restore(2).unwrap();
        assert_eq!(case.keep().unwrap().unwrap(), restored);
    }
}

/// What is in the file of a lock that a run has which another process works on.
fn lock_of_a_run(id: &str) -> String {
    let pid = std::os::unix::process::parent_id();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before it may have spaces.
    let start = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let process = serde_json::json!({
        "pid": pid, "start_time": start.parse::<u64>().unwrap(), "boot_id": boot.trim(),
    });
    serde_json::json!({
        "id": id, "operation": "OperationTypeApply", "who": "lockstepd", "since": "2026-01-01T00:00:00Z",
        "holder": {
            "kind": "run", "promotion": "prod.1", "step": "apply", "process": process, "runs": null,
        },
        "info": { "ID": id },
    })
    .to_string()
}

#[test]
fn who_knows_the_id_of_a_lock_does_not_have_it() {
    let case = Case::new();
    case.write(&state("a", 1));
    let refused = |lock: &str, who: &Principal| {
        let at = Timestamp::UNIX_EPOCH;
        let text = state("a", 2);
        let sent = case.states.receive(&case.name, text.as_bytes(), Some(lock), who, at);
        assert!(matches!(sent, Err(StateError::Locked { .. })), "{sent:?}");
        let removed = case.states.remove(&case.name, Some(lock), who, at);
        assert!(matches!(removed, Err(StateError::Locked { .. })), "{removed:?}");
        assert_eq!(std::fs::read_to_string(case.file()).unwrap(), state("a", 1));
    };
    write(&case.versions_dir().join("lock"), &lock_of_a_run("prod.1/apply/1"));
    refused("prod.1/apply/1", &ada());
    std::fs::remove_file(case.versions_dir().join("lock")).unwrap();
    case.states.lock(&case.name, &lock("1")).unwrap();
    refused("1", &Principal::Named("bob".to_owned()));
    case.send(&state("a", 2), Some("1")).unwrap();
}

/// A state as OpenTofu encrypts it.
fn encrypted(lineage: &str, serial: u64) -> String {
    serde_json::json!({
        "serial": serial, "lineage": lineage, "meta": { "key_provider.pbkdf2.k": "e30=" },
        "encrypted_data": format!("{lineage}{serial}"), "encryption_version": "v0",
    })
    .to_string()
}

#[test]
fn a_state_that_is_encrypted_is_not_empty_and_comes_back_byte_by_byte() {
    let case = Case::new();
    for serial in 1..=2 {
        case.send(&encrypted("a", serial), None).unwrap();
    }
    let other = case.send(&encrypted("b", 9), None);
    assert!(matches!(other, Err(StateError::NoSuccessor { .. })), "{other:?}");
    let at = Timestamp::UNIX_EPOCH;
    let restored = case.states.restore(&case.name, 1, &ada(), "a wrong import", at).unwrap();
    assert_eq!((restored.number, restored.serial), (3, 1));
    assert_eq!(std::fs::read_to_string(case.file()).unwrap(), encrypted("a", 1));
    assert_eq!(case.keep().unwrap(), Some(restored), "what is there is what was restored");
    case.send(&encrypted("a", 2).replace("a2", "other"), None).unwrap();
}

#[test]
fn nothing_is_restored_over_what_cannot_be_kept() {
    let case = Case::new();
    case.send(&state("a", 1), None).unwrap();
    let at = Timestamp::UNIX_EPOCH;
    case.write("{\"serial\":");
    case.states.restore(&case.name, 1, &ada(), "it is damaged", at).unwrap();
    let beside = std::fs::read_dir(case.file().parent().unwrap()).unwrap();
    let aside: Vec<PathBuf> = beside
        .map(|file| file.unwrap().path())
        .filter(|file| file.to_string_lossy().contains(".damaged-"))
        .collect();
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), "{\"serial\":");
    assert_eq!(aside.len(), 1);
    let large = state("a", 9).replace(SECRET, &"x".repeat(2000));
    let limit = Kept { state_bytes: 1000, ..Kept::default() };
    let states = States::open(case.dir.path(), Arc::new(OneKey(1)), limit).unwrap();
    case.write(&large);
    let refused = states.restore(&case.name, 1, &ada(), "it is large", at);
    assert!(matches!(refused, Err(StateError::TooLarge { .. })), "{refused:?}");
    assert_eq!(std::fs::read_to_string(case.file()).unwrap(), large);
    assert_eq!(case.numbers(), [1, 2]);
}

#[test]
fn a_state_that_is_gone_is_missed_though_nothing_of_it_can_be_read() {
    // What is wrong with the only version, and whether one waits.
    for (damage, waits) in [(&b"x"[..], false), (b"", false), (b"x", true)] {
        let case = Case::new();
        case.write(&state("a", 7));
        case.keep().unwrap();
        std::fs::write(case.file(), "").unwrap();
        std::fs::write(case.versions_dir().join("0000000001.version"), damage).unwrap();
        if waits {
            std::fs::write(case.versions_dir().join("waits"), "1").unwrap();
        }
        let error = case.keep().unwrap_err();
        assert!(matches!(error, StateError::Closed { number: 1, .. }), "{error}");
    }
    // What waits does not open: what is there is a version all the same.
    let case = Case::new();
    case.unwritten(&state("a", 7));
    case.write(&state("a", 6));
    let unwritten = case.versions_dir().join("0000000001.version");
    let mut sealed = std::fs::read(&unwritten).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    std::fs::write(unwritten, sealed).unwrap();
    assert!(matches!(case.keep(), Err(StateError::Closed { .. })));
    assert_eq!(case.numbers(), [1, 2]);
}

#[test]
fn nothing_is_put_back_under_the_lock_of_a_run() {
    let case = Case::new();
    case.write(&state("a", 3));
    case.unwritten(&state("a", 4));
    let file = case.versions_dir().join("lock");
    write(&file, &lock_of_a_run("prod.2/apply/1"));
    assert_eq!(case.keep().unwrap().unwrap().serial, 3);
    assert_eq!(std::fs::read_to_string(case.file()).unwrap(), state("a", 3));
    std::fs::remove_file(file).unwrap();
    assert_eq!(case.keep().unwrap().unwrap().serial, 4);
}

#[test]
fn a_state_that_a_run_is_writing_is_not_gone() {
    let case = Case::new();
    case.send(&state("a", 1), None).unwrap();
    case.write("");
    let file = case.versions_dir().join("lock");
    write(&file, &lock_of_a_run("prod.2/apply/1"));
    let read = case.states.read_current(&case.name);
    assert!(matches!(read, Err(StateError::Unsettled { .. })), "{read:?}");
    std::fs::remove_file(file).unwrap();
    let read = case.states.read_current(&case.name);
    assert!(matches!(read, Err(StateError::Gone { .. })), "{read:?}");
}

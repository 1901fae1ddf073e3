use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::workdir::WorkRoot;

fn workdir() -> (TempDir, WorkDir) {
    let folder = tempfile::tempdir().expect("the test set it up");
    let root = WorkRoot::open(folder.path()).expect("the test set it up");
    (folder, root.create(&"main".parse().expect("the test set it up")).expect("the test set it up"))
}

fn write(dir: &WorkDir, path: &str, text: &str) {
    dir.write(&rel_path(path).expect("the test set it up"), text.as_bytes())
        .expect("the test set it up");
}

fn read(dir: &WorkDir, path: &str) -> String {
    dir.read_to_string(&rel_path(path).expect("the test set it up"), 1 << 20)
        .expect("the test set it up")
}

fn why(outcome: Result<(), Halt>) -> String {
    match outcome {
        Err(Halt::Failed { message, retry: false, .. }) => message,
        other => panic!("{other:?}"),
    }
}

/// An archive with one entry of this name, written as it is.
fn hostile(name: &str, kind: EntryType, size: u64, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().expect("the test set it up").name[..name.len()]
        .copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name("/etc/passwd").expect("the test set it up");
    }
    header.set_cksum();
    let mut archive = Builder::new(Vec::new());
    archive.append(&header, bytes).expect("the test set it up");
    archive.into_inner().expect("the test set it up")
}

fn refused_to_unpack(archive: &[u8]) -> String {
    let (_folder, dir) = workdir();
    dir.write(&rel_path("a.tar").expect("the test set it up"), archive)
        .expect("the test set it up");
    let told = why(unpack(&dir, "a.tar", "out", 0));
    assert_eq!(
        dir.list(&rel_path("out").expect("the test set it up")).expect("the test set it up"),
        [],
        "nothing came out"
    );
    told
}

#[test]
fn what_was_packed_comes_out_the_same() {
    for to in ["made/a.tar", "made/a.tgz"] {
        let (_folder, dir) = workdir();
        write(&dir, "src/one.txt", "one\n");
        write(&dir, "src/deep/run.sh", "#!/bin/sh\n");
        write(&dir, "src/.git/config", "no\n");
        dir.set_executable(&rel_path("src/deep/run.sh").expect("the test set it up"), true)
            .expect("the test set it up");
        let gzip = to.ends_with("gz");
        let first = pack(&dir, "src", to, gzip).expect("the test set it up");
        assert_eq!(
            pack(&dir, "src", "made/again", gzip).expect("the test set it up"),
            first,
            "the same bytes"
        );
        unpack(&dir, to, "out", 0).expect("the test set it up");
        assert_eq!(read(&dir, "out/one.txt"), "one\n");
        assert_eq!(read(&dir, "out/deep/run.sh"), "#!/bin/sh\n");
        assert!(
            dir.is_executable(&rel_path("out/deep/run.sh").expect("the test set it up"))
                .expect("the test set it up")
        );
        assert!(
            !dir.is_executable(&rel_path("out/one.txt").expect("the test set it up"))
                .expect("the test set it up")
        );
        assert!(
            !dir.exists(&rel_path("out/.git").expect("the test set it up"))
                .expect("the test set it up")
        );
        unpack(&dir, to, "stripped", 1).expect("the test set it up");
        assert_eq!(read(&dir, "stripped/run.sh"), "#!/bin/sh\n");
        assert!(
            !dir.exists(&rel_path("stripped/one.txt").expect("the test set it up"))
                .expect("the test set it up")
        );
    }
}

#[test]
fn one_file_is_packed_under_its_name() {
    let (_folder, dir) = workdir();
    write(&dir, "src/one.txt", "one\n");
    pack(&dir, "src/one.txt", "one.tar", false).expect("the test set it up");
    unpack(&dir, "one.tar", "out", 0).expect("the test set it up");
    assert_eq!(read(&dir, "out/one.txt"), "one\n");
}

#[test]
fn what_leads_elsewhere_is_not_unpacked() {
    for (name, kind, told) in [
        ("../out.txt", EntryType::Regular, "\"../out.txt\" leads out of the directory"),
        ("a/../../b", EntryType::Regular, "\"a/../../b\" leads out of the directory"),
        ("/etc/cron.d/x", EntryType::Regular, "\"/etc/cron.d/x\" is an absolute path"),
        ("repo/.git/hooks/x", EntryType::Regular, "\"repo/.git/hooks/x\" belongs to git"),
        ("link", EntryType::Symlink, "\"link\" is a link or a special file"),
        ("link", EntryType::Link, "\"link\" is a link or a special file"),
        ("dev", EntryType::Block, "\"dev\" is a link or a special file"),
        ("fifo", EntryType::Fifo, "\"fifo\" is a link or a special file"),
    ] {
        let told_at = refused_to_unpack(&hostile(name, kind, 0, &[]));
        assert!(told_at.contains(told), "{told_at}");
    }
}

#[test]
fn a_link_that_is_there_is_not_followed() {
    let (folder, dir) = workdir();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).expect("the test set it up");
    dir.create_dir(&rel_path("out").expect("the test set it up")).expect("the test set it up");
    symlink(&outside, dir.path().join("out/deep")).expect("the test set it up");
    dir.write(
        &rel_path("a.tar").expect("the test set it up"),
        &hostile("deep/x", EntryType::Regular, 1, b"x"),
    )
    .expect("the test set it up");
    assert!(unpack(&dir, "a.tar", "out", 0).is_err());
    assert_eq!(std::fs::read_dir(&outside).expect("the test set it up").count(), 0);
    let told = why(pack(&dir, "out", "b.tar", false).map(drop));
    assert!(told.contains("out/deep is a symbolic link or a special file"), "{told}");
}

#[test]
fn an_archive_that_grows_beyond_measure_is_refused() {
    // A header that promises more than there is, and a small file that becomes a large one.
    let promised = hostile("big", EntryType::Regular, 1 << 40, &[]);
    assert!(refused_to_unpack(&promised).contains("bytes, are not handled"));
    let zeros = vec![0; 32 << 20];
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&hostile("zeros", EntryType::Regular, zeros.len() as u64, &zeros))
        .expect("the test set it up");
    let told = refused_to_unpack(&bomb.finish().expect("the test set it up"));
    assert!(told.contains("an archive that grows so much is not unpacked"), "{told}");
}

#[test]
fn an_archive_of_too_many_files_is_refused() {
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    // Nothing but names, and not even those are wanted.
    for _ in 0..=FILES_MAX {
        archive.append_data(&mut header, "d", &[][..]).expect("the test set it up");
    }
    let archive = archive.into_inner().expect("the test set it up");
    let (_folder, dir) = workdir();
    dir.write(&rel_path("a.tar").expect("the test set it up"), &archive)
        .expect("the test set it up");
    let told = why(unpack(&dir, "a.tar", "out", 1));
    assert!(told.contains(&format!("more than {FILES_MAX} files")), "{told}");
}

#[test]
fn names_that_look_like_options_are_names() {
    let (_folder, dir) = workdir();
    write(&dir, "-rf/--help", "one\n");
    for gzip in [false, true] {
        pack(&dir, "-rf", "-czf", gzip).expect("the test set it up");
        unpack(&dir, "-czf", "--out", 0).expect("the test set it up");
        assert_eq!(read(&dir, "--out/--help"), "one\n");
    }
}

#[test]
fn what_is_no_archive_is_named() {
    assert!(refused_to_unpack(&[7; 2048]).contains("a.tar is no archive that can be unpacked"));
    let whole = hostile("one", EntryType::Regular, 4, b"one\n");
    let mut cut = GzEncoder::new(Vec::new(), Compression::best());
    cut.write_all(&whole).expect("the test set it up");
    let cut = cut.finish().expect("the test set it up");
    assert!(refused_to_unpack(&cut[..cut.len() / 2]).contains("no archive that can be unpacked"));
    let (_folder, dir) = workdir();
    write(&dir, "src/one", "");
    let told = why(pack(&dir, "src", "src/all.tar", false).map(drop));
    assert!(told.contains("src/all.tar lies inside src"), "{told}");
}

#[test]
fn names_are_taken_apart() {
    for (name, strip, left) in [
        ("a/b", 0, Ok(Some("a/b"))),
        ("./a/b/", 1, Ok(Some("b"))),
        ("a", 1, Ok(None)),
        ("./", 0, Ok(None)),
        ("a/b", 9, Ok(None)),
        ("a/..", 0, Err(())),
        ("..", 5, Err(())),
    ] {
        let found = stripped(name, strip);
        let found = found.as_ref().map(Option::as_deref).map_err(|_| ());
        assert_eq!(found, left, "{name}");
    }
}

//! What stands in the place of an operator's file, and what becomes of whoever reads it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use operator_files::{Kept, append, json, read, read_given, read_secret, repeated_key};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

const LIMIT: u64 = 1024;

/// Somebody who is neither root nor the user of the tests.
const STRANGER: u32 = 4242;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    (folder, path)
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Whether these tests may give files to others.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[track_caller]
fn refused(path: &Path, words: &str) {
    let problem = read(path, LIMIT).unwrap_err().to_string();
    assert!(problem.contains(words), "'{words}' is not in: {problem}");
    assert!(!problem.contains('\n') && problem.contains(": "), "{problem}");
}

#[test]
fn attack_a_fifo_in_the_place_of_a_file_is_refused_at_once() {
    let (_folder, path) = folder();
    fifo(&path);
    refused(
        &path,
        "it is a FIFO, not a regular file: put a regular file in its place",
    );
    assert!(read_given(&path, LIMIT).unwrap_err().to_string().contains("FIFO"));
    assert!(append(&path, 0o640).unwrap_err().to_string().contains("FIFO"));
}

#[test]
fn attack_an_endless_device_behind_a_symlink_is_refused() {
    let (_folder, path) = folder();
    symlink("/dev/zero", &path).unwrap();
    refused(&path, "it is a device");
    assert!(read_given(&path, LIMIT).unwrap_err().to_string().contains("a device"));
    assert!(append(&path, 0o640).unwrap_err().to_string().contains("a symlink"));
}

#[test]
fn attack_sockets_folders_and_loops_are_refused_in_one_line() {
    let (folder, path) = folder();
    let _socket = UnixListener::bind(&path).unwrap();
    refused(&path, "it is a socket");
    refused(folder.path(), "it is a folder");
    refused(Path::new("/"), "it is a folder");
    refused(&folder.path().join("missing"), "No such file");
    refused(&path.join("below"), "Not a directory");
    let around = folder.path().join("around");
    symlink("around", &around).unwrap();
    refused(&around, "Too many levels of symbolic links");
}

#[test]
fn attack_a_file_that_is_too_long_is_not_read_to_its_end() {
    let (_folder, path) = folder();
    let file = fs::File::create(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    refused(&path, "it has more than 1024 bytes");
    fs::write(&path, vec![b' '; LIMIT as usize]).unwrap();
    assert_eq!(read(&path, LIMIT).unwrap().len(), LIMIT as usize);
    // A file of the kernel's tells no size.
    assert!(
        read(Path::new("/proc/cpuinfo"), 16)
            .unwrap_err()
            .to_string()
            .contains("more than 16 bytes")
    );
    fs::write(&path, b"\xff").unwrap();
    refused(&path, "it is not UTF-8 text");
}

#[test]
fn attack_a_file_that_others_can_write_or_own_is_refused() {
    let (folder, path) = folder();
    fs::write(&path, "{}").unwrap();
    mode(&path, 0o602);
    refused(
        &path,
        "its mode 602 lets others than its owner write to it: chmod go-w it",
    );
    mode(&path, 0o600);
    mode(folder.path(), 0o703);
    refused(&path, "has mode 703");
    mode(folder.path(), 0o1777);
    assert!(
        read(&path, LIMIT).is_ok(),
        "only its owner can replace a file in a sticky folder"
    );
    mode(folder.path(), 0o700);
    if is_root() {
        chown(&path, Some(STRANGER), None).unwrap();
        refused(
            &path,
            "belongs to user 4242, neither to root nor to user 0, who reads it",
        );
        assert!(
            read_given(&path, LIMIT).is_ok(),
            "the author of a given file does not matter"
        );
        chown(&path, Some(0), None).unwrap();
        chown(folder.path(), Some(STRANGER), None).unwrap();
        refused(&path, "belongs to user 4242");
        chown(folder.path(), Some(0), Some(STRANGER)).unwrap();
        mode(folder.path(), 0o770);
        refused(&path, "has mode 770 and group 4242");
        assert!(
            append(&path, 0o640).is_ok(),
            "what a member of the group puts there is the member's own"
        );
    }
}

#[test]
fn attack_a_symlink_of_another_user_is_not_followed() {
    let (folder, path) = folder();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::write(real.join("file.json"), "{}").unwrap();
    symlink("real/../real/file.json", &path).unwrap();
    assert_eq!(read(&path, LIMIT).unwrap(), "{}", "a symlink of our own is followed");
    let way = folder.path().join("way");
    symlink(&real, &way).unwrap();
    assert_eq!(read(&way.join("file.json"), LIMIT).unwrap(), "{}");
    if is_root() {
        std::os::unix::fs::lchown(&way, Some(STRANGER), None).unwrap();
        refused(&way.join("file.json"), "belongs to user 4242");
        std::os::unix::fs::lchown(&path, Some(STRANGER), None).unwrap();
        refused(&path, "belongs to user 4242");
    }
}

#[test]
fn a_key_given_twice_is_refused_with_its_place() {
    for text in [
        "{\"a\": 1, \"a\": 2}",
        "{\"a\": [{\"b\": {\"c\": 1,\n \"c\": 1}}]}",
        "{\"a\": 1, \"\\u0061\": 1}",
    ] {
        let problem = json::<serde_json::Value>(text).unwrap_err().to_string();
        assert!(
            problem.contains("given twice") && problem.contains("line "),
            "{problem}"
        );
    }
    assert!(repeated_key("{} {\"a\": 1, \"a\": 2}").is_some_and(|problem| problem.contains("line 1")));
    assert_eq!(repeated_key("{\"a\": 1} [{\"a\": 2}] {"), None);
    let value: serde_json::Value = json("{\"a\": {\"b\": 1}, \"b\": [1, -1, 0.5, null, true, \"x\"]}").unwrap();
    assert_eq!(value["b"][2], 0.5);
    assert!(json::<serde_json::Value>("{} {}").is_err());
    assert!(json::<Vec<u8>>("[300]").is_err());
    let deep = "[".repeat(100_000);
    assert!(json::<serde_json::Value>(&deep).is_err(), "and the stack is whole");
}

#[test]
fn appended_lines_go_to_a_regular_file_of_ours_alone() {
    let (folder, path) = folder();
    append(&path, 0o640).unwrap().write_all(b"one\n").unwrap();
    append(&path, 0o640).unwrap().write_all(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o137, 0, "others cannot read it");
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(
        append(&link, 0o640)
            .unwrap_err()
            .to_string()
            .contains("it is a symlink")
    );
    assert!(
        append(Path::new("/dev/null"), 0o640)
            .unwrap_err()
            .to_string()
            .contains("a device")
    );
    if is_root() {
        chown(&path, Some(STRANGER), None).unwrap();
        assert!(
            append(&path, 0o640)
                .unwrap_err()
                .to_string()
                .contains("belongs to user 4242")
        );
    }
}

fn kept(path: &Path) -> Kept<Vec<u32>> {
    Kept::open("list", path, LIMIT, json::<Vec<u32>>).unwrap()
}

fn value(kept: &Kept<Vec<u32>>) -> Option<Vec<u32>> {
    kept.current().value.map(|value| value.to_vec())
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn attack_whatever_takes_the_place_of_a_kept_file_the_last_good_version_stays_and_a_corrected_file_counts_at_once() {
    let (_folder, path) = folder();
    fs::write(&path, "[1]").unwrap();
    let kept = kept(&path);
    assert_eq!(value(&kept), Some(vec![1]));
    let spoil: [fn(&Path); 6] = [
        fifo,
        |path| symlink("/dev/zero", path).unwrap(),
        |path| fs::create_dir(path).unwrap(),
        |path| fs::write(path, "[1").unwrap(),
        |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        |path| {
            fs::write(path, "[666]").unwrap();
            mode(path, 0o666);
        },
    ];
    let mut number = 1;
    for spoil in spoil {
        fs::remove_file(&path).unwrap();
        spoil(&path);
        let begun = Instant::now();
        let content = kept.current();
        assert_eq!(content.value.map(|value| value.to_vec()), Some(vec![number]));
        let problem = content.problem.expect("there is one");
        assert!(
            problem.starts_with("list ") && problem.contains("file.json"),
            "{problem}"
        );
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not block");
        number += 1;
        let _ = fs::remove_dir(&path);
        replace(&path, &format!("[{number}]"));
        assert_eq!(value(&kept), Some(vec![number]));
        assert_eq!(kept.current().problem, None);
    }
}

#[test]
fn a_file_that_was_never_good_has_a_problem_and_no_value() {
    let (_folder, path) = folder();
    let kept = kept(&path);
    let content = kept.current();
    assert_eq!(content.value, None);
    assert!(content.problem.unwrap().contains("No such file"));
    fs::write(&path, "[7]").unwrap();
    assert_eq!(value(&kept), Some(vec![7]));
    fs::remove_file(&path).unwrap();
    assert_eq!(value(&kept), Some(vec![7]));
}

#[test]
fn each_of_many_quick_changes_counts_although_time_stamps_are_coarse() {
    let (_folder, path) = folder();
    fs::write(&path, "[1]").unwrap();
    let kept = kept(&path);
    for number in 0..200_u32 {
        // In place, and of one length.
        fs::write(&path, format!("[{}]", 100 + number)).unwrap();
        assert_eq!(value(&kept), Some(vec![100 + number]));
    }
}

#[test]
fn attack_a_secret_that_every_user_can_read_is_refused_and_a_group_may_read_it() {
    let (_folder, path) = folder();
    fs::write(&path, "secret").unwrap();
    mode(&path, 0o644);
    let error = read_secret(&path, LIMIT).unwrap_err().to_string();
    assert!(
        error.ends_with("its mode 644 lets every user of this host read it: chmod o-rwx it"),
        "{error}"
    );
    for good in [0o600, 0o640] {
        mode(&path, good);
        assert_eq!(read_secret(&path, LIMIT).unwrap(), "secret");
    }
}

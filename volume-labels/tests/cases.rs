//! The grammar as a table: one line a case, good and bad.

use volume_labels::{LabelError, parse};

/// Labels as `key=value`, separated by spaces; what comes out as canonical labels, in the same form.
const GOOD: &[(&str, &str)] = &[
    ("", ""),
    ("team=etl volumes.data=x volume=y VOLUME.data=z", ""),
    ("volume.data=vol-7bca078f", "volume.data=vol-7bca078f"),
    ("volume.0=v", "volume.0=v"),
    ("volume.a-b_c=v", "volume.a-b_c=v"),
    ("org.apache.aurora.metadata.volume.data=v", "volume.data=v"),
    (
        "org.apache.aurora.metadata.volume.data=v volume.data.mode=ro",
        "volume.data=v volume.data.mode=ro",
    ),
    ("volume.data=v volume.data=v", "volume.data=v"),
    (
        "volume.data=v org.apache.aurora.metadata.volume.data=v",
        "volume.data=v",
    ),
    ("volume.data.mode=ro volume.data=v", "volume.data=v volume.data.mode=ro"),
    ("volume.b=1 volume.a=2", "volume.a=2 volume.b=1"),
    ("volume.data=team/db:1,x", "volume.data=team/db:1,x"),
    ("volume.data=../../etc", "volume.data=../../etc"),
    (
        "volume.data=v volume.data.driver=rexray/ebs:latest",
        "volume.data=v volume.data.driver=rexray/ebs:latest",
    ),
    ("volume.data=v volume.data.path=data", "volume.data=v"),
    ("volume.data=v volume.data.path=./data/", "volume.data=v"),
    (
        "volume.data=v volume.data.path=a/./b//c/",
        "volume.data=v volume.data.path=a/b/c",
    ),
    (
        "volume.data=v volume.data.path=/var//lib/./x/",
        "volume.data=v volume.data.path=/var/lib/x",
    ),
    (
        "volume.data=v volume.data.path=/data",
        "volume.data=v volume.data.path=/data",
    ),
    (
        "volume.data=v volume.data.path=..data",
        "volume.data=v volume.data.path=..data",
    ),
    ("volume.data=v volume.data.mode=rw", "volume.data=v"),
    ("volume.data=v volume.data.mode=ro", "volume.data=v volume.data.mode=ro"),
    ("volume.data=v volume.data.access=shared", "volume.data=v"),
    (
        "volume.data=v volume.data.access=exclusive",
        "volume.data=v volume.data.access=exclusive",
    ),
    ("volume.data=v volume.data.lifetime=persistent", "volume.data=v"),
    (
        "volume.data=v volume.data.lifetime=container",
        "volume.data=v volume.data.lifetime=container",
    ),
    ("volume.data=v volume.data.create=never", "volume.data=v"),
    (
        "volume.data=v volume.data.create=if-missing",
        "volume.data=v volume.data.create=if-missing",
    ),
    (
        "volume.data=v volume.data.options.size=16",
        "volume.data=v volume.data.options.size=16",
    ),
    (
        "volume.data=v volume.data.options.a.b=",
        "volume.data=v volume.data.options.a.b=",
    ),
    (
        "volume.data=v volume.data.options.newFsType=ext4",
        "volume.data=v volume.data.options.newFsType=ext4",
    ),
    (
        "volume.data=v volume.data.owner=1000:0",
        "volume.data=v volume.data.owner=1000:0",
    ),
    (
        "volume.data=v volume.data.owner=postgres",
        "volume.data=v volume.data.owner=postgres",
    ),
    (
        "volume.data=v volume.data.owner=_apt",
        "volume.data=v volume.data.owner=_apt",
    ),
    (
        "volume.data=v volume.data.flags=noexec,nosuid,noexec",
        "volume.data=v volume.data.flags=nosuid,noexec",
    ),
    (
        "volume.data=v volume.data.subpath=./logs//app/",
        "volume.data=v volume.data.subpath=logs/app",
    ),
    (
        "volume.data=orders volume.data.claim=vol-1",
        "volume.data=orders volume.data.claim=vol-1",
    ),
    ("volume.data=v volume.same=v", "volume.data=v volume.same=v"),
    (
        "volume.a=v volume.a.path=x volume.b=v volume.b.path=x/y",
        "volume.a=v volume.a.path=x volume.b=v volume.b.path=x/y",
    ),
    (
        "volume.a=v volume.a.path=x volume.b=v volume.b.path=/x",
        "volume.a=v volume.a.path=x volume.b=v volume.b.path=/x",
    ),
];

/// Labels in the same form; what the message must contain, separated by `|`.
const BAD: &[(&str, &str)] = &[
    ("volume.=v", "label 'volume.'|bad slot ''"),
    ("volume.Data=v", "label 'volume.Data'|bad slot 'Data'|a-z, 0-9"),
    ("volume.-a=v", "bad slot '-a'"),
    ("volume._a=v", "bad slot '_a'"),
    ("volume.a/b=v", "bad slot 'a/b'"),
    ("volume.é=v", "bad slot 'é'"),
    ("volume..mode=ro", "bad slot ''"),
    (
        "org.apache.aurora.metadata.volume.A=v",
        "label 'org.apache.aurora.metadata.volume.A'|bad slot 'A'",
    ),
    (
        "volume.data=v volume.data.mod=ro",
        "label 'volume.data.mod'|unknown attribute 'mod'|did you mean 'volume.data.mode'?",
    ),
    ("volume.data=v volume.data.Mode=ro", "did you mean 'volume.data.mode'?"),
    ("volume.data=v volume.data.pth=x", "did you mean 'volume.data.path'?"),
    (
        "volume.data=v volume.data.drvier=x",
        "did you mean 'volume.data.driver'?",
    ),
    (
        "volume.data=v volume.data.option.size=1",
        "did you mean 'volume.data.options.size'?",
    ),
    (
        "volume.data=v volume.data.filesystem=ext4",
        "unknown attribute 'filesystem'; known are driver, path",
    ),
    (
        "volume.data=v volume.data.options=x",
        "unknown attribute 'options'|options.<key>",
    ),
    ("volume.data=v volume.data.options.=x", "unknown attribute 'options.'"),
    ("volume.data=v volume.data.=x", "unknown attribute ''"),
    ("volume.data=v volume.data.mode.x=ro", "unknown attribute 'mode.x'"),
    (
        "volume.data=a volume.data=b",
        "label 'volume.data': it is given twice, as 'a' and as 'b'",
    ),
    (
        "volume.data=a org.apache.aurora.metadata.volume.data=b",
        "'volume.data': it is given twice",
    ),
    (
        "volume.data=v volume.data.mode=ro volume.data.mode=rw",
        "'volume.data.mode': it is given twice, as 'ro' and as 'rw'",
    ),
    (
        "volume.data.mode=ro",
        "label 'volume.data.mode': it has no volume|'volume.data'",
    ),
    (
        "volume.a=v volume.data.options.size=1",
        "label 'volume.data.options.size': it has no volume",
    ),
    ("volume.data=", "label 'volume.data='|empty|a volume's name"),
    ("volume.data=v volume.data.driver=", "label 'volume.data.driver='|empty"),
    (
        "volume.data=v volume.data.flags=suid",
        "label 'volume.data.flags=suid'|nosuid, nodev, noexec",
    ),
    (
        "volume.data=v volume.data.flags=",
        "label 'volume.data.flags='|unknown flag",
    ),
    (
        "volume.data=v volume.data.subpath=a/../../b",
        "label 'volume.data.subpath=a/../../b'|'..'",
    ),
    (
        "volume.data=v volume.data.subpath=/etc",
        "label 'volume.data.subpath=/etc'|begins with '/'",
    ),
    ("volume.data=v volume.data.claim=", "label 'volume.data.claim='|empty"),
    (
        "volume.data=v volume.data.mode=r",
        "label 'volume.data.mode=r'|accepted is 'rw' or 'ro'",
    ),
    ("volume.data=v volume.data.mode=RO", "accepted is 'rw' or 'ro'"),
    (
        "volume.data=v volume.data.access=yes",
        "accepted is 'shared' or 'exclusive'",
    ),
    (
        "volume.data=v volume.data.lifetime=job",
        "accepted is 'persistent' or 'container'",
    ),
    (
        "volume.data=v volume.data.create=true",
        "accepted is 'never' or 'if-missing'",
    ),
    (
        "volume.data=v volume.data.path=",
        "label 'volume.data.path='|the path is empty",
    ),
    ("volume.data=v volume.data.path=/", "container's root"),
    ("volume.data=v volume.data.path=//./", "container's root"),
    ("volume.data=v volume.data.path=.", "the sandbox itself"),
    ("volume.data=v volume.data.path=./", "the sandbox itself"),
    ("volume.data=v volume.data.path=..", "has a '..'"),
    ("volume.data=v volume.data.path=a/../b", "has a '..'"),
    ("volume.data=v volume.data.path=/a/..", "has a '..'"),
    ("volume.data=v volume.data.owner=", "not an owner|'1000:1000'"),
    ("volume.data=v volume.data.owner=1000", "not an owner"),
    ("volume.data=v volume.data.owner=1000:", "not an owner"),
    ("volume.data=v volume.data.owner=:1000", "not an owner"),
    ("volume.data=v volume.data.owner=+1:1", "not an owner"),
    ("volume.data=v volume.data.owner=4294967295:0", "not an owner"),
    ("volume.data=v volume.data.owner=4294967296:0", "not an owner"),
    ("volume.data=v volume.data.owner=a:b", "not an owner"),
    ("volume.data=v volume.data.owner=../x", "not an owner"),
    (
        "volume.a=v volume.b=v volume.b.path=a",
        "'volume.a' and 'volume.b' both mount at 'a'",
    ),
    (
        "volume.a=v volume.a.path=/x volume.b=v volume.b.path=//x/.",
        "both mount at '/x'",
    ),
];

fn labels(text: &str) -> Vec<(&str, &str)> {
    text.split(' ')
        .filter(|label| !label.is_empty())
        .map(|label| label.split_once('=').expect("a label of the table has a '='"))
        .collect()
}

#[test]
fn good_labels_have_one_canonical_form() {
    for (given, canonical) in GOOD {
        let volumes = parse(labels(given)).unwrap_or_else(|error| panic!("{given}: {error}"));
        let back: Vec<_> = volumes.iter().flat_map(|volume| volume.to_labels()).collect();
        let back: Vec<_> = back.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(back.join(" "), *canonical, "from {given}");
    }
}

#[test]
fn bad_labels_are_named_with_what_is_accepted() {
    for (given, expected) in BAD {
        let error = parse(labels(given)).expect_err(given).to_string();
        for part in expected.split('|') {
            assert!(error.contains(part), "{given}\n  gives    {error}\n  without  {part}");
        }
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn control_characters_are_refused_and_shown_escaped() {
    for (key, value) in [
        ("volume.data", "a\nb"),
        ("volume.data", "a\0b"),
        ("volume.data", "a\u{85}b"),
        ("volume.data", "a\u{2028}b"),
        ("volume.data.driver", "a\x1b[31mb"),
        ("volume.data.path", "a\nb"),
        ("volume.data.path", "a\0b"),
        ("volume.data.options.x", "a\rb"),
        ("volume.data.claim", "a\x7fb"),
    ] {
        let error = parse(
            [("volume.data", "v"), (key, value)]
                .into_iter()
                .filter(|l| *l == (key, value) || key != "volume.data"),
        )
        .unwrap_err();
        assert!(matches!(error, LabelError::BadValue { .. }), "{key}: {error}");
        let message = error.to_string();
        assert!(message.contains("control characters"), "{message}");
        assert!(
            !message.chars().any(|c| c.is_control() || c == '\u{2028}'),
            "{message:?}"
        );
    }
    let error = parse([("volume.da\nta", "v")]).unwrap_err().to_string();
    assert!(error.contains(r"bad slot 'da\nta'"), "{error}");
    assert!(parse([("volume.data", "v"), ("volume.data.options.a\nb", "v")]).is_err());
}

#[test]
fn sizes_are_bounded() {
    let long = |bytes: usize| "x".repeat(bytes);
    let one = |key: &str, value: String| parse([("volume.data".to_owned(), "v".to_owned()), (key.to_owned(), value)]);

    assert!(parse([("volume.data", long(255))]).is_ok());
    assert!(
        parse([("volume.data", long(256))])
            .unwrap_err()
            .to_string()
            .contains("longer than 255 bytes")
    );
    assert!(one("volume.data.driver", long(255)).is_ok());
    assert!(one("volume.data.driver", long(256)).is_err());
    assert!(one("volume.data.options.x", long(4096)).is_ok());
    assert!(
        one("volume.data.options.x", long(4097))
            .unwrap_err()
            .to_string()
            .contains("at most 4096 bytes")
    );
    assert!(one(&format!("volume.data.options.{}", long(255)), long(1)).is_ok());
    assert!(one(&format!("volume.data.options.{}", long(256)), long(1)).is_err());
    assert!(one("volume.data.path", format!("{}/{}", long(255), long(255))).is_ok());
    assert!(
        one("volume.data.path", long(256))
            .unwrap_err()
            .to_string()
            .contains("component")
    );
    assert!(one("volume.data.path", "x/".repeat(512)).is_ok());
    assert!(
        one("volume.data.path", "x/".repeat(513))
            .unwrap_err()
            .to_string()
            .contains("1024 bytes")
    );
    assert!(one("volume.data.owner", long(33)).is_err());
    assert!(parse([(format!("volume.{}", long(64)), "v")]).is_ok());
    assert!(parse([(format!("volume.{}", long(65)), "v")]).is_err());

    let slots = |count: usize| (0..count).map(|n| (format!("volume.s{n:03}"), "v"));
    assert_eq!(parse(slots(64)).unwrap().len(), 64);
    let error = parse(slots(65)).unwrap_err().to_string();
    assert!(
        error.contains("65 volumes, from 'volume.s000' to 'volume.s064'; at most 64"),
        "{error}"
    );

    let options = |count: usize| {
        std::iter::once(("volume.data".to_owned(), "v"))
            .chain((0..count).map(|n| (format!("volume.data.options.o{n}"), "v")))
    };
    assert!(parse(options(64)).is_ok());
    assert!(
        parse(options(65))
            .unwrap_err()
            .to_string()
            .contains("'volume.data.options.*' are 65; at most 64")
    );
}

#[test]
fn long_values_are_cut_in_messages() {
    let error = parse([("volume.data", "v"), ("volume.data.mode", &"y".repeat(100_000))]).unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
    assert!(error.to_string().contains('…'));
}

#[test]
fn a_claim_defaults_to_the_name() {
    let volumes = parse([
        ("volume.a", "vol-1"),
        ("volume.b", "orders"),
        ("volume.b.claim", "vol-2"),
    ])
    .unwrap();
    assert_eq!(volumes[0].claim_id(), "vol-1");
    assert_eq!(volumes[1].claim_id(), "vol-2");
}

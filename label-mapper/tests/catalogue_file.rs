//! Catalogue files of our own: volumes and aliases, together with listings or alone.

use label_mapper::{Catalogue, VolumeState};

const LISTING: &str = include_str!("volumes.json");

fn refused(texts: &[&str]) -> String {
    let message = Catalogue::from_texts(texts.iter().copied())
        .expect_err("the catalogue is refused")
        .to_string();
    assert!(!message.contains('\n'), "not one line: {message}");
    message
}

#[test]
fn aliases_speak_of_volumes_of_any_file() {
    let catalogue = Catalogue::from_texts(["aliases: {sales: orders, tiny: vol-7bca078f}", LISTING]).unwrap();
    assert_eq!(catalogue.resolve("sales").unwrap().id.as_str(), "vol-0aaaaaaaaaaaaaaa1");
    assert_eq!(catalogue.resolve("tiny").unwrap().id.as_str(), "vol-7bca078f");
    let orders = catalogue.resolve("orders").unwrap();
    assert_eq!(catalogue.aliases(&orders.id).collect::<Vec<_>>(), ["sales"]);
    assert!(
        catalogue
            .resolve("tinny")
            .unwrap_err()
            .to_string()
            .contains("did you mean 'tiny'?")
    );
}

#[test]
fn a_catalogue_file_needs_id_and_zone_only() {
    let text = "volumes:\n- {id: vol-1, zone: z}\n- id: vol-2\n  name: b\n  zone: z\n  state: in-use\n  aliases: [bee]\n  attachments: [{instance: i-1, state: attached}]\n";
    let catalogue = Catalogue::from_texts([text]).unwrap();
    assert_eq!(catalogue.resolve("vol-1").unwrap().state, VolumeState::Available);
    let second = catalogue.resolve("bee").unwrap();
    assert_eq!(
        (second.id.as_str(), second.attachments[0].instance.as_str()),
        ("vol-2", "i-1")
    );
    let json = r#"{"volumes": [{"id": "vol-1", "zone": "z", "name": "a"}], "aliases": {"x": "a"}}"#;
    assert_eq!(
        Catalogue::from_texts([json]).unwrap().resolve("x").unwrap().id.as_str(),
        "vol-1"
    );
}

#[test]
fn an_alias_that_means_nothing_or_two_things_is_refused() {
    let volumes =
        "volumes: [{id: vol-1, zone: z, name: a}, {id: vol-2, zone: z, name: b}, {id: vol-3, zone: z, name: b}]";
    for (aliases, words) in [
        ("aliases: {x: c}", "alias 'x': no volume has the id or the Name tag 'c'"),
        (
            "aliases: {x: b}",
            "alias 'x': 2 volumes have the Name tag 'b': vol-2, vol-3",
        ),
        (
            "aliases: {a: vol-2}",
            "alias 'a' is the id or the Name tag of volume vol-1 already",
        ),
        (
            "aliases: {vol-2: a}",
            "alias 'vol-2' is the id or the Name tag of volume vol-2 already",
        ),
    ] {
        assert!(
            refused(&[volumes, aliases]).contains(words),
            "{}",
            refused(&[volumes, aliases])
        );
    }
    let twice = refused(&[volumes, "aliases: {x: vol-1}", "aliases: {x: vol-2}"]);
    assert_eq!(twice, "alias 'x' is given twice, for vol-1 and for vol-2; keep one");
    Catalogue::from_texts([volumes, "aliases: {x: vol-1}", "aliases: {x: a}"]).expect("twice the same is no harm");
}

#[test]
fn a_text_of_neither_kind_is_refused_in_one_line() {
    assert!(refused(&["volumes: [{id: vol-1}]"]).starts_with("no catalogue file: "));
    assert!(refused(&["volume: []"]).contains("no catalogue file: "));
    assert!(refused(&["{}"]).contains("describe-volumes"));
    assert!(
        refused(&[LISTING, "volumes: [{id: vol-7bca078f, zone: z}]"]).contains("volume vol-7bca078f is listed twice")
    );
}

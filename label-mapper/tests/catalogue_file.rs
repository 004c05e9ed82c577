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

/// The volumes of a storage change without the file that has the aliases.
#[test]
fn an_alias_that_means_nothing_or_two_things_fails_its_own_look_up_and_no_other() {
    let volumes = "volumes: [{id: vol-1, zone: z, name: a}, {id: vol-2, zone: z, name: b}, {id: vol-3, zone: z, name: b}, \
                   {id: vol-4, zone: z, name: gone, state: deleting}]";
    for (aliases, alias, words) in [
        (
            "aliases: {x: c, good: a}",
            "x",
            "/etc/aliases.yaml: alias 'x': no volume has the id or the Name tag 'c'",
        ),
        (
            "aliases: {x: b, good: a}",
            "x",
            "/etc/aliases.yaml: alias 'x': 2 volumes have the Name tag 'b': vol-2, vol-3; give one of these ids instead",
        ),
        (
            "aliases: {x: gone, good: a}",
            "x",
            "/etc/aliases.yaml: alias 'x': volume vol-4 ('gone') is in state 'deleting'",
        ),
        (
            "aliases: {a: vol-2, good: vol-1}",
            "a",
            "/etc/aliases.yaml: alias 'a' is the id or the Name tag of volume vol-1 already",
        ),
    ] {
        let sources = [("/etc/volumes.json", volumes), ("/etc/aliases.yaml", aliases)];
        let catalogue = Catalogue::from_sources(sources).unwrap_or_else(|error| panic!("{error}"));
        let message = catalogue.resolve(alias).expect_err(aliases).to_string();
        assert!(message.starts_with(words) && message.lines().count() == 1, "{message}");
        for good in ["good", "vol-1"] {
            assert_eq!(catalogue.resolve(good).unwrap().id.as_str(), "vol-1", "{aliases}");
        }
        let told: Vec<String> = catalogue.doubtful_aliases().map(ToString::to_string).collect();
        assert_eq!(told, [message], "{aliases}");
    }
    // An id means its volume, whatever a file calls by it.
    let catalogue = Catalogue::from_texts([volumes, "aliases: {vol-2: a}"]).unwrap();
    assert_eq!(catalogue.resolve("vol-2").unwrap().id.as_str(), "vol-2");
}

#[test]
fn an_alias_that_is_given_for_two_volumes_is_refused() {
    let volumes = "volumes: [{id: vol-1, zone: z, name: a}, {id: vol-2, zone: z, name: b}]";
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

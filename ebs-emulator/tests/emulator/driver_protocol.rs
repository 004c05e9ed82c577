//! The answers a client of the Docker volume plugin protocol gets, and the JSON of `describe`.

use crate::rig::Rig;
use serde_json::{Value, json};

#[test]
fn activate_and_capabilities_need_no_body() {
    let driver = Rig::new();
    let driver = driver.driver("a");
    assert_eq!(
        driver.raw("Plugin.Activate", ""),
        Some((200, json!({"Implements": ["VolumeDriver"]})))
    );
    let scope = json!({"Capabilities": {"Scope": "global"}});
    assert_eq!(driver.raw("VolumeDriver.Capabilities", ""), Some((200, scope)));
    assert_eq!(driver.raw("VolumeDriver.Frobnicate", "{}").unwrap().0, 404);
    assert_eq!(driver.raw("VolumeDriver.Get", "{oops").unwrap().0, 400);
}

#[test]
fn create_makes_a_volume_in_the_zone_of_the_host() {
    let rig = Rig::new();
    let driver = rig.driver("c");
    driver
        .call("Create", json!({"Name": "new", "Opts": {"size": "3", "type": "io2"}}))
        .unwrap();
    let volume = &rig.client().describe().unwrap().volumes[0];
    assert_eq!(
        (
            volume.size,
            volume.availability_zone.as_str(),
            volume.volume_type.as_str()
        ),
        (3, "z2", "io2")
    );
    assert_eq!(volume.name(), Some("new"));

    assert!(
        driver
            .call("Create", json!({"Name": "new"}))
            .unwrap_err()
            .contains("already exists")
    );
    let bad = driver
        .call("Create", json!({"Name": "n2", "Opts": {"size": "huge"}}))
        .unwrap_err();
    assert!(bad.contains("size 'huge'"), "{bad}");
    let unknown = driver
        .call("Create", json!({"Name": "n2", "Opts": {"colour": "red"}}))
        .unwrap_err();
    assert!(unknown.contains("unknown option 'colour'"), "{unknown}");
    driver
        .call(
            "Create",
            json!({"Name": "elsewhere", "Opts": {"availabilityZone": "z1"}}),
        )
        .unwrap();
    let listed = driver.call("List", json!({})).unwrap();
    let names: Vec<&Value> = listed["Volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| &volume["Name"])
        .collect();
    assert_eq!(names, [&json!("new")]);
}

#[test]
fn a_volume_in_use_is_not_removed() {
    let rig = Rig::new();
    rig.client().create("busy", 1, "z1").unwrap();
    let driver = rig.driver("a");
    driver.mount("busy", "x").unwrap();
    let refusal = driver.call("Remove", json!({"Name": "busy"})).unwrap_err();
    assert!(
        refusal.starts_with("VolumeInUse: ") && refusal.contains("currently attached to a"),
        "{refusal}"
    );
    driver.unmount("busy", "x").unwrap();
    driver.call("Remove", json!({"Name": "busy"})).unwrap();
    let gone = driver.call("Get", json!({"Name": "busy"})).unwrap_err();
    assert_eq!(gone, "InvalidVolume.NotFound: The volume 'busy' does not exist.");
}

#[test]
fn a_driver_that_removes_what_is_mounted_forgets_the_volume_and_leaves_its_mount() {
    let rig = Rig::with_hosts(["a=z1,shared,manners=removes-mounted"]);
    let driver = rig.driver("a");
    driver
        .call("Create", json!({"Name": "gone", "Opts": {"size": "1"}}))
        .unwrap();
    let path = driver.mount("gone", "x").unwrap();
    driver.call("Remove", json!({"Name": "gone"})).unwrap();
    for operation in ["Get", "Unmount", "Remove"] {
        let unknown = driver.call(operation, json!({"Name": "gone", "ID": "x"})).unwrap_err();
        assert!(unknown.contains("NotFound"), "{operation}: {unknown}");
    }
    std::fs::write(path.join("file"), "written").unwrap();
    let target = path.parent().unwrap();
    rustix::mount::unmount(target, rustix::mount::UnmountFlags::empty()).unwrap();
    // A volume that is not mounted is removed as every driver removes it.
    driver
        .call("Create", json!({"Name": "idle", "Opts": {"size": "1"}}))
        .unwrap();
    driver.call("Remove", json!({"Name": "idle"})).unwrap();
}

#[test]
fn describe_has_the_shape_of_the_aws_command() {
    let rig = Rig::new();
    let id = rig.client().create("shape", 2, "z1").unwrap().volume_id;
    rig.driver("a").mount("shape", "x").unwrap();
    let volumes = serde_json::to_value(rig.client().describe().unwrap()).unwrap();
    let volume = &volumes["Volumes"][0];
    assert_eq!(volume["VolumeId"], json!(id));
    assert_eq!(volume["Size"], json!(2));
    assert_eq!(volume["AvailabilityZone"], json!("z1"));
    assert_eq!(volume["State"], json!("in-use"));
    assert_eq!(volume["VolumeType"], json!("gp3"));
    assert_eq!(volume["Encrypted"], json!(false));
    assert_eq!(volume["MultiAttachEnabled"], json!(false));
    assert_eq!(volume["Tags"], json!([{"Key": "Name", "Value": "shape"}]));
    assert!(
        volume["CreateTime"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    let attachment = &volume["Attachments"][0];
    assert_eq!(attachment["VolumeId"], json!(id));
    assert_eq!(attachment["State"], json!("attached"));
    assert_eq!(attachment["Device"], json!("/dev/xvdba"));
    assert_eq!(attachment["DeleteOnTermination"], json!(false));
    assert_eq!(attachment["InstanceId"].as_str().unwrap().len(), "i-".len() + 17);
    assert!(
        attachment["AttachTime"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    rig.driver("a").unmount("shape", "x").unwrap();
    let volumes = serde_json::to_value(rig.client().describe().unwrap()).unwrap();
    assert_eq!(volumes["Volumes"][0]["State"], json!("available"));
    assert_eq!(volumes["Volumes"][0]["Attachments"], json!([]));
}

#[test]
fn an_instance_outside_holds_a_volume_until_it_is_detached() {
    let rig = Rig::new();
    rig.client().create("foreign", 1, "z1").unwrap();
    rig.client().attach_foreign("foreign", "i-0123456789abcdef0").unwrap();
    let refusal = rig.driver("a").mount("foreign", "x").unwrap_err();
    assert!(
        refusal.contains("already attached to an instance: i-0123456789abcdef0"),
        "{refusal}"
    );
    rig.client().detach("foreign").unwrap();
    rig.driver("a").mount("foreign", "x").unwrap();
    assert!(
        rig.client()
            .detach("foreign")
            .unwrap_err()
            .to_string()
            .contains("it is mounted at")
    );
    rig.driver("a").unmount("foreign", "x").unwrap();
    rig.assert_nothing_left();
}

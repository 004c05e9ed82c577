//! What is tried, in which order. Every situation begins and ends with the test volume unmounted.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use volume_driver_client::{Driver, ErrorKind, Operation};

use super::Extent;
use super::observed::{
    Again, Answer, Concurrent, Counting, Foreign, Named, Observed, RemoveInUse, Restarted, Unneeded,
};
use super::place::{Place, in_another_namespace};
use super::trial::{Trial, has_file};
use crate::failure::Failure;

/// The file that is written to the volume; it holds its own name.
const FILE: &str = "mesos-volumes-driver-test";
/// Characters that some driver mishandles, each as a volume's name of its own.
const CHARACTERS: [char; 8] = [' ', '\\', '/', '%', '?', '#', ':', '@'];
/// How many calls are sent at once.
const AT_ONCE: usize = 4;
/// How long a restarted driver may take until it answers.
const RESTART: Duration = Duration::from_secs(120);

/// Tries everything.
///
/// # Errors
/// The driver is no volume driver, or makes or mounts no volume: nothing more can be learnt then.
pub(super) fn all(trial: &mut Trial<'_>, extent: &Extent) -> Result<Observed, Failure> {
    let mut seen = Observed::default();
    presents_itself(trial.driver(), &mut seen)?;
    unknown_volume(trial, &mut seen)?;
    creation(trial, &mut seen)?;
    first_mount(trial, &mut seen)?;
    unneeded_unmount(trial, &mut seen)?;
    same_id(trial, &mut seen)?;
    second_id(trial, &mut seen)?;
    foreign_unmount(trial, &mut seen)?;
    remove_in_use(trial, &mut seen)?;
    if let Some(command) = &extent.restart {
        restart(trial, command, &mut seen)?;
    }
    if extent.names {
        names(trial, &mut seen)?;
    }
    removal(trial, &mut seen)?;
    // Last, as some drivers do not get over it.
    if extent.concurrent {
        concurrent(trial, &mut seen);
    }
    trial.go_on()?;
    Ok(seen)
}

fn presents_itself(driver: &Driver, seen: &mut Observed) -> Result<(), Failure> {
    let implements = driver.activate()?;
    if !implements.iter().any(|it| it == "VolumeDriver") {
        return Err(Failure::Refused(format!(
            "driver '{}' is no volume driver: it implements {implements:?}",
            driver.name()
        )));
    }
    seen.scope = Some(driver.capabilities()?);
    seen.another_namespace = in_another_namespace(driver.endpoint());
    Ok(())
}

fn unknown_volume(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let name = format!("{}-unknown", trial.name());
    let driver = trial.driver();
    let start = Instant::now();
    let get = Answer::of(&driver.get(&name), start);
    if get.is_done() {
        seen.problems.push(
            "Get answers yes for a name that does not exist: a missing volume is never created, and lifetime=container is \
             refused"
                .to_owned(),
        );
    }
    seen.unknown.push((Operation::Get, get));
    let start = Instant::now();
    seen.unknown
        .push((Operation::Path, Answer::of(&driver.path(&name), start)));
    let id = trial.id("unknown");
    seen.unknown.push((Operation::Unmount, trial.unmount(&name, &id)));
    seen.unknown.push((Operation::Remove, trial.remove(&name)));
    let (mount, mounted) = trial.mount(&name, &id)?;
    if mounted.is_some() {
        seen.problems
            .push("Mount of a volume that does not exist reports success".to_owned());
        trial.unmount(&name, &id);
        trial.remove(&name);
    }
    seen.unknown.push((Operation::Mount, mount));
    for (_, answer) in &seen.unknown {
        trial.learn_unknown(answer);
    }
    Ok(())
}

fn creation(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let name = trial.name().to_owned();
    let driver = trial.driver();
    let create = trial.create(&name);
    if let Some((_, words)) = &create.refusal {
        return Err(Failure::Refused(format!(
            "driver '{}' creates no test volume: {words}; if it needs options, give them with -o KEY=VALUE",
            driver.name()
        )));
    }
    seen.create = Some(create);
    driver.created(&name)?;
    seen.create_again = Some(trial.create(&name));
    let listed = driver.list();
    seen.copies = listed
        .ok()
        .map(|volumes| volumes.iter().filter(|volume| volume.name == name).count());
    if matches!(seen.copies, Some(2..)) {
        seen.problems
            .push("a second Create makes a second volume of the same name".to_owned());
    }
    let other_case = name.to_uppercase();
    seen.ignores_case = match driver.get(&other_case) {
        _ if trial.answers_yes_for_any_name() => None,
        Ok(_) => Some(true),
        // The driver answers with the name as the volume has it.
        Err(error) if error.kind() == ErrorKind::Protocol && error.words().contains(&name) => Some(true),
        Err(error) => (error.kind() == ErrorKind::NotFound).then_some(false),
    };
    let start = Instant::now();
    let path = driver.path(&name);
    seen.path_before = Some((Answer::of(&path, start), path.ok().flatten()));
    Ok(())
}

fn first_mount(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let (name, id) = (trial.name().to_owned(), trial.id("first"));
    let (mount, mounted) = trial.mount(&name, &id)?;
    let Some(mounted) = mounted else {
        let (_, words) = mount.refusal.unwrap_or((ErrorKind::Rejected, String::new()));
        return Err(Failure::Refused(format!(
            "driver '{}' does not mount its test volume: {words}",
            trial.driver().name()
        )));
    };
    seen.mount = Some(mount);
    match (&mounted.place, seen.another_namespace) {
        (Place::Nothing, _) => seen.problems.push(format!(
            "Mount reports success, and {} does not exist on this host: give 'rewrites' for the driver's paths, or let it \
             mount where this host sees it",
            mounted.path.display()
        )),
        (Place::Directory, Some(pid)) => seen.problems.push(format!(
            "Mount reports success, and no mount reached this host: process {pid} has a mount namespace of its own \
             (PrivateMounts=, or a container without shared mounts)"
        )),
        _ => {}
    }
    if mounted.place != Place::Nothing
        && let Err(error) = std::fs::write(mounted.path.join(FILE), FILE)
    {
        seen.problems
            .push(format!("nothing can be written to the mounted volume: {error}"));
    }
    let path = mounted.path.clone();
    seen.place = Some(mounted.place);
    seen.unmount = Some(trial.unmount(&name, &id));
    if trial.is_mounted()? {
        seen.problems
            .push("Unmount reports an end, and the volume is still mounted".to_owned());
    }
    trial.settle()?;
    let (_, again) = trial.mount(&name, &id)?;
    seen.keeps_data_mounted_again = Some(again.is_some_and(|again| has_file(&again.path, FILE)));
    if seen.keeps_data_mounted_again == Some(false) {
        seen.problems.push(format!(
            "what was written to the volume is not there when it is mounted again at {}",
            path.display()
        ));
    }
    trial.settle().map(drop)
}

/// A driver that counts what is not there takes the next Mount for a second one, and mounts
/// nothing.
fn unneeded_unmount(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let (name, id) = (trial.name().to_owned(), trial.id("first"));
    let answer = trial.unmount(&name, &id);
    let (_, mounted) = trial.mount(&name, &id)?;
    let next_mount_works = mounted
        .as_ref()
        .is_some_and(|mounted| Some(&mounted.place) == seen.place.as_ref());
    seen.unneeded = Some(Unneeded {
        answer,
        next_mount_works,
    });
    if !next_mount_works {
        // The count is below zero: Mounts bring it back to where one of them mounts.
        for _ in 0..3 {
            if trial.is_mounted()? {
                break;
            }
            trial.mount(&name, &id)?;
        }
    }
    trial.settle().map(drop)
}

fn counting(trial: &Trial<'_>, seen: &Observed) -> Result<Counting, Failure> {
    Ok(match seen.place {
        Some(Place::Mount | Place::FolderInMount(_)) if trial.is_mounted()? => Counting::Counted,
        Some(Place::Mount | Place::FolderInMount(_)) => Counting::Once,
        _ => Counting::Unseen,
    })
}

fn same_id(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let id = trial.id("first");
    seen.same_id = Some(again(trial, seen, "first", "first")?);
    let name = trial.name().to_owned();
    trial.unmount(&name, &id);
    trial.settle().map(drop)
}

fn second_id(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    seen.second_id = Some(again(trial, seen, "first", "second")?);
    trial.settle().map(drop)
}

/// Mounts under two ids (or one twice), and unmounts under the first.
fn again(trial: &mut Trial<'_>, seen: &Observed, one: &str, two: &str) -> Result<Again, Failure> {
    let name = trial.name().to_owned();
    let (one, two) = (trial.id(one), trial.id(two));
    let (_, first) = trial.mount(&name, &one)?;
    let (answer, second) = trial.mount(&name, &two)?;
    trial.unmount(&name, &one);
    let counting = match &second {
        Some(_) => Some(counting(trial, seen)?),
        None => None,
    };
    let other_path = matches!((first, &second), (Some(first), Some(second)) if first.path != second.path);
    Ok(Again {
        answer,
        counting,
        other_path,
    })
}

fn foreign_unmount(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let name = trial.name().to_owned();
    let (id, foreign) = (trial.id("first"), trial.id("foreign"));
    trial.mount(&name, &id)?;
    let answer = trial.unmount(&name, &foreign);
    let stays = match counting(trial, seen)? {
        Counting::Counted => Some(true),
        Counting::Once => Some(false),
        Counting::Unseen => None,
    };
    seen.foreign = Some(Foreign { answer, stays });
    trial.settle().map(drop)
}

fn remove_in_use(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let (name, id) = (trial.name().to_owned(), trial.id("first"));
    trial.mount(&name, &id)?;
    let answer = trial.remove(&name);
    let was_removed = answer.is_done();
    seen.remove_in_use = Some(RemoveInUse { answer });
    if was_removed {
        seen.problems
            .push("Remove of a mounted volume reports success".to_owned());
        // The driver may need the volume to unmount it.
        trial.create(&name);
    }
    trial.settle()?;
    if trial.is_mounted()? {
        seen.problems
            .push("a volume that was removed while mounted stays mounted".to_owned());
        // The driver does not know it any more; what is still there after this is found at the end.
        trial.unmount_by_hand();
    }
    Ok(())
}

fn restart(trial: &mut Trial<'_>, command: &str, seen: &mut Observed) -> Result<(), Failure> {
    let (name, id) = (trial.name().to_owned(), trial.id("first"));
    let (_, mounted) = trial.mount(&name, &id)?;
    let start = Instant::now();
    // What the command prints is no part of the result, which may be JSON.
    let status = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()?;
    if !status.success() {
        return Err(Failure::Refused(format!(
            "the command that restarts the driver failed ({status}): {command}"
        )));
    }
    while let Err(error) = trial.driver().activate() {
        trial.go_on()?;
        if start.elapsed() > RESTART {
            return Err(error.into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let seconds = start.elapsed().as_secs_f64();
    let stays_mounted = match counting(trial, seen)? {
        Counting::Counted => Some(true),
        Counting::Once => Some(false),
        Counting::Unseen => None,
    };
    let readable = mounted.is_some_and(|mounted| std::fs::read_dir(&mounted.path).is_ok());
    let asked = Instant::now();
    let get = Answer::of(&trial.driver().get(&name), asked);
    let (mount, _) = trial.mount(&name, &id)?;
    let unmounts = trial.settle()?;
    let gone = !trial.is_mounted()?;
    if !gone {
        seen.problems
            .push("after its restart the driver does not unmount what it had mounted before".to_owned());
    }
    seen.restarted = Some(Restarted {
        seconds,
        stays_mounted,
        readable,
        get,
        mount,
        unmounts,
        gone,
    });
    Ok(())
}

fn names(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let id = trial.id("named");
    for character in CHARACTERS {
        trial.go_on()?;
        let name = format!("{}{character}x", trial.name());
        if trial.driver().profile().check_name(&name).is_err() {
            // What is known to stay mounted for ever is not tried again.
            seen.names_not_sent.push(character);
            continue;
        }
        let created = trial.create(&name);
        let fails_at = match created.refusal {
            Some((_, words)) => Some((Operation::Create, words)),
            None => life_of(trial, &name, &id)?,
        };
        seen.names.push(Named { character, fails_at });
    }
    Ok(())
}

/// Get, Mount, Unmount and Remove of a volume; the first that does not work.
fn life_of(
    trial: &mut Trial<'_>,
    name: &str,
    id: &volume_driver_client::MountId,
) -> Result<Option<(Operation, String)>, Failure> {
    if let Err(error) = trial.driver().get(name) {
        return Ok(Some((Operation::Get, error.words().to_owned())));
    }
    let (mount, _) = trial.mount(name, id)?;
    if let Some((_, words)) = mount.refusal {
        return Ok(Some((Operation::Mount, words)));
    }
    if let Some((_, words)) = trial.unmount(name, id).refusal {
        return Ok(Some((Operation::Unmount, words)));
    }
    Ok(trial.remove(name).refusal.map(|(_, words)| (Operation::Remove, words)))
}

fn removal(trial: &mut Trial<'_>, seen: &mut Observed) -> Result<(), Failure> {
    let (name, id) = (trial.name().to_owned(), trial.id("first"));
    let remove = trial.remove(&name);
    let was_removed = remove.is_done();
    seen.remove = Some(remove);
    if !was_removed {
        return Ok(());
    }
    if trial.create(&name).is_done()
        && let (_, Some(mounted)) = trial.mount(&name, &id)?
    {
        seen.keeps_data_removed = Some(has_file(&mounted.path, FILE));
        trial.settle()?;
    }
    Ok(())
}

/// Mounts and unmounts several volumes at once. The driver gets as many calls at a time as there
/// are threads.
fn concurrent(trial: &mut Trial<'_>, seen: &mut Observed) {
    let mut profile = trial.driver().profile().clone();
    profile.max_in_flight = AT_ONCE;
    profile.pause_after_change = Duration::ZERO;
    let driver = Driver::at(trial.driver().name(), trial.driver().endpoint().clone(), profile);
    let names: Vec<String> = (0..AT_ONCE)
        .map(|number| format!("{}-{number}", trial.name()))
        .collect();
    let id = trial.id("at once");
    let interruption = trial.interruption();
    let created: Vec<&String> = names.iter().filter(|name| trial.create(name).is_done()).collect();
    let failed: Vec<String> = std::thread::scope(|threads| {
        let calling: Vec<_> = created
            .iter()
            .map(|name| {
                let (driver, id, interruption) = (&driver, &id, &interruption);
                threads.spawn(move || -> Result<(), volume_driver_client::Error> {
                    for _ in 0..5 {
                        if interruption.load(Ordering::SeqCst) {
                            break;
                        }
                        driver.mount(name, id)?;
                        driver.unmount(name, id)?;
                    }
                    Ok(())
                })
            })
            .collect();
        calling
            .into_iter()
            .filter_map(|thread| thread.join().expect("a call does not panic").err())
            .map(|error| error.to_string())
            .collect()
    });
    for name in created {
        trial.may_be_mounted(name, &id);
    }
    seen.concurrent = Some(Concurrent { calls: AT_ONCE, failed });
}

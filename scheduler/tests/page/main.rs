//! The page as people see it: a service on a real master, in a real browser, on a phone and on a desktop, by day and by night.
//!
//! Pictures of every page lie in `target/tmp/page` afterwards.

mod attacks;
mod browser;
#[allow(dead_code, reason = "the attacks without a browser use the rest")]
#[path = "../served/mod.rs"]
mod served;
mod site;

use std::fs;
use std::path::{Path, PathBuf};

use browser::{Browser, DESKTOP, PHONE, Screen};
use scheduler::timeline::{AttemptTimes, Mark, Outcome, Place, TaskTimes, Timeline};
use site::{Site, wait};

const LOOK: &str = include_str!("look.js");

/// A DAG that forks and joins, whose volume moves between agents.
const FLIGHTS: &str = "\
version: 1
name: flights
schedule: 30 3 * * * Europe/Zurich
tasks:
  extract: {command: sleep 0.6, volumes: {raw: flights-raw}}
  clean: {command: sleep 0.4, after: extract, agent: {not-same-as: extract}, volumes: {raw: flights-raw, out: flights-clean}}
  weather: {command: sleep 0.2, after: extract}
  load: {command: sleep 0.5, after: [clean, weather], volumes: {in: {volume: flights-clean, mode: ro}, db: flights-db}}
  verify-every-figure: {command: sleep 0.2, after: load, volumes: {db: flights-db}}
";

/// One that fails in the middle.
const BROKEN: &str = "\
version: 1
name: broken
tasks:
  fetch: {command: 'true'}
  parse: {command: exit 3, after: fetch}
  store: {command: 'true', after: parse}
  report: {command: 'true', after: store}
  tidy: {command: 'true', after: fetch}
";

/// A job that holds a volume until a file appears.
const HOLDER: &str = "version: 1\nname: holder\ntasks:\n  hold: {command: 'until [ -e GO ]; do sleep 0.1; done', volumes: {db: flights-db}}\n";

/// One that waits for it.
const QUEUED: &str = "version: 1\nname: queued\ntasks:\n  wait: {command: 'true', volumes: {db: flights-db}}\n  then: {command: 'true', after: wait}\n";

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).expect("the target folder is ours");
    folder
}

/// Looks at a page, and says what is wrong with it.
fn look(browser: &Browser, site: &Site, path: &str, name: &str, screen: Screen, dark: bool) -> Vec<String> {
    browser.screen(screen);
    browser.dark(dark);
    browser.open(&site.url(path));
    let wrong = browser.run(LOOK);
    let light = if dark { "dark" } else { "light" };
    browser.picture(&pictures().join(format!("{name}-{}-{light}.png", screen.name)));
    let wrong = wrong.as_array().expect("it gives a list").iter();
    wrong
        .map(|what| format!("{path} on a {} ({light}): {what}", screen.name))
        .collect()
}

/// Every page on every screen. The browser reports no error and sends no request to another host.
fn look_at_all(browser: &Browser, site: &Site, pages: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (path, name) in pages {
        for screen in [PHONE, DESKTOP] {
            for dark in [false, true] {
                wrong.extend(look(browser, site, path, name, screen, dark));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let (said, asked) = browser.logs();
    assert!(said.is_empty(), "the console says: {}", said.join("\n"));
    let own = site.url("");
    for url in asked {
        assert!(url.starts_with(&own) || url.starts_with("data:"), "{url} was asked for");
    }
}

fn count(browser: &Browser, selector: &str) -> u64 {
    let found = browser.run(&format!("return document.querySelectorAll({selector:?}).length"));
    found.as_u64().expect("a count is a number")
}

#[test]
fn the_page_is_readable_on_a_phone_by_day_and_by_night() {
    let site = Site::start();
    let browser = Browser::start();

    // Before there is anything, every page says what will be there.
    let gone = look(&browser, &site, "/runs/none.1", "gone", PHONE, false);
    assert!(gone.is_empty(), "{}", gone.join("\n"));
    let (said, _) = browser.logs();
    assert!(said.iter().all(|line| line.contains("404")), "{said:?}");
    look_at_all(&browser, &site, &[("/", "empty-jobs"), ("/agents", "idle-agents")]);

    let (flights, broken) = (site.begin("flights", FLIGHTS), site.begin("broken", BROKEN));
    site.wait_for(&flights, "finished");
    site.wait_for(&broken, "failed");
    let again = site.run("flights");
    site.wait_for(&again, "finished");
    wait("the database is free", || site.state_of("vol-3") == "FREE");
    let holder = site.begin("holder", &HOLDER.replace("GO", &site.go().to_string_lossy()));
    wait("its task runs", || site.why(&holder).contains("TASK_RUNNING"));
    let queued = site.begin("queued", QUEUED);
    wait("it is said who has the volume", || {
        site.why(&queued).contains("holder.1.hold.1")
    });

    let run = |id: &str| format!("/runs/{id}");
    let (run_path, broken_path, holder_path, queued_path) = (run(&flights), run(&broken), run(&holder), run(&queued));
    let pages = [
        ("/", "jobs"),
        ("/jobs/flights", "job"),
        (&*run_path, "run"),
        (&*broken_path, "run-failed"),
        (&*holder_path, "run-active"),
        (&*queued_path, "run-queued"),
        ("/volumes", "volumes"),
        ("/volumes/vol-3", "volume"),
        ("/agents", "agents"),
    ];
    look_at_all(&browser, &site, &pages);
    drawings_are_whole(&browser, &site, &flights);
    a_failure_names_what_it_blocks(&browser, &site, &broken);
    the_keyboard_reaches_every_task(&browser, &site, &flights);
    links_lead_somewhere(&browser, &site, &pages);

    // And all of it without JavaScript.
    browser.javascript(false);
    for (path, _) in pages {
        browser.open(&site.url(path));
        assert!(!browser.names("table tbody tr").is_empty(), "{path} has no table");
    }
    browser.javascript(true);
    fs::write(site.go(), "").expect("the folder is ours");
    site.wait_for(&queued, "finished");

    // Every page says that the master is away.
    site.lose_the_master();
    wait("it is said that the master is away", || {
        site.get("/").1.to_string().contains("Not subscribed")
    });
    look_at_all(&browser, &site, &[("/", "away")]);
    a_timeline_stands_on_its_own(&browser);
    site.tear_down();
}

/// The file that a program writes: with everything that a timeline can show.
fn a_timeline_stands_on_its_own(browser: &Browser) {
    let place = |name: &str, zone: &str| Place {
        name: name.to_owned(),
        zone: Some(zone.to_owned()),
    };
    let attempt =
        |task: &str, number: u32, agent: Place, from: u64, to: Option<u64>, outcome, volumes: &[&str]| AttemptTimes {
            name: format!("etl.{task}.{number}"),
            agent,
            launched_ms: from,
            running_ms: Some(from + 1_500),
            ended_ms: to,
            outcome,
            volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
        };
    let task = |name: &str, ready, attempts| TaskTimes {
        task: name.to_owned(),
        ready_ms: Some(ready),
        waits: false,
        attempts,
    };
    let (one, two, three) = (
        place("agent1", "us-east-1a"),
        place("agent2", "us-east-1a"),
        place("agent3", "us-east-1b"),
    );
    let (done, failed) = (Outcome::Finished, Outcome::Failed);
    let tasks = [
        task(
            "extract",
            0,
            vec![
                attempt(
                    "extract",
                    1,
                    one.clone(),
                    600,
                    Some(8_000),
                    failed,
                    &["source", "stage"],
                ),
                attempt(
                    "extract",
                    2,
                    two.clone(),
                    11_000,
                    Some(19_500),
                    done,
                    &["source", "stage"],
                ),
            ],
        ),
        task(
            "transform",
            19_500,
            vec![attempt(
                "transform",
                1,
                one.clone(),
                20_000,
                Some(29_000),
                done,
                &["stage", "clean"],
            )],
        ),
        task(
            "weather",
            0,
            vec![attempt("weather", 1, three, 500, Some(6_000), done, &["forecast"])],
        ),
        task(
            "load",
            29_000,
            vec![attempt(
                "load",
                1,
                two,
                29_600,
                None,
                Outcome::Active,
                &["clean", "target"],
            )],
        ),
        TaskTimes {
            waits: true,
            ..task("verify", 33_000, Vec::new())
        },
    ];
    let marks = vec![
        Mark {
            at_ms: 7_400,
            text: "the agent on agent1 is killed".to_owned(),
        },
        Mark {
            at_ms: 16_000,
            text: "the scheduler is killed and started again".to_owned(),
        },
    ];
    let svg = Timeline::new("Flights, batch 1", 0, 38_000, &tasks, marks).to_svg();
    let file = pictures().join("timeline.svg");
    fs::write(&file, svg).expect("the target folder is ours");
    browser.screen(DESKTOP);
    for dark in [false, true] {
        browser.dark(dark);
        browser.open(&format!("file://{}", file.display()));
        // What is not XML is shown as an error in HTML.
        assert_eq!(browser.run("return document.documentElement.localName"), "svg");
        assert_eq!(
            browser.run("return document.querySelectorAll('.t-lane').length"),
            5 + 3 + 5
        );
        let light = if dark { "dark" } else { "light" };
        browser.picture(&pictures().join(format!("timeline-{light}.png")));
    }
}

fn drawings_are_whole(browser: &Browser, site: &Site, flights: &str) {
    browser.open(&site.url(&format!("/runs/{flights}")));
    assert_eq!(count(browser, ".dag .node.c-finished"), 5);
    assert_eq!(count(browser, ".dag .edge"), 5);
    // Five tasks, the agents they ran on, three volumes.
    let agents = count(browser, ".timeline .t-lane > rect[width='10']");
    assert!(agents >= 2, "{agents}");
    assert_eq!(count(browser, ".timeline .t-lane"), 5 + agents + 3);
    assert_eq!(count(browser, ".timeline rect.t-finished"), 5);
    assert!(count(browser, ".timeline .t-moved") >= 1, "a volume has moved");
    let names = browser.names("svg");
    assert_eq!(names.len(), 2);
    assert!(names[0].contains("Order of the tasks"), "{names:?}");
    assert!(names[1].contains("Timeline of run"), "{names:?}");
}

fn a_failure_names_what_it_blocks(browser: &Browser, site: &Site, broken: &str) {
    browser.open(&site.url(&format!("/runs/{broken}")));
    let said = browser.run("return document.querySelector('.alarm').innerText.replace(/\\s+/g, ' ')");
    let said = said.as_str().expect("it is text");
    assert!(said.contains("Failed: parse"), "{said}");
    let (_, blocked) = said
        .split_once("Not started because of the failure:")
        .expect("it says what is blocked");
    assert!(
        blocked.contains("store") && blocked.contains("report") && !blocked.contains("tidy"),
        "{said}"
    );
    assert_eq!(count(browser, ".dag .node.c-blocked"), 2);
    assert_eq!(count(browser, ".dag .node.c-failed"), 1);
}

fn the_keyboard_reaches_every_task(browser: &Browser, site: &Site, flights: &str) {
    browser.open(&site.url(&format!("/runs/{flights}")));
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.press_tab();
        let place = browser.run("return document.activeElement.getAttribute('href')");
        reached.extend(place.as_str().map(str::to_owned));
    }
    for task in ["extract", "clean", "weather", "load", "verify-every-figure"] {
        assert!(
            reached.contains(&format!("#task-{task}")),
            "{task} is not among {reached:?}"
        );
    }
    assert!(
        reached.contains(&"#content".to_owned()) && reached.contains(&"/volumes".to_owned()),
        "{reached:?}"
    );
}

fn links_lead_somewhere(browser: &Browser, site: &Site, pages: &[(&str, &str)]) {
    for (path, _) in pages {
        browser.open(&site.url(path));
        let dead = browser.run(
            "return [...document.querySelectorAll('a[href^=\"#\"]')].map((link) => link.getAttribute('href').slice(1)) \
             .filter((id) => !document.getElementById(id))",
        );
        assert_eq!(dead, serde_json::json!([]), "{path}");
        let links =
            browser.run("return [...document.querySelectorAll('a[href]')].map((link) => link.getAttribute('href'))");
        for link in links.as_array().expect("it gives a list") {
            let link = link.as_str().expect("a link is text");
            if link.starts_with('/') {
                assert_eq!(site.get(link).0, 200, "{link} on {path}");
            }
        }
    }
}

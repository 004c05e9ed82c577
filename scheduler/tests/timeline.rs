//! The timeline as a file: what it draws, and that it stands on its own.

use scheduler::timeline::{AttemptTimes, Mark, Outcome, Place, TaskTimes, Timeline};

fn place(name: &str, zone: &str) -> Place {
    Place {
        name: name.to_owned(),
        zone: Some(zone.to_owned()),
    }
}

fn attempt(name: &str, agent: Place, launched: u64, ended: Option<u64>, volumes: &[&str]) -> AttemptTimes {
    AttemptTimes {
        name: name.to_owned(),
        agent,
        launched_ms: launched,
        running_ms: Some(launched + 500),
        ended_ms: ended,
        outcome: if ended.is_some() {
            Outcome::Finished
        } else {
            Outcome::Active
        },
        volumes: volumes.iter().map(|volume| (*volume).to_owned()).collect(),
    }
}

fn task(name: &str, ready: u64, attempts: Vec<AttemptTimes>) -> TaskTimes {
    TaskTimes {
        task: name.to_owned(),
        ready_ms: Some(ready),
        waits: false,
        attempts,
    }
}

/// A volume that moves twice, a task that failed once and one that waits.
fn tasks() -> Vec<TaskTimes> {
    let failed = AttemptTimes {
        outcome: Outcome::Failed,
        ..attempt(
            "etl.load.1",
            place("agent2", "zone-b"),
            9_000,
            Some(12_000),
            &["target"],
        )
    };
    vec![
        task(
            "extract",
            0,
            vec![attempt(
                "etl.extract.1",
                place("agent1", "zone-a"),
                300,
                Some(4_000),
                &["raw"],
            )],
        ),
        task(
            "transform",
            4_000,
            vec![attempt(
                "etl.transform.1",
                place("agent3", "zone-a"),
                4_200,
                Some(9_000),
                &["raw"],
            )],
        ),
        task(
            "load",
            9_000,
            vec![
                failed,
                attempt(
                    "etl.load.2",
                    place("agent1", "zone-a"),
                    13_000,
                    None,
                    &["raw", "target"],
                ),
            ],
        ),
        TaskTimes {
            waits: true,
            ..task("verify <&>", 15_000, Vec::new())
        },
    ]
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn a_file_has_a_lane_for_each_task_agent_and_volume_and_shows_every_move() {
    let marks = vec![Mark {
        at_ms: 11_000,
        text: "agent2 is killed".to_owned(),
    }];
    let svg = Timeline::new("The ETL job", 0, 20_000, &tasks(), marks).to_svg();
    assert_eq!(count(&svg, "class=\"t-lane\""), 4 + 3 + 2, "{svg}");
    assert_eq!(count(&svg, "moved from"), 3, "raw moves twice, target once: {svg}");
    for part in [
        "raw</tspan>",
        "2 moves</tspan>",
        "between 2 agents</tspan>",
        "etl.load.1 failed on agent2 in zone-b for 2.5 s",
        "etl.load.2 had target on agent1 in zone-a for 7.0 s, moved from agent2",
        "1 · 11 s · agent2 is killed",
        "4 tasks, 3 agents, 2 volumes over 20 s",
        "waits for 5.0 s",
        ">20 s</text>",
    ] {
        assert!(svg.contains(part), "{part} is not in {svg}");
    }
}

#[test]
fn a_file_is_xml_and_names_nothing_outside_of_itself() {
    let svg = Timeline::new("A \"name\"\u{7}", 5, 5, &tasks(), Vec::new()).to_svg();
    assert!(svg.contains("verify &lt;&amp;&gt;") && !svg.contains('\u{7}'), "{svg}");
    assert!(svg.contains("<style>"));
    for outside in ["http://", "https://", "url(", "@import", "href"] {
        let found = count(&svg, outside) - if outside == "http://" { 1 } else { 0 };
        assert_eq!(found, 0, "{outside}: {svg}");
    }
    // Every element that is opened is closed.
    let opened = count(&svg, "<") - count(&svg, "</") - count(&svg, "/>");
    assert_eq!(opened, count(&svg, "</"), "{svg}");
}

#[test]
fn what_is_at_the_same_time_on_one_agent_stands_below_each_other() {
    let here = || place("agent1", "zone-a");
    let both = [
        task("one", 0, vec![attempt("j.one.1", here(), 0, Some(9_000), &[])]),
        task("two", 0, vec![attempt("j.two.1", here(), 1_000, Some(9_000), &[])]),
        task("three", 0, vec![attempt("j.three.1", here(), 9_000, Some(9_500), &[])]),
    ];
    // Three tasks, and two rows for the agent.
    assert_eq!(Timeline::new("", 0, 10_000, &both, Vec::new()).rows(), 3 + 2);
    assert_eq!(Timeline::new("", 0, 0, &[], Vec::new()).rows(), 0);
}

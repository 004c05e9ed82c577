//! Commands and options that the documents name, held against what the programs say of themselves.

use std::collections::BTreeMap;
use std::process::Command;

use testbed::built;

use crate::blocks::{Fate, Page, pages};

/// Our programs with the crates that they are built from.
const PROGRAMS: &[(&str, &str)] = &[
    ("bench", "bench"),
    ("ebs-emulator", "ebs-emulator"),
    ("etl-demo", "demo"),
    ("flights-etl", "demo"),
    ("label-mapper", "label-mapper"),
    ("mesos-volumes", "mesos-volumes"),
    ("scheduler", "scheduler"),
    ("simulate", "simulator"),
    ("testbed", "testbed"),
];

/// The texts of `--help` by the words of the command: `mesos-volumes driver ls`.
struct Helps(BTreeMap<String, String>);

impl Helps {
    fn of(program: &'static str, package: &'static str) -> Self {
        let path = built(program, package).unwrap_or_else(|error| panic!("{error}"));
        let mut helps = BTreeMap::new();
        let mut waiting = vec![vec![program.to_owned()]];
        while let Some(words) = waiting.pop() {
            let output = Command::new(&path).args(&words[1..]).arg("--help").output();
            let output = output.unwrap_or_else(|error| panic!("{}: {error}", words.join(" ")));
            assert!(output.status.success(), "{} --help: {output:?}", words.join(" "));
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            // Its commands are those of the program that it stands in for.
            let is_dvdcli = words.last().is_some_and(|word| word == "dvdcli");
            for command in subcommands(&help).into_iter().filter(|_| !is_dvdcli) {
                waiting.push([words.clone(), vec![command]].concat());
            }
            helps.insert(words.join(" "), help);
        }
        Self(helps)
    }

    /// Why a command line cannot be that of this program.
    fn fault(&self, line: &str) -> Option<String> {
        let mut words = line.split_whitespace().peekable();
        let mut command = words.next()?.to_owned();
        while let Some(word) = words.peek() {
            let longer = format!("{command} {word}");
            if !self.0.contains_key(&longer) {
                break;
            }
            command = longer;
            words.next();
        }
        let help = &self.0[&command];
        let has_commands = !subcommands(help).is_empty();
        let next = words.clone().find(|word| !word.starts_with('-'));
        let is_word = |word: &&str| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
        if let (true, Some(word)) = (has_commands, next.filter(is_word)) {
            return Some(format!("'{command}' has no command '{word}'"));
        }
        for word in words {
            // What follows is the arguments' own.
            if word == "--" {
                break;
            }
            let option = word.split(['=', ']', ',', ')', ';', '\'']).next().unwrap_or_default();
            let option = option.trim_start_matches('[');
            if option.starts_with("--") && option.len() > 2 && !has_option(help, option) {
                return Some(format!("'{command}' has no option {option}"));
            }
        }
        None
    }
}

fn has_option(help: &str, option: &str) -> bool {
    if option == "--help" || option == "--version" {
        return true;
    }
    let is_end = |behind: &str| !behind.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '-');
    help.match_indices(option)
        .any(|(at, _)| is_end(&help[at + option.len()..]))
}

/// The commands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    let entries = listed.filter(|line| !line.starts_with("   "));
    let names = entries.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn all_helps() -> Vec<(&'static str, Helps)> {
    let helps = PROGRAMS
        .iter()
        .map(|(program, package)| (*program, Helps::of(program, package)));
    helps.collect()
}

/// The code spans of a page, and the lines of its blocks of commands.
fn commands(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in page.prose() {
        // A cell of a table writes `a|b` as `a\|b`.
        let spans = line.split('`').skip(1).step_by(2);
        found.extend(spans.map(|span| (number, span.replace("\\|", "|"))));
    }
    for block in page.blocks() {
        if matches!(block.fate(), Ok(Fate::Executed | Fate::NotExecuted(_))) {
            let joined = block.text.replace("\\\n", " ");
            found.extend(joined.lines().map(|line| (block.line, line.trim().to_owned())));
        }
    }
    found
}

#[test]
fn every_command_and_option_of_our_programs_that_the_documents_name_exists() {
    let helps = all_helps();
    let mut faults = Vec::new();
    let mut checked = 0;
    // The changelog also names what was there once.
    for page in pages().iter().filter(|page| page.name != "CHANGELOG.md") {
        for (number, command) in commands(page) {
            let program = command.split_whitespace().next().unwrap_or_default();
            let Some((_, helps)) = helps.iter().find(|(name, _)| *name == program) else {
                continue;
            };
            checked += 1;
            // A pipe or a list of commands ends ours.
            let line = command.split([';', '|', '>', '&', '…']).next().unwrap_or_default();
            let fault = helps.fault(line);
            faults.extend(fault.map(|fault| format!("{}:{number}: `{command}`: {fault}", page.name)));
        }
    }
    println!("{checked} commands of our programs are named in the documents");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 50, "the documents name commands: {checked}");
}

#[test]
fn the_help_of_every_program_and_command_has_examples() {
    let mut without = Vec::new();
    for (_, helps) in all_helps() {
        // `dvdcli` has the help of the program that it stands in for.
        let ours = helps.0.iter().filter(|(command, _)| !command.ends_with(" dvdcli"));
        without.extend(
            ours.filter(|(_, help)| !help.lines().any(|line| line == "Examples:"))
                .map(|(command, _)| command.clone()),
        );
    }
    assert!(
        without.is_empty(),
        "no 'Examples:' in --help of: {}",
        without.join(", ")
    );
}

#[test]
fn the_examples_of_every_help_are_commands_that_the_programs_know() {
    let mut faults = Vec::new();
    for (program, helps) in all_helps() {
        for (command, help) in &helps.0 {
            let examples = help.lines().skip_while(|line| *line != "Examples:").skip(1);
            let examples = examples.take_while(|line| line.starts_with("  ") || line.is_empty());
            for example in examples.map(str::trim).filter(|line| line.starts_with(program)) {
                let line = example.split([';', '|', '>', '&', '#']).next().unwrap_or_default();
                faults.extend(
                    helps
                        .fault(line)
                        .map(|fault| format!("{command} --help: {example}: {fault}")),
                );
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_command_or_an_option_that_does_not_exist_is_found() {
    let helps = Helps::of("mesos-volumes", "mesos-volumes");
    for line in [
        "mesos-volumes ls --state stuck",
        "mesos-volumes driver unmount --unrecorded -- DRIVER VOLUME",
        "mesos-volumes quarantine ls",
        "mesos-volumes",
    ] {
        assert_eq!(helps.fault(line), None);
    }
    for line in [
        "mesos-volumes ls --statu stuck",
        "mesos-volumes driver umount DRIVER VOLUME",
        "mesos-volumes list",
        "mesos-volumes driver ls --agent-url=http://127.0.0.1:5051",
    ] {
        assert!(helps.fault(line).is_some(), "{line}");
    }
}

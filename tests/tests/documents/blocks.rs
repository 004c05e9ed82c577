//! The fenced blocks of the documents, and whether each is executed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::runs::EXECUTED;

/// A block without a language holds commands when one of its lines begins with one of these words.
const PROGRAMS: &[&str] = &[
    "ansible-playbook",
    "apt-get",
    "aws",
    "cargo",
    "curl",
    "docker",
    "ebs-emulator",
    "install",
    "journalctl",
    "label-mapper",
    "logrotate",
    "mesos-agent",
    "mesos-master",
    "mesos-volumes",
    "mount",
    "promtool",
    "scheduler",
    "scripts/demo",
    "scripts/test",
    "sudo",
    "systemctl",
    "testbed",
    "umount",
];

/// A page of Markdown.
pub(crate) struct Page {
    /// Its path below the workspace, as in `docs/install.md`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// The number of its first line, counted from 1.
    pub(crate) line: usize,
    /// What follows the three backticks.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// What becomes of a block of commands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate<'a> {
    Executed,
    NotExecuted(&'a str),
    /// The output of the commands before it.
    Output,
    /// Nothing to execute: a file, a log, a drawing.
    Other,
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the crate is in the workspace").to_owned()
}

/// All pages of the workspace, in order of their names.
pub(crate) fn pages() -> Vec<Page> {
    let root = workspace();
    let mut pages = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("folders of the workspace can be read");
        for entry in entries {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if path.is_dir() {
                if !name.starts_with('.') && !matches!(name.as_str(), "target" | "dist" | "node_modules") {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let name = path.strip_prefix(&root).expect("it is below the workspace");
                pages.push(Page {
                    name: name.to_string_lossy().into_owned(),
                    text: fs::read_to_string(&path).expect("a page is text"),
                });
            }
        }
    }
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

/// The page of this name.
pub(crate) fn page(name: &str) -> Page {
    let text = fs::read_to_string(workspace().join(name));
    Page {
        name: name.to_owned(),
        text: text.unwrap_or_else(|error| panic!("{name}: {error}")),
    }
}

impl Page {
    /// The blocks, without the indentation of a list that they stand in.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<(Block, usize)> = None;
        for (index, line) in self.text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(info)) => {
                    let block = Block {
                        line: index + 1,
                        info: info.trim().to_owned(),
                        text: String::new(),
                    };
                    open = Some((block, line.len() - line.trim_start().len()));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indentation)), _) => {
                    let spaces = line.len() - line.trim_start().len();
                    block.text += line.get(spaces.min(*indentation)..).unwrap_or_default();
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        if let Some((block, _)) = open {
            panic!("{}:{}: the block does not end", self.name, block.line);
        }
        blocks
    }

    /// The page's text without its blocks, with the number of each line.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((index + 1, line));
            }
        }
        prose
    }
}

impl Block {
    /// What its first line says of it.
    ///
    /// # Errors
    /// The line says nothing, or gives no reason.
    pub(crate) fn fate(&self) -> Result<Fate<'_>, String> {
        let (language, rest) = self.info.split_once(' ').unwrap_or((&self.info, ""));
        match (language, rest.trim()) {
            ("bash", "run") => Ok(Fate::Executed),
            ("bash", rest) => match rest.strip_prefix("not-run:").map(str::trim) {
                Some(reason) if reason.contains(' ') => Ok(Fate::NotExecuted(reason)),
                Some(_) => Err("the reason why it is not executed is missing".to_owned()),
                None => Err("say 'bash run' or 'bash not-run: REASON'".to_owned()),
            },
            ("text", "output") => Ok(Fate::Output),
            ("text", "drawing") => Ok(Fate::Other),
            ("" | "text", "") => match self.text.lines().find(|line| is_command(line)) {
                Some(line) => Err(format!(
                    "'{}' is a command: say 'bash run' or 'bash not-run: REASON'",
                    line.trim()
                )),
                None => Ok(Fate::Other),
            },
            ("sh" | "shell" | "console", _) => Err("commands are blocks of 'bash'".to_owned()),
            (_, rest) if rest.is_empty() || rest.starts_with("file ") => Ok(Fate::Other),
            (_, rest) => Err(format!("'{rest}' means nothing")),
        }
    }
}

fn is_command(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches(['$', '#']).trim_start();
    let program = line.split_whitespace().next().unwrap_or_default();
    line.split_whitespace().count() > 1 && PROGRAMS.contains(&program)
}

#[test]
fn every_block_of_commands_in_the_documents_is_executed_or_has_its_reason() {
    let mut faults = Vec::new();
    let (mut executed, mut reasons) = (0, 0);
    for page in pages() {
        let mut runs = false;
        for block in page.blocks() {
            match block.fate() {
                Ok(Fate::Executed) => {
                    runs = true;
                    executed += 1;
                }
                Ok(Fate::NotExecuted(_)) => reasons += 1,
                Ok(Fate::Output | Fate::Other) => {}
                Err(fault) => faults.push(format!("{}:{}: {fault}", page.name, block.line)),
            }
        }
        if runs && !EXECUTED.contains(&page.name.as_str()) {
            faults.push(format!(
                "{}: no test of tests/documents/runs.rs executes this page",
                page.name
            ));
        }
    }
    println!("{executed} blocks of commands are executed, {reasons} are not and say why");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(executed > 0, "the documents have blocks that are executed");
}

#[test]
fn a_block_is_read_with_its_fate() {
    let page = Page {
        name: "example".to_owned(),
        text: "a\n```bash run\none\n```\n* list\n  ```bash not-run: it needs a cloud\n  two\n    three\n  ```\n"
            .to_owned(),
    };
    let blocks = page.blocks();
    assert_eq!(blocks[0].text, "one\n");
    assert_eq!(blocks[0].fate(), Ok(Fate::Executed));
    assert_eq!(blocks[1].text, "two\n  three\n");
    assert_eq!(blocks[1].fate(), Ok(Fate::NotExecuted("it needs a cloud")));
    for (info, text) in [
        ("bash", "ls"),
        ("", "mesos-volumes ls"),
        ("bash not-run:", "ls"),
        ("sh", "ls"),
    ] {
        let block = Block {
            line: 1,
            info: info.to_owned(),
            text: text.to_owned(),
        };
        assert!(block.fate().is_err(), "{info}");
    }
}

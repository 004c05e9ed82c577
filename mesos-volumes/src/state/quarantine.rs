//! `quarantine`: the files that the agent found to be no records.

use std::ffi::OsString;

use clap::{Args, Subcommand};
use isolator::records::{Quarantined, Store, StoreError, Survey, discard_quarantined, quarantined, quarantined_bytes};
use serde_json::{Value, json};

use super::{Common, moment, words};
use crate::failure::Failure;
use crate::print::{Said, plain};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Lists the files, with what is wrong with each
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes quarantine ls")]
    Ls,
    /// Prints what is in a file
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes quarantine show 5b1c2d3e.json")]
    Show {
        /// Its name
        #[arg(value_name = "FILE")]
        name: OsString,
    },
    /// Gives a file that is a record after all back to the agent; the agent must be down
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes quarantine restore 5b1c2d3e.json")]
    Restore {
        /// Its name
        #[arg(value_name = "FILE")]
        name: OsString,
    },
    /// Removes files; the agent may run
    #[command(after_help = "Examples:\n\
\x20 mesos-volumes quarantine rm 5b1c2d3e.json")]
    Rm {
        /// Their names
        #[arg(value_name = "FILE", required = true)]
        names: Vec<OsString>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<Said, Failure> {
    let state_dir = &arguments.common.state_dir;
    let known = quarantined(state_dir)?;
    let find = |name: &OsString| {
        known.iter().find(|file| file.name == *name).ok_or_else(|| {
            Failure::Unknown(format!(
                "there is no file '{}' in quarantine: see 'mesos-volumes quarantine ls'",
                name.display()
            ))
        })
    };
    match &arguments.what {
        What::Ls => Ok(ls(&known)),
        What::Show { name } => {
            let file = find(name)?;
            let bytes = quarantined_bytes(state_dir, name)?;
            let text = String::from_utf8_lossy(&bytes);
            let shown: Vec<String> = text.lines().map(plain).collect();
            let mut json = json_of(file);
            json["text"] = text.clone().into();
            Ok(Said {
                json,
                text: shown.join("\n") + "\n",
            })
        }
        What::Restore { name } => {
            find(name)?;
            // The agent reads its records once, at its start.
            if let Some(holder) = Survey::take(state_dir)?.holder {
                return Err(Failure::Refused(format!(
                    "the agent ({holder}) runs, and reads records at its start only: stop it, restore, start it again"
                )));
            }
            let container = Store::open(state_dir)?
                .restore_quarantined(name)
                .map_err(|error| Failure::Refused(error.to_string()))?;
            Ok(Said {
                json: json!({ "restored": container.to_string() }),
                text: plain(&format!(
                    "the record of container {container} is back: the agent reads it at its next start"
                )) + "\n",
            })
        }
        What::Rm { names } => {
            names.iter().try_for_each(|name| find(name).map(drop))?;
            for name in names {
                discard_quarantined(state_dir, name)
                    .map_err(|error: StoreError| Failure::Refused(error.to_string()))?;
            }
            let names: Vec<String> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            Ok(Said {
                text: names
                    .iter()
                    .map(|name| format!("{} is removed\n", plain(name)))
                    .collect(),
                json: json!({ "removed": names }),
            })
        }
    }
}

fn ls(files: &[Quarantined]) -> Said {
    let mut rows = vec![["FILE", "WRITTEN", "WHAT IT IS"].map(str::to_owned).to_vec()];
    rows.extend(files.iter().map(|file| {
        let what = match &file.record {
            Ok(record) => format!("a record of container {}: it can be restored", record.container),
            Err(reason) => reason.to_string(),
        };
        vec![
            plain(&file.name.to_string_lossy()),
            words(moment(file.written)),
            plain(&what),
        ]
    }));
    Said {
        json: json!({ "files": files.iter().map(json_of).collect::<Vec<_>>() }),
        text: if files.is_empty() {
            "nothing is in quarantine\n".to_owned()
        } else {
            foreign_text::columns(&rows)
        },
    }
}

fn json_of(file: &Quarantined) -> Value {
    json!({
        "file": file.name.to_string_lossy(),
        "written": moment(file.written),
        "container": file.record.as_ref().ok().map(|record| record.container.to_string()),
        "reason": file.record.as_ref().err().map(ToString::to_string),
    })
}

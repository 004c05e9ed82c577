//! What a task wrote: the last lines of its standard error and output.

use maud::{Markup, html};

use super::frame::{View, frame};
use crate::service::logs::{AgentAccess, FILES, Sandbox};

/// The files of a sandbox with their ends, or why they cannot be read.
pub(super) type Files = Vec<(&'static str, Result<String, String>)>;

/// Asks the agent. Blocks.
pub(super) fn read(sandbox: &Sandbox, agents: &AgentAccess) -> Files {
    let read = |file| (file, sandbox.tail(agents, file).map_err(|error| error.to_string()));
    FILES.into_iter().map(read).collect()
}

pub(super) fn one(view: View<'_>, run: &str, task: &str, files: &Files) -> Markup {
    let content = html! {
        p.path { a href="/" { "Jobs" } " / " a href={ "/runs/" (run) } { (run) } " / " }
        h1 { "Log of " (task) }
        @for (file, end) in files {
            h2 { (file) }
            @match end {
                Ok(text) if text.is_empty() => { p.faint { "The file is empty." } },
                Ok(text) => {
                    pre tabindex="0" aria-label={ "The last lines of " (file) } { (foreign_text::escaped_lines(text)) }
                    p.faint { "The last 64 KiB at most; " a href={ "/v1/runs/" (run) "/tasks/" (task) "/" (file) } { "as text" } "." }
                },
                Err(error) => { div.alarm role="status" { p { (error) } } },
            }
        }
    };
    frame(view, "Jobs", &format!("Log of {task}"), false, content)
}

//! The documents are held against what is there: commands are executed, links lead somewhere, commands and options that the
//! text names exist, and every program's `--help` has examples.
//!
//! A fenced block of commands says in its first line what becomes of it:
//!
//! | first line | meaning |
//! |---|---|
//! | `bash run` | a test executes it, with the other such blocks of the page, in order, in one shell |
//! | `bash not-run: REASON` | no test executes it, for this reason |
//! | `text drawing` | nothing to execute, although words of commands stand in it |
//! | `text output` | each of its lines is among what the page's commands print; `…` stands for any text |

mod blocks;
mod host;
mod links;
mod names;
mod runs;

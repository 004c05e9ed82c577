//! Stand-ins for the shared libraries that the official library wants and today's distributions no longer have.
//!
//! The library was built against OpenSSL 1.0, a libcurl with that OpenSSL's symbol version, and (being a Python
//! extension) Python 2.7. An agent that speaks plain HTTP and fetches no URI calls none of them. A stub library has
//! the symbols the official library leaves undefined, under the same version nodes; a function of it that is ever
//! called says which one and aborts, so nothing goes on in silence.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::PackageError;
use super::command::{last_line, run};

/// The stub library with no name of its own to be found by: the programs link it themselves.
pub(super) const PYTHON: &str = "libmesos-python-stubs.so";

/// A library to stand in for, and how its symbols are told from others.
struct Missing {
    soname: &'static str,
    symbols: Symbols,
}

/// Where a library that is really called has gone: an empty library of the old name that needs the new one. Mesos up to
/// 1.7 runs its timers on libevent 2.0; of what it calls 2.1 has everything, and its structures are not larger.
struct Renamed {
    soname: &'static str,
    now: &'static str,
}

const RENAMED: &[Renamed] = &[
    Renamed {
        soname: "libevent-2.0.so.5",
        now: "libevent-2.1.so.7",
    },
    Renamed {
        soname: "libevent_pthreads-2.0.so.5",
        now: "libevent_pthreads-2.1.so.7",
    },
];

enum Symbols {
    /// Every symbol under a version node that starts so.
    Nodes(&'static str),
    /// Every symbol without version that starts with one of these.
    Names(&'static [&'static str]),
}

/// OpenSSL's symbols do not say which of its two libraries they are from: both get all of them.
const MISSING: &[Missing] = &[
    Missing {
        soname: "libssl.so.1.0.0",
        symbols: Symbols::Nodes("OPENSSL_1.0."),
    },
    Missing {
        soname: "libcrypto.so.1.0.0",
        symbols: Symbols::Nodes("OPENSSL_1.0."),
    },
    Missing {
        soname: "libcurl.so.4",
        symbols: Symbols::Nodes("CURL_OPENSSL_3"),
    },
    Missing {
        soname: "libevent_openssl-2.0.so.5",
        symbols: Symbols::Names(&["bufferevent_openssl_", "bufferevent_get_openssl_"]),
    },
    Missing {
        soname: PYTHON,
        symbols: Symbols::Names(&["Py", "_Py"]),
    },
];

/// An undefined symbol of the library: `SSL_read@OPENSSL_1.0.0` or, without a version, `PyList_New`.
#[derive(Debug, PartialEq, Eq)]
struct Symbol {
    name: String,
    node: Option<String>,
}

/// Builds the stub libraries that `library` needs into `folder`. Gives their paths.
///
/// # Errors
/// `nm`, `readelf` or `gcc` is missing or refuses.
pub(super) fn build(library: &Path, folder: &Path) -> Result<Vec<PathBuf>, PackageError> {
    let undefined = undefined_symbols(library)?;
    let needed = needed_libraries(library)?;
    let mut built = Vec::new();
    for renamed in RENAMED.iter().filter(|renamed| needed.contains(renamed.soname)) {
        let path = folder.join(renamed.soname);
        forward(renamed, &path)?;
        built.push(path);
    }
    let missing = MISSING
        .iter()
        .filter(|missing| missing.soname == PYTHON || needed.contains(missing.soname));
    for missing in missing {
        let symbols: Vec<&Symbol> = undefined
            .iter()
            .filter(|symbol| missing.symbols.include(symbol))
            .collect();
        let path = folder.join(missing.soname);
        compile(missing.soname, &symbols, &path)?;
        built.push(path);
    }
    Ok(built)
}

impl Symbols {
    fn include(&self, symbol: &Symbol) -> bool {
        match (self, &symbol.node) {
            (Symbols::Nodes(start), Some(node)) => node.starts_with(start),
            (Symbols::Names(starts), None) => starts.iter().any(|start| symbol.name.starts_with(start)),
            _ => false,
        }
    }
}

/// The names of the libraries that `library` asks for.
fn needed_libraries(library: &Path) -> Result<BTreeSet<String>, PackageError> {
    let said = words_of("readelf", &["--dynamic", "--wide"], library)?;
    let names = said.lines().filter(|line| line.contains("(NEEDED)"));
    let name = |line: &str| line.split_once('[')?.1.split_once(']').map(|(name, _)| name.to_owned());
    Ok(names.filter_map(name).collect())
}

/// The names of the symbols without version that `library` leaves undefined.
pub(super) fn undefined(library: &Path) -> Result<Vec<String>, PackageError> {
    let symbols = undefined_symbols(library)?.into_iter();
    Ok(symbols
        .filter(|symbol| symbol.node.is_none())
        .map(|symbol| symbol.name)
        .collect())
}

fn undefined_symbols(library: &Path) -> Result<Vec<Symbol>, PackageError> {
    Ok(parse(&words_of("nm", &["-D", "--undefined-only"], library)?))
}

pub(super) fn words_of(program: &'static str, arguments: &[&str], library: &Path) -> Result<String, PackageError> {
    let output = run(Command::new(program).args(arguments).arg(library), program, "binutils")?;
    if !output.status.success() {
        return Err(PackageError::Build {
            target: "the stub libraries".to_owned(),
            said: last_line(&output.stderr),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn forward(renamed: &Renamed, path: &Path) -> Result<(), PackageError> {
    let mut command = Command::new("gcc");
    command
        .args(["-shared", "-o"])
        .arg(path)
        .arg(format!("-Wl,-soname,{}", renamed.soname))
        .args(["-Wl,--no-as-needed", &format!("-l:{}", renamed.now)]);
    let output = run(&mut command, "gcc", "gcc libc6-dev")?;
    if output.status.success() {
        return Ok(());
    }
    Err(PackageError::Build {
        target: format!(
            "{} (it takes Debian's libevent-2.1-7 and libevent-pthreads-2.1-7)",
            renamed.soname
        ),
        said: last_line(&output.stderr),
    })
}

/// `nm`'s lines end in the symbol, with its version behind an `@`.
fn parse(lines: &str) -> Vec<Symbol> {
    lines
        .lines()
        .filter_map(|line| line.split_whitespace().next_back())
        .map(|word| match word.split_once('@') {
            Some((name, node)) => Symbol {
                name: name.to_owned(),
                node: Some(node.trim_start_matches('@').to_owned()),
            },
            None => Symbol {
                name: word.to_owned(),
                node: None,
            },
        })
        .collect()
}

fn compile(soname: &str, symbols: &[&Symbol], path: &Path) -> Result<(), PackageError> {
    let source = path.with_extension("c");
    let versions = path.with_extension("map");
    fs::write(&source, source_of(soname, symbols)).map_err(PackageError::io("write", &source))?;
    fs::write(&versions, version_script(symbols)).map_err(PackageError::io("write", &versions))?;
    let output = run(
        Command::new("gcc")
            // The names collide with functions the compiler knows; their types do not matter here.
            .args(["-shared", "-fPIC", "-fno-builtin", "-w", "-o"])
            .arg(path)
            .arg(&source)
            .arg(format!("-Wl,-soname,{soname}"))
            .args(
                symbols
                    .iter()
                    .any(|symbol| symbol.node.is_some())
                    .then(|| format!("-Wl,--version-script,{}", versions.display())),
            ),
        "gcc",
        "gcc libc6-dev",
    )?;
    if !output.status.success() {
        return Err(PackageError::Build {
            target: soname.to_owned(),
            said: last_line(&output.stderr),
        });
    }
    for made in [source, versions] {
        fs::remove_file(&made).map_err(PackageError::io("remove", &made))?;
    }
    Ok(())
}

fn source_of(soname: &str, symbols: &[&Symbol]) -> String {
    let mut source = format!(
        "extern int dprintf(int, const char *, ...);\nextern void abort(void);\n\
         static void called(const char *name) {{\n\
         \x20 dprintf(2, \"%s, a function of {soname} that this testbed has only a stub of, was called\\n\", name);\n\
         \x20 abort();\n}}\n"
    );
    let names: BTreeSet<&str> = symbols.iter().map(|symbol| symbol.name.as_str()).collect();
    for name in names {
        if is_data(name) {
            source += &format!("char {name}[256];\n");
        } else {
            source += &format!("void {name}(void) {{ called(\"{name}\"); }}\n");
        }
    }
    source
}

/// Python's exceptions and its `None` are objects, not functions.
fn is_data(name: &str) -> bool {
    name.starts_with("PyExc_") || name.ends_with("Struct")
}

fn version_script(symbols: &[&Symbol]) -> String {
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for symbol in symbols {
        if let Some(node) = &symbol.node {
            nodes.entry(node).or_default().insert(&symbol.name);
        }
    }
    nodes
        .iter()
        .map(|(node, names)| {
            let names: String = names.iter().map(|name| format!(" {name};")).collect();
            format!("{node} {{ global:{names} }};\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NM: &str = "                 U SSL_read@OPENSSL_1.0.0\n                 U SSL_get0_param@OPENSSL_1.0.2\n\
                      \x20                U curl_easy_init@CURL_OPENSSL_3\n                 U PyList_New\n\
                      \x20                U PyExc_TypeError\n                 U memcpy@GLIBC_2.14\n                 w __gmon_start__\n";

    /// The symbols of [`NM`] that the stub library `soname` gets.
    fn of<'a>(soname: &str, symbols: &'a [Symbol]) -> Vec<&'a Symbol> {
        let missing = MISSING.iter().find(|missing| missing.soname == soname).unwrap();
        symbols
            .iter()
            .filter(|symbol| missing.symbols.include(symbol))
            .collect()
    }

    #[test]
    fn only_missing_libraries_are_stood_in_for() {
        let symbols = parse(NM);
        let names = |soname| {
            of(soname, &symbols)
                .iter()
                .map(|symbol| symbol.name.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("libssl.so.1.0.0"), ["SSL_read", "SSL_get0_param"]);
        assert_eq!(names("libcurl.so.4"), ["curl_easy_init"]);
        assert_eq!(names(PYTHON), ["PyList_New", "PyExc_TypeError"]);
    }

    #[test]
    fn stubs_have_the_symbols_under_their_version_nodes() {
        let folder = tempfile::tempdir().unwrap();
        let symbols = parse(NM);
        let openssl = of("libssl.so.1.0.0", &symbols);
        let path = folder.path().join("libssl.so.1.0.0");
        compile("libssl.so.1.0.0", &openssl, &path).unwrap();

        let output = Command::new("nm")
            .args(["-D", "--defined-only"])
            .arg(&path)
            .output()
            .unwrap();
        let defined = String::from_utf8(output.stdout).unwrap();
        assert!(defined.contains("T SSL_read@@OPENSSL_1.0.0"), "{defined}");
        assert!(defined.contains("T SSL_get0_param@@OPENSSL_1.0.2"), "{defined}");
    }

    #[test]
    fn a_stub_that_is_called_names_itself_and_aborts() {
        let folder = tempfile::tempdir().unwrap();
        let symbols = parse(NM);
        let python = of(PYTHON, &symbols);
        let library = folder.path().join(PYTHON);
        compile(PYTHON, &python, &library).unwrap();
        let main = folder.path().join("main.c");
        fs::write(
            &main,
            "void PyList_New(void); int main(void) { PyList_New(); return 0; }",
        )
        .unwrap();
        let program = folder.path().join("main");
        let compiled = Command::new("gcc")
            .arg(&main)
            .arg(&library)
            .arg("-o")
            .arg(&program)
            .status()
            .unwrap();
        assert!(compiled.success());

        let output = Command::new(&program)
            .env("LD_LIBRARY_PATH", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("PyList_New, a function of libmesos-python-stubs.so"),
            "{said}"
        );
        assert!(std::os::unix::process::ExitStatusExt::signal(&output.status).is_some());
    }
}

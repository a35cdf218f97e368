//! Stability of the ABI: everything listed in `crates/capi/include/ualm.abi` stays until `UALM_ABI_VERSION` is raised.
//!
//! `make header` adds new declarations to the list, and removes none.
#![cfg(all(unix, target_pointer_width = "64"))]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ualm_testing::root;

use crate::installed::{Link, compile, scratch, shared_library, text, works};

/// Returns the header's declarations, without comments and preprocessor lines, with normalized spaces.
fn declarations() -> Vec<String> {
    let header = fs::read_to_string(root().join("crates/capi/include/ualm.h")).unwrap();
    let code: String = header.split("/*").map(|part| part.split_once("*/").map_or(part, |(_, code)| code)).collect();
    let lines = code.lines().filter(|line| !line.starts_with('#'));
    let flat = lines.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut declarations = vec![String::new()];
    let mut depth = 0;
    for letter in flat.replace("extern \"C\" {", "").chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match letter {
            ';' if depth == 0 => declarations.push(String::new()),
            letter => declarations.last_mut().unwrap().push(letter),
        }
    }
    declarations
        .iter()
        .map(|declaration| declaration.trim().to_owned())
        .filter(|d| d.starts_with(char::is_alphabetic))
        .collect()
}

/// Returns the name at the end of a declaration of a field, argument or function.
fn name(declaration: &str) -> &str {
    let end = declaration.trim_end();
    &end[end.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1)..]
}

/// Returns lines that describe the interface, and C code that prints the lines with numbers.
fn describe() -> (BTreeSet<String>, String) {
    let mut lines = BTreeSet::new();
    let mut code = String::new();
    for declaration in declarations() {
        let parts = declaration.split_once('{').map(|(head, rest)| (head, rest.split_once('}').unwrap()));
        match parts {
            Some((head, (body, _))) if head.starts_with("enum") => {
                let of = head.split_whitespace().nth(1).unwrap();
                lines.extend(body.split(',').map(str::trim).filter(|v| !v.is_empty()).map(|v| format!("{of}: {v}")));
            }
            Some((_, (body, after))) => {
                let of = name(after);
                code += &match body.contains("size_t struct_size") {
                    true => format!("puts(\"{of}: grows\");\n"),
                    false => format!("printf(\"{of}: %zu bytes\\n\", sizeof({of}));\n"),
                };
                for field in body.split(';').map(str::trim).filter(|field| !field.is_empty()) {
                    let at = name(field);
                    code += &format!("printf(\"{of}: {field} at %zu\\n\", offsetof({of}, {at}));\n");
                }
            }
            None if declaration.contains('(') => drop(lines.insert(declaration)),
            None => {}
        }
    }
    (lines, code)
}

/// Returns the interface, one line per item.
fn interface() -> BTreeSet<String> {
    let (mut lines, code) = describe();
    let source = scratch("abi.c");
    let program = format!("#include <stdio.h>\n#include <ualm.h>\nint main(void) {{\n{code}return 0;\n}}\n");
    fs::write(&source, program).unwrap();
    let printed = text(&works(&mut Command::new(compile(&source, "abi", Link::Shared, &[]))).stdout);
    lines.extend(printed.lines().map(str::to_owned));
    lines
}

fn abi_version() -> String {
    let header = fs::read_to_string(root().join("crates/capi/include/ualm.h")).unwrap();
    header
        .split("#define ")
        .find(|line| line.starts_with("UALM_ABI_VERSION"))
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn everything_in_the_list_still_exists() {
    let path = root().join("crates/capi/include/ualm.abi");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let mut known = committed.lines();
    let same_version = known.next() == Some(&abi_version());
    let known: BTreeSet<_> = known.map(str::to_owned).collect();
    let found = interface();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        gone.is_empty() || !same_version,
        "the interface has changed for programs that are compiled already: {gone:#?}\n\
         Undo it, or raise UALM_ABI_VERSION in crates/capi/src/version.rs. (Before a release has this version: delete \
         crates/capi/include/ualm.abi and run `make header`.)"
    );
    if std::env::var_os("UALM_WRITE_HEADER").is_some() {
        let lines: Vec<_> = found.iter().map(String::as_str).collect();
        fs::write(&path, format!("{}\n{}\n", abi_version(), lines.join("\n"))).unwrap();
    } else {
        assert!(
            known == found && same_version,
            "crates/capi/include/ualm.abi lacks what is new: run `make header` and commit it"
        );
    }
}

#[test]
fn the_library_exports_exactly_the_header_s_functions() {
    let flag = if cfg!(target_os = "macos") { "-gU" } else { "-D" };
    let listed = text(&works(Command::new("nm").arg(flag).arg(shared_library())).stdout);
    let defined = listed.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "T" | "D" | "B" | "R" | "V" | "W", name] => Some(name.trim_start_matches('_').to_owned()),
        _ => None,
    });
    let declared = declarations().into_iter().filter(|d| d.contains('(') && !d.starts_with("typedef"));
    let declared: BTreeSet<_> = declared.map(|d| name(d.split('(').next().unwrap()).to_owned()).collect();
    assert_eq!(defined.collect::<BTreeSet<_>>(), declared);
}

#[cfg(target_os = "linux")]
#[test]
fn the_library_s_name_has_the_version() {
    let number = abi_version().split_whitespace().nth(1).unwrap().to_owned();
    let wanted = format!("libualm.so.{number}");
    assert_eq!(shared_library().canonicalize().unwrap().file_name().unwrap().to_str(), Some(wanted.as_str()));
    let bytes = fs::read(shared_library()).unwrap();
    assert!(bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes()), "no SONAME {wanted}");
    let manifest = fs::read_to_string(root().join("crates/capi/Cargo.toml")).unwrap();
    let for_cargo_c = format!("[package.metadata.capi.library]\nname = \"ualm\"\nversion = \"{number}.");
    assert!(manifest.contains(&for_cargo_c), "crates/capi/Cargo.toml gives cargo-c another version than {number}");
}

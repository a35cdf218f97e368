//! The program `ualm`.

fn main() -> std::process::ExitCode {
    ualm_cli::main()
}

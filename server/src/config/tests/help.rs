//! The help text is complete and agrees with the contract.

use clap::CommandFactory;

use super::*;

#[test]
fn the_settings_are_exactly_those_of_the_contract() {
    let command = Flags::command();
    let found: Vec<_> = flags::settings(&command).map(flags::variable).collect();
    let wanted: Vec<_> = variables().collect();
    assert_eq!(found, wanted);
    for arg in command.get_arguments() {
        assert!(arg.is_positional() || arg.get_long().is_some(), "{arg}");
    }
}

#[test]
fn help_lists_every_setting_with_its_variable_and_default_under_its_heading() {
    let error = parsed(&["--help"], &[("SEED", "not looked at")]).unwrap_err();
    assert!(error.is_help());
    assert_eq!(error.exit_code(), 0);
    let help = error.to_string();
    let one_line: String = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for arg in Flags::command()
        .get_arguments()
        .filter(|arg| arg.get_id() != "help")
    {
        let long = arg.get_long().unwrap();
        let id = arg.get_id().as_str();
        if id == "version" {
            continue;
        }
        let variable = flags::variable(id);
        let plain = format!("--{long} <{variable}>");
        assert!(
            help.contains(&plain) || help.contains(&format!("--{long}[=<{variable}>]")),
            "{long}"
        );
        let text = one_line.split(&format!("--{long}")).nth(1).unwrap();
        let text = text.split(" --").next().unwrap();
        let says_default = text.contains("[default: ");
        assert!(
            says_default || ["port", "record_dir"].contains(&id),
            "{long}: {text}"
        );
    }
    for (name, default) in VARIABLES.iter().filter(|(_, default)| *default != "-") {
        let text = one_line.split(&format!("<{name}>")).nth(1).unwrap();
        let found = text
            .split("[default: ")
            .nth(1)
            .unwrap()
            .split(']')
            .next()
            .unwrap();
        assert_eq!(found, *default, "{name}");
    }
    let headings = [
        "Network",
        "Redis",
        "Authentication",
        "Publishing",
        "Delivery",
        "Limits",
        "Logs and metrics",
        "Recording",
    ];
    let places: Vec<_> = headings
        .iter()
        .map(|heading| help.find(&format!("\n{heading}:\n")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    assert!(
        help.starts_with("A Socket.IO server for live trading dashboards"),
        "{help}"
    );
    assert!(help.contains("Usage: tradewire [OPTIONS]"), "{help}");
    assert!(help.contains("tradewire doctor --help"), "{help}");
    assert!(help.ends_with('\n') && !help.contains('\u{1b}'));
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
}

#[test]
fn version_is_one_line() {
    let error = parsed(&["--version"], &[]).unwrap_err();
    assert!(error.is_help());
    assert_eq!(
        error.to_string(),
        format!("tradewire {}\n", env!("CARGO_PKG_VERSION"))
    );
}

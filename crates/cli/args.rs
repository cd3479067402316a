//! Command-line arguments.

use clap::{Parser, Subcommand};

use crate::{
    commands::{
        archive, compare, completions, config, console, export, fault, limits, log, man, mews, open, replay, resend,
        review, serve, sessions, show, simulate, tail, top, tour, verify,
    },
    error::Usage,
    global::GlobalArgs,
};

/// A recording reverse proxy for the Mews Connector API that keeps an integration within the request limits.
#[derive(Debug, Parser)]
#[command(
    name = "nightaudit",
    version,
    disable_help_subcommand = true,
    infer_subcommands = true,
    after_help = "`nightaudit COMMAND --help` has details and examples.",
    after_long_help = "\
Examples:
  nightaudit try                             a demonstration of 15 seconds
  nightaudit serve                           proxy Mews Demo on 127.0.0.1:8080
  nightaudit open                            see the traffic in the browser
  nightaudit tail --status 4xx,5xx           watch failed requests
  nightaudit show last-error                 the last failure
  nightaudit export --format har --since 1h  a file for any HAR viewer
  nightaudit simulate                        a simulated Mews on 127.0.0.1:8090
  nightaudit export --format bundle          the evidence, in one signed file

Every configuration key is also an environment variable: NIGHTAUDIT_LISTEN, NIGHTAUDIT_TIMEOUTS_CONNECT.
`nightaudit config show` lists all keys and their values."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Try(tour::Try),
    Serve(Box<serve::Serve>),
    Open(open::Open),
    Tail(Box<tail::Tail>),
    Top(Box<top::Top>),
    Show(show::Show),
    Sessions(sessions::Sessions),
    Limits(limits::Limits),
    Fault(fault::Fault),
    Review(Box<review::Review>),
    Compare(Box<compare::Compare>),
    Export(Box<export::Export>),
    Verify(verify::Verify),
    Log(log::Log),
    Archive(archive::Archive),
    Console(console::Console),
    Simulate(Box<simulate::Simulate>),
    Replay(Box<replay::Replay>),
    Resend(Box<resend::Resend>),
    Mews(mews::Mews),
    Config(config::Config),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Whether this command reads archives; an error that says which do.
    pub(crate) fn check_reads_archives(&self) -> anyhow::Result<()> {
        let reads = match self {
            Self::Tail(_) | Self::Top(_) | Self::Show(_) | Self::Review(_) | Self::Compare(_) | Self::Export(_) => true,
            Self::Verify(_) | Self::Console(_) | Self::Archive(_) => true,
            Self::Sessions(sessions) => sessions.lists(),
            Self::Log(log) => log.reads_archives(),
            _ => false,
        };
        let message = "only tail, top, show, sessions, review, compare, export, verify, console, `log info`, `log check`, \
                       `log delete` and archive take --log postgres://…: nodes ship to the archive that `archive` in the \
                       configuration names";
        if reads { Ok(()) } else { Err(Usage::new(message).into()) }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_is_as_it_was() {
        let mut whole = String::new();
        let mut command = Arguments::command().term_width(100);
        command.build();
        whole.push_str(&command.render_long_help().to_string());
        for sub in command.get_subcommands_mut() {
            let help = sub.render_long_help();
            whole.push_str(&format!("\n\n######## {} ########\n\n{help}", sub.get_name()));
        }
        insta::assert_snapshot!(whole);
    }

    /// The words of a line, as a shell takes them; the only quotes are single ones around a whole word.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        let pieces = quoted.map(|(place, piece)| match place % 2 {
            1 => vec![piece.to_owned()],
            _ => piece.split_whitespace().map(str::to_owned).collect(),
        });
        pieces.flatten().collect()
    }

    #[test]
    fn every_example_can_be_typed() {
        let mut examples = 0;
        let mut command = Arguments::command();
        command.build();
        let mut pages: Vec<String> = command.get_after_long_help().map(ToString::to_string).into_iter().collect();
        pages.extend(command.get_subcommands().filter_map(|sub| Some(sub.get_after_long_help()?.to_string())));
        for line in pages.iter().flat_map(|page| page.lines()).filter(|line| line.starts_with("  nightaudit ")) {
            // Explanations follow two spaces; pipes, redirections and continued lines aren't ours.
            let typed = line.trim().split("  ").next().unwrap();
            let typed = typed.split([';', '|', '>', '\\']).next().unwrap();
            // A fingerprint is too long for an example.
            let typed = typed.replace("SHA256:…", &format!("SHA256:{}", "A".repeat(43)));
            let parsed = Arguments::try_parse_from(words(&typed));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            examples += 1;
        }
        assert!(examples > 15, "only {examples} examples");
    }
}

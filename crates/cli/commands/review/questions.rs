//! Asks on the terminal for what Mews' certification form wants and the session can't tell.

use std::io::{self, BufRead, Read as _, Write};

use nightaudit_mews::use_cases;
use nightaudit_review::{Declaration, IntegrationKind};
use nightaudit_text::plain;

/// The longest answer accepted, in bytes.
const LONGEST: u64 = 4 << 10;

/// Asks the questions in turn. Return accepts the default in brackets, `-` omits the key; after the end of the input all
/// remaining questions keep their defaults.
///
/// # Errors
///
/// Reading or writing failed.
pub(super) fn ask(known: Declaration, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<Declaration> {
    writeln!(
        out,
        "Questions of the certification form. Return accepts the value in brackets, - skips the question.\n"
    )?;
    let mut form = Form { input, out };
    let kind = form.choice(
        "public (to be listed in the Marketplace) or private (for one customer)?",
        Some(match known.kind {
            IntegrationKind::Public => "public",
            IntegrationKind::Private => "private",
        }),
        &["public", "private"],
    )?;
    let kind = if kind.as_deref() == Some("private") { IntegrationKind::Private } else { IntegrationKind::Public };
    let partner = form.text("Partner id at Mews, such as INT12345", known.partner)?;
    let contact = form.text("Contact for the reviewers: name and e-mail address", known.contact)?;
    let integration = form.text("Name of the integration", known.integration)?;
    let pilot = form.text("First property to use it", known.pilot)?;
    let webhooks = form.yes_or_no("Does it receive webhooks?", known.webhooks)?;
    let websocket = form.yes_or_no("Does it receive WebSocket events?", known.websocket)?;
    let names: Vec<&str> = use_cases().iter().map(|case| &*case.name).collect();
    let use_case = form.choice("Which documented use case does it follow?", known.use_case.as_deref(), &names)?;
    writeln!(form.out)?;
    Ok(Declaration { kind, partner, contact, integration, pilot, webhooks, websocket, use_case, ..known })
}

/// An answer.
enum Answer {
    Default,
    Open,
    Said(String),
}

struct Form<'a, R, W> {
    input: &'a mut R,
    out: &'a mut W,
}

impl<R: BufRead, W: Write> Form<'_, R, W> {
    fn text(&mut self, question: &str, default: Option<String>) -> io::Result<Option<String>> {
        Ok(match self.answer(question, default.as_deref())? {
            Answer::Default => default,
            Answer::Open => None,
            Answer::Said(text) => Some(text),
        })
    }

    fn yes_or_no(&mut self, question: &str, default: Option<bool>) -> io::Result<Option<bool>> {
        let default = default.map(|yes| if yes { "yes" } else { "no" });
        let answer = self.choice(question, default, &["yes", "no", "y", "n"])?;
        Ok(answer.map(|answer| answer.starts_with('y')))
    }

    /// Asks until the answer is one of `choices`, ignoring case.
    fn choice(&mut self, question: &str, default: Option<&str>, choices: &[&str]) -> io::Result<Option<String>> {
        loop {
            match self.answer(question, default)? {
                Answer::Default => return Ok(default.map(str::to_owned)),
                Answer::Open => return Ok(None),
                Answer::Said(text) => {
                    if let Some(choice) = choices.iter().find(|choice| choice.eq_ignore_ascii_case(&text)) {
                        return Ok(Some((*choice).to_owned()));
                    }
                    let listed = choices.iter().filter(|choice| choice.len() > 1).copied().collect::<Vec<_>>();
                    writeln!(self.out, "  one of {}", listed.join(", "))?;
                }
            }
        }
    }

    fn answer(&mut self, question: &str, default: Option<&str>) -> io::Result<Answer> {
        let default = default.map_or_else(String::new, |default| format!(" [{}]", plain(default)));
        write!(self.out, "{question}{default} ")?;
        self.out.flush()?;
        let mut line = Vec::new();
        (&mut *self.input).take(LONGEST).read_until(b'\n', &mut line)?;
        let line = plain(String::from_utf8_lossy(&line).trim());
        Ok(match &*line {
            "" => Answer::Default,
            "-" => Answer::Open,
            _ => Answer::Said(line),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(known: Declaration, input: &str) -> (Declaration, String) {
        let mut out = Vec::new();
        let declaration = ask(known, &mut input.as_bytes(), &mut out).unwrap();
        (declaration, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_said_is_declared() {
        let input = "Private\nINT12345\nAnn, ann@acme.example\nAcme Kiosk\nHotel Acme\nY\nno\nKIOSK\n";
        let (declaration, out) = asked(Declaration::default(), input);
        let expected = Declaration {
            kind: IntegrationKind::Private,
            partner: Some("INT12345".into()),
            contact: Some("Ann, ann@acme.example".into()),
            integration: Some("Acme Kiosk".into()),
            pilot: Some("Hotel Acme".into()),
            webhooks: Some(true),
            websocket: Some(false),
            use_case: Some("kiosk".into()),
            ..Declaration::default()
        };
        assert_eq!(declaration, expected);
        assert_eq!(out.matches("? ").count(), 4, "{out}");
    }

    #[test]
    fn return_takes_the_guess_a_dash_leaves_it_open_and_the_end_asks_no_more() {
        let known = Declaration {
            integration: Some("Acme Kiosk".into()),
            client: Some("Acme Kiosk".into()),
            websocket: Some(true),
            use_case: Some("kiosk".into()),
            ..Declaration::default()
        };
        for input in ["", "\n\n\n\n\n\n\n\n", "public\r\n"] {
            assert_eq!(asked(known.clone(), input).0, known, "{input:?}");
        }
        let (declaration, out) = asked(known.clone(), "\n\n\n-\n\n\n-\n-\n");
        assert_eq!((declaration.integration, declaration.websocket, declaration.use_case), (None, None, None));
        assert!(out.contains("[Acme Kiosk]") && out.contains("[yes]") && out.contains("[kiosk]"), "{out}");
        // `Client` isn't asked for: it is what the session sends.
        assert_eq!(declaration.client, known.client);
    }

    #[test]
    fn what_is_no_choice_is_asked_again() {
        let (declaration, out) = asked(Declaration::default(), "both\nprivate\n\n\n\n\nmaybe\ny\n\nkiosks\nkiosk\n");
        assert_eq!((declaration.kind, declaration.webhooks), (IntegrationKind::Private, Some(true)));
        assert_eq!(declaration.use_case.as_deref(), Some("kiosk"));
        assert!(out.contains("one of public, private\n") && out.contains("one of yes, no\n"), "{out}");
        assert!(out.contains("one of accounting, "), "{out}");
    }

    #[test]
    fn an_answer_is_bounded_and_gives_no_orders() {
        let input = format!("\n\u{1b}[2JINT{}\n", "9".repeat(1 << 20));
        let partner = asked(Declaration::default(), &input).0.partner.unwrap();
        assert!(partner.len() <= LONGEST as usize + 8 && !partner.contains('\u{1b}'));
    }
}

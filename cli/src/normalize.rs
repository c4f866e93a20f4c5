//! `mailroom normalize`: what the feedback and inbound functions would record, without any AWS.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use mailroom_core::envelope::{self, Message};
use mailroom_core::feedback;
use mailroom_core::inbound::{self, Found, Location, Receipt, Rules, Structure};
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::notification::Reading;
use mailroom_core::record::{Record, Retention};
use mailroom_core::text::is_invisible;

use crate::exit;

/// Print the records that a payload would become, one JSON object a line
///
/// The payload may be a Lambda event of SQS, SNS, EventBridge or a receipt rule, SNS's envelope, or
/// the bare notification that SES wrote: they are told apart by content. All kinds are printed;
/// which of them a stack stores is its parameter `KindsNotStored`. Of a mail that was received,
/// what only S3 knows is null, and its structure too unless the mail came with the notification.
///
/// Exit status: 0 with the records; 0 with nothing but a line on stderr for a message that is
/// acknowledged and ignored; 2 with a line on stderr that names the field for each message that
/// can't be read (the others are printed); 1 if the input itself can't be read.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom normalize events/feedback/bounce-permanent-general.json
  aws sqs receive-message --queue-url URL --query 'Messages[0].Body' --output text | mailroom normalize"
)]
pub(crate) struct Normalize {
    /// The payload; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The Region to record where neither the notification nor its envelope names one
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl Normalize {
    pub(crate) fn run(&self) -> ExitCode {
        let payload = match self.read() {
            Ok(payload) => payload,
            Err(error) => return exit::fail(&format!("{}: {error}", self.file.display())),
        };
        let printed = self.print(&payload, &mut io::stdout().lock(), &mut io::stderr().lock());
        let unreadable = matches!(printed, Ok(false));
        let status = if unreadable { ExitCode::from(2) } else { ExitCode::SUCCESS };
        exit::end(printed.map(|_| ()), status)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        if self.file.as_os_str() != "-" {
            return std::fs::read(&self.file);
        }
        let mut payload = Vec::new();
        io::stdin().lock().read_to_end(&mut payload)?;
        Ok(payload)
    }

    /// Prints the records; whether every message could be read.
    fn print(&self, payload: &[u8], out: &mut impl Write, err: &mut impl Write) -> io::Result<bool> {
        let opened = std::str::from_utf8(payload)
            .map_err(|_| Malformed::new("", Problem::NotUtf8))
            .and_then(envelope::open);
        let messages = match opened {
            Ok(payload) => payload.messages,
            Err(error) => {
                writeln!(err, "mailroom: {error}")?;
                return Ok(false);
            }
        };
        if messages.is_empty() {
            writeln!(err, "mailroom: no messages in this payload")?;
        }
        let mut readable = true;
        for message in messages {
            for error in self.print_message(&message, out, err)? {
                readable = false;
                writeln!(err, "mailroom: {error}")?;
            }
        }
        out.flush()?;
        Ok(readable)
    }

    /// Prints a message's records; what of it can't be read.
    fn print_message(
        &self,
        message: &Message,
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<Vec<Malformed>> {
        match &message.reading {
            Ok(Reading::Feedback(notification)) => {
                let home = self.region.as_deref();
                match feedback::normalize(notification, &message.origin, home, Retention::default()) {
                    Ok(normalized) => print_records(&normalized.records, normalized.malformed, message, out),
                    Err(error) => Ok(vec![error.within(&message.path)]),
                }
            }
            Ok(Reading::Received(receipt)) => match self.received(receipt, message) {
                Ok(normalized) => print_records(&normalized.records, normalized.malformed, message, out),
                Err(error) => Ok(vec![error.within(&message.path)]),
            },
            Ok(Reading::Ignored(notice)) => {
                writeln!(err, "mailroom: ignored: {notice}")?;
                Ok(Vec::new())
            }
            Err(error) => Ok(vec![error.clone()]),
        }
    }

    fn received(&self, receipt: &Receipt, message: &Message) -> Result<inbound::Normalized, Malformed> {
        let found = Found {
            location: Location::of(receipt, None),
            object: None,
            structure: receipt.content()?.map(|content| Structure::read(&content, true)),
        };
        let rules = Rules { home: self.region.as_deref(), ..Rules::default() };
        inbound::normalize(receipt, &message.origin, &found, rules)
    }
}

/// Prints them; what could not be read beside them, with the path in the payload.
fn print_records(
    records: &[impl Record],
    malformed: Vec<Malformed>,
    message: &Message,
    out: &mut impl Write,
) -> io::Result<Vec<Malformed>> {
    for record in records {
        writeln!(out, "{}", mailroom_core::escaped_json::to_string(record, is_invisible)?)?;
    }
    Ok(malformed.into_iter().map(|error| error.within(&message.path)).collect())
}

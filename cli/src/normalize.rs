//! `mailroom normalize`: what the feedback and inbound functions would record, without any AWS.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use mailroom_core::envelope::{self, PayloadMessage};
use mailroom_core::feedback;
use mailroom_core::inbound::{self, InboundSettings, MailInspection, MailStructure, ObjectLocation, Receipt};
use mailroom_core::malformed::{InputProblem, MalformedInput};
use mailroom_core::notification::ParsedMessage;
use mailroom_core::record::{Retention, TableItem};
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
pub(crate) struct NormalizeCommand {
    /// The payload; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The Region to record where neither the notification nor its envelope names one
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

/// Whether every message of a payload could be read.
enum PayloadReadability {
    AllReadable,
    SomeMalformed,
}

impl NormalizeCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let payload = match self.read_payload() {
            Ok(payload) => payload,
            Err(error) => return exit::fail_with_error(&format!("{}: {error}", self.file.display())),
        };
        let printed =
            self.print_payload_records(&payload, &mut io::stdout().lock(), &mut io::stderr().lock());
        let status = match printed {
            Ok(PayloadReadability::SomeMalformed) => ExitCode::from(2),
            Ok(PayloadReadability::AllReadable) | Err(_) => ExitCode::SUCCESS,
        };
        exit::exit_after_printing(printed.map(|_| ()), status)
    }

    fn read_payload(&self) -> io::Result<Vec<u8>> {
        if self.file.as_os_str() != "-" {
            return std::fs::read(&self.file);
        }
        let mut payload = Vec::new();
        io::stdin().lock().read_to_end(&mut payload)?;
        Ok(payload)
    }

    /// Prints the records, and what can't be read.
    fn print_payload_records(
        &self,
        payload: &[u8],
        out: &mut impl Write,
        err: &mut impl Write,
    ) -> io::Result<PayloadReadability> {
        let opened = std::str::from_utf8(payload)
            .map_err(|_| MalformedInput::new("", InputProblem::NotUtf8))
            .and_then(envelope::open_payload);
        let messages = match opened {
            Ok(payload) => payload.messages,
            Err(error) => {
                writeln!(err, "mailroom: {error}")?;
                return Ok(PayloadReadability::SomeMalformed);
            }
        };
        if messages.is_empty() {
            writeln!(err, "mailroom: no messages in this payload")?;
        }
        let mut readability = PayloadReadability::AllReadable;
        for message in messages {
            for error in self.print_message_records(&message, out, err)? {
                readability = PayloadReadability::SomeMalformed;
                writeln!(err, "mailroom: {error}")?;
            }
        }
        out.flush()?;
        Ok(readability)
    }

    /// Prints a message's records; what of it can't be read.
    fn print_message_records(
        &self,
        message: &PayloadMessage,
        out: &mut impl Write,
        notice_out: &mut impl Write,
    ) -> io::Result<Vec<MalformedInput>> {
        match &message.content {
            Ok(ParsedMessage::Feedback(notification)) => {
                let home = self.region.as_deref();
                match feedback::normalize(notification, &message.origin, home, Retention::default()) {
                    Ok(normalized) => {
                        print_records(&normalized.records, out)?;
                        Ok(prefix_fields(normalized.malformed_recipients, &message.path))
                    }
                    Err(error) => Ok(vec![error.prefix_field(&message.path)]),
                }
            }
            Ok(ParsedMessage::Received(receipt)) => match self.normalize_receipt(receipt, message) {
                Ok(normalized) => {
                    print_records(&normalized.records, out)?;
                    Ok(prefix_fields(normalized.malformed_recipients, &message.path))
                }
                Err(error) => Ok(vec![error.prefix_field(&message.path)]),
            },
            Ok(ParsedMessage::Ignored(notice)) => {
                writeln!(notice_out, "mailroom: ignored: {notice}")?;
                Ok(Vec::new())
            }
            Err(error) => Ok(vec![error.clone()]),
        }
    }

    fn normalize_receipt(
        &self,
        receipt: &Receipt,
        message: &PayloadMessage,
    ) -> Result<inbound::NormalizedReceipt, MalformedInput> {
        let found = MailInspection {
            location: ObjectLocation::from_receipt(receipt, None),
            object: None,
            structure: receipt.content()?.map(|content| MailStructure::parse(&content, true)),
        };
        let rules = InboundSettings { default_region: self.region.as_deref(), ..InboundSettings::default() };
        inbound::normalize_valid_recipients(receipt, &message.origin, &found, rules)
    }
}

fn print_records(records: &[impl TableItem], out: &mut impl Write) -> io::Result<()> {
    for record in records {
        writeln!(out, "{}", mailroom_core::escaped_json::to_escaped_json(record, is_invisible)?)?;
    }
    Ok(())
}

/// Puts the message's path in the payload before the field of each error.
fn prefix_fields(malformed: Vec<MalformedInput>, path: &str) -> Vec<MalformedInput> {
    malformed.into_iter().map(|error| error.prefix_field(path)).collect()
}

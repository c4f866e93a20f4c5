//! An AWS that answers what a test has it answer.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;

/// A request, as far as an answer depends on it.
pub(crate) struct Request {
    /// By its signature.
    pub(crate) region: String,
    /// By its signature: `dynamodb`
    pub(crate) service: String,
    /// `POST /v2/email/identities`
    pub(crate) line: String,
    pub(crate) body: String,
}

/// Status and body.
pub(crate) type Answer = (u16, String);

/// Serves for as long as the process lives; its URL.
fn serve(answer: fn(&Request) -> Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || one(stream, answer));
        }
    });
    url
}

fn one(stream: TcpStream, answer: fn(&Request) -> Answer) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        head.push(line.trim_end().to_owned());
        line.clear();
    }
    // A connection that is opened and not used.
    let Some(first) = head.first() else { return };
    let header = |name: &str| {
        let of = |line: &String| {
            line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        };
        head.iter().filter_map(of).find(|(of, _)| of == name).map(|(_, value)| value)
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    // `AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, …`
    let signed = header("authorization").unwrap();
    let scope: Vec<_> = signed.split(['/', ',']).collect();
    let request = Request {
        region: scope[2].to_owned(),
        service: scope[3].to_owned(),
        line: first.trim_end_matches(" HTTP/1.1").to_owned(),
        body: String::from_utf8(body).unwrap(),
    };
    let (status, body) = answer(&request);
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
}

/// The command as a user runs it, with an AWS or without: status, standard output, standard error.
pub(crate) fn mailroom(arguments: &[&str], answer: Option<fn(&Request) -> Answer>) -> (i32, String, String) {
    told(command(arguments, answer).output().unwrap())
}

/// The same with a reader of standard output that has gone already: status, standard error.
pub(crate) fn mailroom_unread(arguments: &[&str], answer: fn(&Request) -> Answer) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command(arguments, Some(answer)).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let (status, _, err) = told(child.wait_with_output().unwrap());
    (status, err)
}

fn command(arguments: &[&str], answer: Option<fn(&Request) -> Answer>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mailroom"));
    command.args(arguments).env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    // The clock of this test, if it is shifted (tests/at-date).
    command.envs(std::env::vars().filter(|(name, _)| name == "LD_PRELOAD" || name.starts_with("FAKETIME")));
    if let Some(answer) = answer {
        command.envs([("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
        command.env("AWS_REGION", "us-east-1").env("AWS_ENDPOINT_URL", serve(answer));
    }
    command
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What CloudFormation answers of a stack that has these outputs.
pub(crate) fn stack(outputs: &[(&str, &str)]) -> Answer {
    let output = |(name, value): &(&str, &str)| {
        format!("<member><OutputKey>{name}</OutputKey><OutputValue>{value}</OutputValue></member>")
    };
    let outputs: String = outputs.iter().map(output).collect();
    let stack = format!(
        "<member><StackName>mailroom</StackName><CreationTime>2026-11-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>{outputs}</Outputs></member>"
    );
    let result = format!("<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>");
    (200, format!("<DescribeStacksResponse>{result}</DescribeStacksResponse>"))
}

//! Deploys a SAM template as `sam deploy` would: packs each function's binary, uploads it, and lets CloudFormation make the
//! stack from a change set.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_cloudformation::types::{Capability, ChangeSetStatus, ChangeSetType, Parameter, StackStatus};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::time::Instant;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::clients::{Clients, told};
use crate::paths;

/// How long a stack may take to be made. It takes some seconds when nothing else runs.
const DEPLOY_WITHIN: Duration = Duration::from_mins(2);

/// The template's key in the bucket.
const TEMPLATE: &str = "template.yaml";

/// The pause between two looks at a stack.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why a stack could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// A file of the workspace cannot be read.
    #[error("could not read {}: {source}", .path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A function has not been built.
    #[error("{} is not there; `make local` makes it", .path.display())]
    NotBuilt {
        /// The function's name.
        function: String,
        /// The path where its binary should be.
        path: PathBuf,
    },
    /// A line of the template names code in a way that the harness does not understand.
    #[error("the template's line {line} says `{text}`: which binary is that?")]
    Code {
        /// The line's number, counted from 1.
        line: usize,
        /// The line's text.
        text: String,
    },
    /// A zip file could not be made.
    #[error("could not pack {function}: {source}")]
    Pack {
        /// The function's name.
        function: String,
        /// The error of the zip library.
        source: zip::result::ZipError,
    },
    /// The local AWS refused a call.
    #[error("{region}: {what}: {message}")]
    Call {
        /// The Region of the call.
        region: String,
        /// What was tried.
        what: &'static str,
        /// The local AWS's error.
        message: String,
    },
    /// CloudFormation gave up.
    #[error("{region}: the stack {stack} is {status}:\n{events}")]
    Failed {
        /// The Region of the stack.
        region: String,
        /// The stack's name.
        stack: String,
        /// The stack's status.
        status: String,
        /// The events of resources that failed, one line each.
        events: String,
    },
    /// The stack was not made in the time that it was given.
    #[error("{region}: the stack {stack} was not there after {} s", DEPLOY_WITHIN.as_secs())]
    Slow {
        /// The Region of the stack.
        region: String,
        /// The stack's name.
        stack: String,
    },
}

/// What to deploy: a template with its parameters and binaries.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The stack's name, with which the names of its topic, queues and table begin.
    pub stack: String,
    /// The template's path.
    pub template: PathBuf,
    /// The stack's parameters. `Architecture` is this machine's unless it is given.
    pub parameters: BTreeMap<String, String>,
    /// The paths of binaries to use in place of the workspace's own, by function.
    pub binaries: BTreeMap<String, PathBuf>,
    /// Whether functions have no code, except those in `binaries`. Then they need not have been built, and cannot be
    /// invoked.
    pub idle: bool,
}

impl Deployment {
    /// A deployment of the workspace's own template.
    pub fn new(stack: &str) -> Self {
        Self {
            stack: stack.to_owned(),
            template: paths::template(),
            parameters: BTreeMap::from([("Architecture".to_owned(), architecture().to_owned())]),
            binaries: BTreeMap::new(),
            idle: false,
        }
    }

    /// Leaves out the functions' code, for tests that want a stack's tables and queues, and invoke nothing.
    #[must_use]
    pub fn idle(self) -> Self {
        Self { idle: true, ..self }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: impl Into<String>) -> Self {
        self.parameters.insert(name.to_owned(), value.into());
        self
    }

    /// Deploys another binary as a function.
    #[must_use]
    pub fn binary(mut self, function: &str, path: impl Into<PathBuf>) -> Self {
        self.binaries.insert(function.to_owned(), path.into());
        self
    }

    /// Reads the template and packs the code that it names. This is done once for all Regions.
    pub fn package(&self) -> Result<Package, StackError> {
        let template = std::fs::read_to_string(&self.template)
            .map_err(|source| StackError::Read { path: self.template.clone(), source })?;
        let mut objects = BTreeMap::new();
        for function in code_of(&template)?.into_iter().map(|code| code.function) {
            let none = self.idle.then(|| PathBuf::from("/bin/true"));
            let given = self.binaries.get(&function).cloned().or(none);
            let path = given.unwrap_or_else(|| paths::binary(&function));
            if !path.is_file() {
                return Err(StackError::NotBuilt { function, path });
            }
            let archive = zip_bootstrap(&function, &path)?;
            objects.insert(function, archive);
        }
        Ok(Package { deployment: self.clone(), template, objects })
    }
}

/// Lambda's name of this machine's architecture, on which functions run natively.
pub fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

/// A template and the zip files of its functions.
#[derive(Debug, Clone)]
pub struct Package {
    deployment: Deployment,
    template: String,
    objects: BTreeMap<String, Bytes>,
}

/// A stack's outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The values of the outputs, by key.
    values: BTreeMap<String, String>,
}

impl Outputs {
    /// The value of an output.
    ///
    /// # Panics
    /// If the template has no output of that name, which is a mistake of the test's.
    pub fn get(&self, key: &str) -> &str {
        let Some(value) = self.values.get(key) else {
            panic!("the stack has no output {key}, but {:?}", self.values)
        };
        value
    }

    /// All outputs with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is an output of that name.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }
}

impl Package {
    /// Makes the stack in a Region, and waits until it is there.
    pub async fn deploy(&self, clients: &Clients, region: &str) -> Result<Outputs, StackError> {
        let task = Task { package: self, clients, region, stack: &self.deployment.stack };
        let bucket = format!("{}-code-{region}", self.deployment.stack);
        let template = with_code(&self.template, |function| format!("s3://{bucket}/{function}.zip"))?;
        task.upload(&bucket, template).await?;
        task.create(&bucket).await?;
        task.outputs().await
    }
}

/// A stack that is being made.
struct Task<'a> {
    package: &'a Package,
    clients: &'a Clients,
    region: &'a str,
    stack: &'a str,
}

impl Task<'_> {
    fn refused<E: std::error::Error + 'static>(&self, what: &'static str) -> impl Fn(E) -> StackError {
        let region = self.region.to_owned();
        move |error| StackError::Call { region: region.clone(), what, message: told(&error) }
    }

    async fn upload(&self, bucket: &str, template: String) -> Result<(), StackError> {
        use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

        let s3 = &self.clients.s3;
        // us-east-1 is the only Region that must not be named as a bucket's location.
        let elsewhere = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region))
                .build()
        });
        s3.create_bucket()
            .bucket(bucket)
            .set_create_bucket_configuration(elsewhere)
            .send()
            .await
            .map_err(self.refused("make a bucket for the code"))?;
        let archives = self.package.objects.iter();
        let archives = archives.map(|(function, archive)| (format!("{function}.zip"), archive.clone()));
        for (key, body) in archives.chain([(TEMPLATE.to_owned(), Bytes::from(template))]) {
            s3.put_object()
                .bucket(bucket)
                .key(key)
                .body(ByteStream::from(body))
                .customize()
                // Otherwise the SDK would hash each program, in code that is not optimised here, which took most of a
                // deployment.
                .disable_payload_signing()
                .send()
                .await
                .map_err(self.refused("upload the code"))?;
        }
        Ok(())
    }

    async fn create(&self, bucket: &str) -> Result<(), StackError> {
        const CHANGE_SET: &str = "create";
        let cloudformation = &self.clients.cloudformation;
        let parameters = self
            .package
            .deployment
            .parameters
            .iter()
            .map(|(key, value)| Parameter::builder().parameter_key(key).parameter_value(value).build())
            .collect();
        cloudformation
            .create_change_set()
            .stack_name(self.stack)
            .change_set_name(CHANGE_SET)
            .change_set_type(ChangeSetType::Create)
            .capabilities(Capability::CapabilityIam)
            .capabilities(Capability::CapabilityNamedIam)
            .capabilities(Capability::CapabilityAutoExpand)
            .set_parameters(Some(parameters))
            // By URL, as `sam deploy` does: a template that is part of the call may have no more than 51,200 bytes.
            .template_url(format!("https://s3.{}.amazonaws.com/{bucket}/{TEMPLATE}", self.region))
            .send()
            .await
            .map_err(self.refused("make a change set"))?;

        let until = Instant::now() + DEPLOY_WITHIN;
        loop {
            let seen = cloudformation
                .describe_change_set()
                .stack_name(self.stack)
                .change_set_name(CHANGE_SET)
                .send()
                .await
                .map_err(self.refused("look at the change set"))?;
            match seen.status() {
                Some(ChangeSetStatus::CreateComplete) => break,
                Some(ChangeSetStatus::Failed) => {
                    let reason = seen.status_reason().unwrap_or("no reason given").to_owned();
                    return Err(self.failed("without a change set".to_owned(), reason));
                }
                _ => self.pause(until).await?,
            }
        }
        cloudformation
            .execute_change_set()
            .stack_name(self.stack)
            .change_set_name(CHANGE_SET)
            .send()
            .await
            .map_err(self.refused("execute the change set"))?;
        loop {
            match self.look().await?.stack_status() {
                Some(StackStatus::CreateComplete) => return Ok(()),
                Some(StackStatus::CreateInProgress | StackStatus::ReviewInProgress) | None => {
                    self.pause(until).await?;
                }
                Some(status) => return Err(self.failed(status.to_string(), self.failed_events().await)),
            }
        }
    }

    async fn outputs(&self) -> Result<Outputs, StackError> {
        let stack = self.look().await?;
        let values = stack
            .outputs()
            .iter()
            .filter_map(|output| Some((output.output_key()?.to_owned(), output.output_value()?.to_owned())))
            .collect();
        Ok(Outputs { values })
    }

    async fn look(&self) -> Result<aws_sdk_cloudformation::types::Stack, StackError> {
        let what = "look at the stack";
        let seen = self
            .clients
            .cloudformation
            .describe_stacks()
            .stack_name(self.stack)
            .send()
            .await
            .map_err(self.refused(what))?;
        seen.stacks.and_then(|stacks| stacks.into_iter().next()).ok_or_else(|| StackError::Call {
            region: self.region.to_owned(),
            what,
            message: "it is not there".to_owned(),
        })
    }

    /// The events of resources that failed, a line each. If they cannot be read there are none: the failure itself is what
    /// must be reported.
    async fn failed_events(&self) -> String {
        let seen = self.clients.cloudformation.describe_stack_events().stack_name(self.stack).send().await;
        let Ok(seen) = seen else { return "its events cannot be read".to_owned() };
        let mut lines = String::new();
        for event in seen.stack_events() {
            let status = event.resource_status().map_or("", |status| status.as_str());
            if status.contains("FAILED") || status.contains("ROLLBACK") {
                let _ = writeln!(
                    lines,
                    "  {} {} {status} {}",
                    event.logical_resource_id().unwrap_or_default(),
                    event.resource_type().unwrap_or_default(),
                    event.resource_status_reason().unwrap_or_default()
                );
            }
        }
        lines
    }

    async fn pause(&self, until: Instant) -> Result<(), StackError> {
        if Instant::now() > until {
            return Err(StackError::Slow { region: self.region.to_owned(), stack: self.stack.to_owned() });
        }
        tokio::time::sleep(LOOK_EVERY).await;
        Ok(())
    }

    fn failed(&self, status: String, events: String) -> StackError {
        StackError::Failed { region: self.region.to_owned(), stack: self.stack.to_owned(), status, events }
    }
}

/// A line of the template that names a function's code.
#[derive(Debug, PartialEq, Eq)]
struct Code {
    /// The line's number, counted from 0.
    line: usize,
    function: String,
}

/// Finds the lines that name code, and the function that each of them means: the last part of `CodeUri: functions/NAME`,
/// or, where the code is the workspace, the `Binary: NAME` that stands near by.
///
/// It looks at the text only: the template's short forms (`!Ref`) need a parser that knows CloudFormation, and all that is
/// needed here is to put one line in place of another.
fn code_of(template: &str) -> Result<Vec<Code>, StackError> {
    let lines: Vec<&str> = template.lines().collect();
    let mut found = Vec::new();
    for (index, text) in lines.iter().enumerate() {
        let Some(uri) = text.trim_start().strip_prefix("CodeUri:") else { continue };
        let uri = uri
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .trim_matches(['"', '\''])
            .trim_matches(['.', '/']);
        let function = match uri.rsplit('/').next().filter(|name| !name.is_empty()) {
            Some(name) => Some(name),
            None => resource_around(&lines, index)
                .iter()
                .find_map(|line| Some(line.trim_start().strip_prefix("Binary:")?.trim())),
        };
        let function =
            function.ok_or_else(|| StackError::Code { line: index + 1, text: text.trim().to_owned() })?;
        found.push(Code { line: index, function: function.to_owned() });
    }
    Ok(found)
}

/// The lines of the resource to which a line belongs. Resources are indented by two.
fn resource_around<'a>(lines: &'a [&'a str], index: usize) -> &'a [&'a str] {
    let starts = |line: &&str| {
        line.starts_with("  ")
            && line.chars().nth(2).is_some_and(|third| !third.is_whitespace() && third != '#')
    };
    let start = lines[..index].iter().rposition(starts).unwrap_or(0);
    let end = lines[index..].iter().position(starts).map_or(lines.len(), |offset| index + offset);
    &lines[start..end]
}

/// The template with its code in other places.
fn with_code(template: &str, place: impl Fn(&str) -> String) -> Result<String, StackError> {
    let places: BTreeMap<usize, String> =
        code_of(template)?.into_iter().map(|code| (code.line, place(&code.function))).collect();
    let mut rewritten = String::with_capacity(template.len() + 256);
    for (index, line) in template.lines().enumerate() {
        match places.get(&index) {
            Some(place) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                let _ = writeln!(rewritten, "{indent}CodeUri: {place}");
            }
            None => {
                let _ = writeln!(rewritten, "{line}");
            }
        }
    }
    Ok(rewritten)
}

/// A zip file with the program as `bootstrap`, executable. It is not compressed, since it does not leave this machine.
fn zip_bootstrap(function: &str, program: &Path) -> Result<Bytes, StackError> {
    let content =
        std::fs::read(program).map_err(|source| StackError::Read { path: program.to_path_buf(), source })?;
    let pack = || {
        let mut archive = ZipWriter::new(Cursor::new(Vec::with_capacity(content.len() + 512)));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .unix_permissions(0o755);
        archive.start_file("bootstrap", options)?;
        archive.write_all(&content)?;
        Ok(archive.finish()?.into_inner())
    };
    pack().map(Bytes::from).map_err(|source| StackError::Pack { function: function.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "Resources:
  FeedbackFunction:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: rust-cargolambda
    Properties:
      CodeUri: functions/feedback # its crate
      Architectures: [!Ref Architecture]
  DecideFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: .
      Handler: bootstrap
    Metadata:
      BuildProperties:
        Binary: decide
  Table:
    Type: AWS::DynamoDB::Table
";

    #[test]
    fn functions_are_found_by_folder_or_by_binary() {
        let found = code_of(TEMPLATE).expect("two functions");
        assert_eq!(
            found,
            [
                Code { line: 6, function: "feedback".to_owned() },
                Code { line: 11, function: "decide".to_owned() }
            ]
        );
    }

    #[test]
    fn only_the_places_of_code_change() {
        let rewritten =
            with_code(TEMPLATE, |function| format!("s3://bucket/{function}.zip")).expect("two functions");
        let changed: Vec<(&str, &str)> =
            TEMPLATE.lines().zip(rewritten.lines()).filter(|(before, after)| before != after).collect();
        assert_eq!(
            changed,
            [
                ("      CodeUri: functions/feedback # its crate", "      CodeUri: s3://bucket/feedback.zip"),
                ("      CodeUri: .", "      CodeUri: s3://bucket/decide.zip"),
            ]
        );
    }

    #[test]
    fn code_without_a_name_is_an_error_that_says_where() {
        let error = code_of("Resources:\n  F:\n    CodeUri: ./\n").expect_err("no binary");
        assert_eq!(error.to_string(), "the template's line 3 says `CodeUri: ./`: which binary is that?");
    }
}

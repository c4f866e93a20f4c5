//! The argument `--receiving`: what an operator knows better than the catalogue of where SES receives mail.

use mailroom_core::region::{ReceivingSetting, Region};

use crate::region_names::parse_region;

#[derive(clap::Args)]
pub(crate) struct ReceivingArguments {
    /// What you know better than the catalogue of receiving in a Region, as you told the stack there by its parameter
    /// `Receiving` [possible values: on, off, auto]; may be repeated
    #[arg(long, value_name = "REGION=VALUE", value_delimiter = ',')]
    receiving: Vec<String>,
}

/// What was said of each Region.
pub(crate) struct ReceivingOverrides(Vec<(Region, ReceivingSetting)>);

impl ReceivingArguments {
    /// Whether the argument was not given.
    pub(crate) fn is_empty(&self) -> bool {
        self.receiving.is_empty()
    }

    /// What they say, or in words what is wrong with them.
    pub(crate) fn parse(&self) -> Result<ReceivingOverrides, String> {
        self.receiving
            .iter()
            .map(|text| parse_override(text))
            .collect::<Result<_, _>>()
            .map(ReceivingOverrides)
    }
}

impl ReceivingOverrides {
    /// What was said of a Region: the last word counts.
    pub(crate) fn for_region(&self, region: Region) -> ReceivingSetting {
        let said = self.0.iter().rev().find(|(of, _)| *of == region);
        said.map_or(ReceivingSetting::Auto, |(_, receiving)| *receiving)
    }
}

/// Reads `il-central-1=off`.
fn parse_override(text: &str) -> Result<(Region, ReceivingSetting), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let region = parse_region(name)?;
    let receiving = ReceivingSetting::parse(value)
        .ok_or_else(|| format!("--receiving {name}={value}: what it says is none of on, off, auto"))?;
    Ok((region, receiving))
}

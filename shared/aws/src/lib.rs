//! Adapters: the only code that knows the AWS SDK.

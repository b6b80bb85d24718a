//! stub
#[derive(clap::Args, Debug)]
pub(crate) struct Args {}
pub(crate) fn run(_: &Args) -> Result<(), crate::failure::Failure> {
    Ok(())
}

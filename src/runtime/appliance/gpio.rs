//! Pins by the kernel's own way, for where rppal does not know the board or the kernel keeps it out.

use gpiocdev::{
    Request,
    line::{Offset, Value},
    request::Builder,
};

/// A line of `/dev/gpiochip*`, by its name: pins have other numbers on each board.
pub struct Line {
    request: Request,
    offset: Offset,
}

impl Line {
    /// `as_what`: an output or an input, and how.
    pub fn open(gpio: u8, as_what: impl FnOnce(&mut Builder) -> &mut Builder) -> Result<Line, String> {
        let name = format!("GPIO{gpio}");
        let found = gpiocdev::find_named_line(&name).ok_or_else(|| format!("the kernel has no line {name}"))?;
        let offset = found.info.offset;
        let mut builder = Request::builder();
        let wanted = as_what(builder.on_chip(&found.chip).with_consumer("twinlease").with_line(offset));
        let request = wanted.request().map_err(|error| error.to_string())?;
        Ok(Line { request, offset })
    }

    pub fn set(&self, value: Value) -> Result<(), String> {
        self.request.set_value(self.offset, value).map(|_| ()).map_err(|error| error.to_string())
    }

    pub fn value(&self) -> Result<Value, String> {
        self.request.value(self.offset).map_err(|error| error.to_string())
    }
}

//! Stands in for `haar.rs` where Ferrite is built without OpenCV, and says how to build it with.

use std::convert::Infallible;

use ferrite_core::data::faces;
use ferrite_core::data::faces::found::Face;
use ferrite_core::data::picture::Picture;
use ferrite_core::error::{Error, Result};

/// A detector that cannot be had.
#[derive(Debug)]
pub(crate) struct Haar(Infallible);

impl Haar {
    /// Says that OpenCV is missing.
    ///
    /// # Errors
    /// [`Error::Usage`], always.
    pub(crate) fn open(_: &faces::Haar) -> Result<Self> {
        Err(Error::Usage {
            message: "the `haar` detector needs OpenCV, and the engine was built without it".into(),
            help: "install it (`sudo apt-get install libopencv-dev clang libclang-dev opencv-data`) and build the \
                   engine with it (`make build FEATURES=opencv`), or use `detector = { yunet = {} }`"
                .into(),
        })
    }

    /// Cannot be reached.
    ///
    /// # Errors
    /// None.
    pub(crate) fn find(&self, _: &Picture) -> Result<Vec<Face>> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_to_install_and_how_to_build() {
        let Err(Error::Usage { message, help }) = Haar::open(&faces::Haar::default()) else {
            panic!("there is no OpenCV here")
        };
        assert!(message.contains("built without"), "{message}");
        assert!(
            help.contains("apt-get install libopencv-dev") && help.contains("FEATURES=opencv"),
            "{help}"
        );
    }
}

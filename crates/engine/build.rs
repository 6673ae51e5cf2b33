//! Links the programs and tests here as `ferrite-torch` says that whoever uses LibTorch must be linked (its build script).

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let arguments = std::env::var("DEP_FERRITE_NATIVE_LINK").unwrap_or_default();
    for argument in arguments.split('\u{1f}').filter(|it| !it.is_empty()) {
        println!("cargo:rustc-link-arg={argument}");
    }
}

//! Tells the program which LibTorch it is built with, and lets every binary and test find LibTorch at run time without an environment variable.
//!
//! torch-sys links against `$LIBTORCH/lib`; the same folder becomes the run path here. A CUDA build of
//! LibTorch also needs `libtorch_cuda.so` to be linked although no symbol of it is named.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=build.rs");
    let Some(root) = std::env::var_os("LIBTORCH").map(PathBuf::from) else {
        println!("cargo:rustc-env=LIBTORCH_VERSION=unknown");
        return;
    };
    let lib = root.join("lib");
    assert!(
        lib.join("libtorch_cpu.so").exists(),
        "no LibTorch in {}: run `make libtorch`, or set LIBTORCH to a LibTorch 2.9 folder",
        root.display()
    );
    println!("cargo:rustc-env=LIBTORCH_VERSION={}", version(&root));
    compile(&root);
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-L{}", lib.display());
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo:rustc-link-arg=-ltorch_cuda");
    }
}

/// Compiles what is written against LibTorch in C++ (src/torch/native).
fn compile(root: &Path) {
    const SOURCES: [&str; 7] = [
        "activation.cpp",
        "convolution.cpp",
        "hardware.cpp",
        "norm.cpp",
        "pool.cpp",
        "tiled.cpp",
        "tiles.cpp",
    ];
    println!("cargo:rerun-if-changed=src/torch/native");
    let include = root.join("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(3)
        .flag("-ffp-contract=off")
        .flag("-isystem")
        .flag(&include)
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", "1")
        .files(SOURCES.map(|it| format!("src/torch/native/{it}")))
        .compile("ferrite_native");
}

/// What LibTorch's own header says.
fn version(root: &Path) -> String {
    let header = root.join("include/torch/csrc/api/include/torch/version.h");
    let text = std::fs::read_to_string(header).unwrap_or_default();
    let number = |part: &str| {
        let name = format!("#define TORCH_VERSION_{part} ");
        text.lines().find_map(|it| it.strip_prefix(&name)).unwrap_or("?").trim().to_owned()
    };
    ["MAJOR", "MINOR", "PATCH"].map(number).join(".")
}
